package e2e_test

import (
	"syscall"
	"testing"
	"time"

	"nightshard/shared/testbed"
)

// partition is one way for a service to lose the others.
type partition struct {
	name string
	n    int // how many of the steps have it in a run of some faults
	do   func(c *chain, service string)
}

// partitions last for longer than AckWait, but for the broken connection: the
// work goes to the other replica, and the first one comes back and finds out.
func partitions() []partition {
	const long = 2 * chainAckWait
	return []partition{
		{"its connection to NATS reset", 3, func(c *chain, service string) { c.lines[service].BreakAll() }},
		{"its line to NATS stalled for longer than AckWait", 4, func(c *chain, service string) {
			c.lines[service].Hold()
			time.AfterFunc(long, c.lines[service].Release)
		}},
		{"its line to NATS cut for longer than AckWait", 4, func(c *chain, service string) {
			c.lines[service].Retarget("127.0.0.1:1")
			c.lines[service].BreakAll()
			time.AfterFunc(long, func() { c.lines[service].Retarget(c.nats.URL[len("nats://"):]) })
		}},
		{"it is frozen for longer than AckWait", 5, func(c *chain, service string) {
			p := c.procs[service].cmd.Process
			_ = p.Signal(syscall.SIGSTOP)
			time.AfterFunc(long, func() { _ = p.Signal(syscall.SIGCONT) })
		}},
	}
}

func TestNightSurvivesWhatHappensToItsServices(t *testing.T) {
	t.Parallel()
	c := newChain(t, testbed.NATSOptions{})
	c.rewire(t)
	c.partitioned(t)
	t.Run("late request", c.lateDrop)
	t.Run("stop signal", c.stopped)
	t.Run("replicas", c.replicated)
}

// partitioned cuts off a service at the steps of its work.
func (c *chain) partitioned(t *testing.T) {
	for _, p := range partitions() {
		t.Run(p.name, func(t *testing.T) {
			c.reportTo(t)
			for _, m := range choose(t, working(), p.n, moment.String) {
				var other *proc
				c.faultAt(t, m, m.service+" with another replica: "+p.name, func() {
					other = c.second(m.service)
					p.do(c, m.service)
				})
				if err := other.stop(syscall.SIGTERM); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// second starts another replica of a service, on a good line and past the
// proxies: it is not the one that meets the fault. It comes only then, or it
// would be by chance which of the two has the work.
func (c *chain) second(name string) *proc { return c.startIn(c.whole, name) }

// working are the steps in which a service is at a request of its work.
func working() []moment {
	var out []moment
	for _, m := range moments() {
		if m.event == "" {
			out = append(out, m)
		}
	}
	return out
}
