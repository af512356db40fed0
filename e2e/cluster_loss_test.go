package e2e_test

import (
	"testing"
	"time"
)

// A night ends right without any one of three NATS servers, whichever it is and
// whenever it goes; without two of them it waits, and ends right when one is
// back.
func TestNightSurvivesEachLossInTheCluster(t *testing.T) {
	t.Parallel()
	if *faults == "some" {
		c := newCluster(t)
		for _, l := range losses() {
			t.Run(l.name, func(t *testing.T) { c.loses(t, l) })
		}
		return
	}
	for _, l := range losses() { // side by side: most of it is waiting for elections
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			newCluster(t).loses(t, l)
		})
	}
}

func (c *cluster) loses(t *testing.T, l loss) {
	c.reportTo(t)
	for _, m := range choose(t, moments(), l.n, moment.String) {
		c.lose(t, m, l)
	}
}

// lose runs a night in which servers are lost at a moment.
func (c *cluster) lose(t *testing.T, m moment, l loss) {
	t.Helper()
	t.Logf("day %s: %s %s", dayName(c.next), l.name, m.name)
	c.servers.AwaitCopies(clusterStream)
	which := l.which(c, m)
	defer c.back()
	c.nightWith(t, m, func() {
		c.kill(which...)
		if l.back > 0 {
			time.AfterFunc(l.back, c.back)
		}
	})
	c.ended(t, 1)
	tried(t, "Cluster", l.name, m.name, endedRight)
}
