package e2e_test

import (
	"testing"
	"time"

	"nightshard/shared/testbed"
)

func TestNightSurvivesAKillOfNATSAtEachStep(t *testing.T) {
	t.Parallel()
	for _, sync := range []bool{false, true} {
		name := map[bool]string{false: "NATS killed and started again", true: "NATS killed and started again, with sync_interval always"}[sync]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newChain(t, testbed.NATSOptions{SyncAlways: sync})
			for _, m := range moments() {
				c.faultAt(t, m, name, func() {
					c.nats.Kill()
					c.nats.Start()
				})
			}
		})
	}
}

func TestNightSurvivesNATSGoneForLongerThanAckWaitAtEachStep(t *testing.T) {
	t.Parallel()
	c := newChain(t, testbed.NATSOptions{})
	for _, m := range choose(t, moments(), 5) {
		c.faultAt(t, m, "NATS gone for longer than AckWait", func() {
			c.nats.Kill()
			time.AfterFunc(2*chainAckWait, c.nats.Start)
		})
	}
}
