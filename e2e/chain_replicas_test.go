package e2e_test

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"nightshard/shared/testbed"
)

// ready waits until a service takes events.
func (p *proc) ready() *proc {
	p.t.Helper()
	testbed.Eventually(p.t, time.Minute, p.name+" to wait for events", func() bool { return strings.Contains(p.logged(), "waiting for") })
	return p
}

// stopped sends each service the stop signal in the midst of its work. Its work
// must be with the other replica at once: AckWait is longer than the test waits.
func (c *chain) stopped(t *testing.T) {
	c.reportTo(t)
	for _, name := range []string{"backup", "restore", "dumper"} {
		c.env[name] = append(c.env[name], "NIGHTSHARD_ACK_WAIT=10m")
		c.relaunch(t, name)
	}
	for _, m := range choose(t, working(), 4, moment.String) {
		c.faultAt(t, m, m.service+" told to stop, with another replica", func() { c.relaunch(t, m.service) })
	}
	for _, name := range []string{"backup", "restore", "dumper"} {
		c.env[name] = c.env[name][:len(c.env[name])-1]
		c.relaunch(t, name)
	}
}

// relaunch starts a replica of a service and then tells the first one to stop.
func (c *chain) relaunch(t *testing.T, name string) {
	t.Helper()
	first := c.procs[name]
	c.launch(name)
	c.procs[name].ready()
	if err := first.stop(syscall.SIGTERM); err != nil {
		t.Errorf("%s ended with %v", name, err)
	}
}

// replicated runs nights with two and with three replicas of each service, and
// then some in which replicas are killed at random.
func (c *chain) replicated(t *testing.T) {
	c.reportTo(t)
	all := map[string][]*proc{}
	for name, p := range c.procs {
		all[name] = []*proc{p}
	}
	for _, n := range []string{"two", "three"} {
		for name := range all {
			more := c.startIn(c.whole, name, c.env[name]...)
			more.ready()
			all[name] = append(all[name], more)
		}
		c.trial(t, nil)
		c.ended(t, 1)
		tried(t, "Chain", n+" replicas of each service", "the whole night", endedRight)
	}
	c.decimated(t, all)
}

// decimated kills replicas at random, each at a step of its service's work, and
// starts another one in its place.
func (c *chain) decimated(t *testing.T, all map[string][]*proc) {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("replicas are killed as -seed %d says", s)
	random := rand.New(rand.NewPCG(s, 2))
	for range 4 {
		m := working()[random.IntN(len(working()))]
		i := random.IntN(3)
		c.faultAt(t, m, "one of three replicas of "+m.service+" killed at random", func() {
			_ = all[m.service][i].stop(syscall.SIGKILL)
			all[m.service][i] = c.startIn(c.whole, m.service, c.env[m.service]...)
		})
	}
}
