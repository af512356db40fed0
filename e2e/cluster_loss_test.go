package e2e_test

import (
	"os"
	"testing"
	"time"
)

// A night ends right without any one of three NATS servers, whichever it is and
// whenever it goes; without two of them it waits, and ends right when they are
// back.
func TestNightSurvivesEachLossInTheCluster(t *testing.T) {
	t.Parallel()
	if *faults == "some" {
		newCluster(t).loses(t, mishaps(losses()...))
		return
	}
	for _, l := range losses() { // side by side: most of it is waiting for elections
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			newCluster(t).loses(t, mishaps(l))
		})
	}
}

func (c *cluster) loses(t *testing.T, all []mishap) {
	for _, m := range choose(t, all, 4, mishap.String) {
		t.Run(m.String(), func(t *testing.T) {
			c.reportTo(t)
			c.lose(t, m)
		})
	}
}

// lose runs a night in which servers are lost at a moment.
func (c *cluster) lose(t *testing.T, m mishap) {
	t.Helper()
	c.servers.AwaitCopies(clusterStream)
	which := m.which(c, m.moment)
	t.Logf("day %s: servers %v", dayName(c.next), which)
	defer c.back()
	c.nightWith(t, m.moment, func() {
		c.kill(which...)
		if m.back > 0 {
			time.AfterFunc(m.back, c.back)
		}
	})
	c.ended(t, 1)
	if m.bare {
		for _, i := range which {
			must(t, os.RemoveAll(c.servers.Servers[i].StoreDir))
		}
		c.back()
		c.servers.AwaitCopies(clusterStream)
	}
	tried(t, "Cluster", m.loss.name, m.moment.name, endedRight)
}
