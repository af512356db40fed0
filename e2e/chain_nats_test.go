package e2e_test

import (
	"testing"
	"time"

	"nightshard/shared/testbed"
)

// outage is one way for NATS to be away.
type outage struct {
	name string
	// n is how many of the steps have it in a run of some faults.
	n  int
	do func(n *testbed.NATSServer)
}

func outages() []outage {
	return []outage{
		{"NATS killed and started again", 6, func(n *testbed.NATSServer) { n.SyncAlways(false); n.Kill(); n.Start() }},
		{"NATS killed and started again, each write synced", 3, func(n *testbed.NATSServer) { n.SyncAlways(true); n.Kill(); n.Start() }},
		{"NATS gone for longer than AckWait", 3, func(n *testbed.NATSServer) { n.Kill(); time.AfterFunc(2*chainAckWait, n.Start) }},
		{"NATS frozen for longer than AckWait", 3, func(n *testbed.NATSServer) { n.Pause(); time.AfterFunc(2*chainAckWait, n.Resume) }},
	}
}

func TestNightSurvivesEachOutageOfNATSAtEachStep(t *testing.T) {
	t.Parallel()
	c := newChain(t, testbed.NATSOptions{})
	for _, o := range outages() {
		t.Run(o.name, func(t *testing.T) {
			c.reportTo(t)
			for _, m := range choose(t, moments(), o.n, moment.String) {
				c.faultAt(t, m, o.name, func() { o.do(c.nats) })
			}
		})
	}
}
