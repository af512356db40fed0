package e2e_test

import (
	"sync"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

// chainAckWait is NIGHTSHARD_ACK_WAIT of these tests: what is gone for longer
// has lost its work to another.
const chainAckWait = time.Second

// chain is a mill whose NATS is a process, and whose services see it each
// through a line of its own.
type chain struct {
	*mill
	lines map[string]*testbed.Proxy // to NATS, by service
}

// newChain starts it and runs one good night.
func newChain(t *testing.T, nats testbed.NATSOptions, env ...string) *chain {
	t.Helper()
	nats.Process = true
	c := &chain{lines: map[string]*testbed.Proxy{}}
	h := buildOn(t, testbed.InfluxOptions{}, testbed.InfluxOptions{}, nats)
	c.mill = newMillIn(t, h, append(env, "NIGHTSHARD_ACK_WAIT="+chainAckWait.String())...)
	return c
}

// rewire leads each service to NATS over a line of its own, through which it
// is started again.
func (c *chain) rewire(t *testing.T) {
	t.Helper()
	for _, name := range []string{"backup", "restore", "dumper"} {
		c.lines[name] = testbed.TCPProxy(t, c.nats.URL[len("nats://"):])
		c.env[name] = append(c.env[name], "NATS_URL=nats://"+c.lines[name].Addr)
		if err := c.procs[name].stop(15); err != nil {
			t.Fatal(err)
		}
		c.launch(name)
	}
}

// moment is a point of a night: the first request of a kind that a service
// makes, or the arrival of an event.
type moment struct {
	name    string
	service string // that is at work then
	side    string
	kind    string
	event   string
}

func (m moment) String() string { return m.name }

// moments are the steps of a night.
func moments() []moment {
	return []moment{
		{name: "as the request arrives", service: "backup", event: events.BackupRequested},
		{name: "while shards are streamed", service: "backup", side: "backup to Swift", kind: "PUT shard"},
		{name: "as the manifest is written", service: "backup", side: "backup to Swift", kind: "PUT manifest"},
		{name: "as the backup has ended", service: "restore", event: events.BackupCompleted},
		{name: "as the database is dropped", service: "restore", side: "restore to InfluxDB", kind: "DROP DATABASE"},
		{name: "while shards are restored", service: "restore", side: "restore to Swift", kind: "GET shard"},
		{name: "as the drill is written", service: "restore", side: "restore to Swift", kind: "PUT drill"},
		{name: "as the restore has ended", service: "dumper", event: events.RestoreCompleted},
		{name: "while a dump is written", service: "dumper", side: "dumper to Swift", kind: "PUT dump"},
		{name: "as the dump has ended", service: "dumper", event: events.DumpCompleted},
	}
}

// faultAt runs a night in which do is called at a moment, checks that the night
// ended right, and notes it.
func (c *chain) faultAt(t *testing.T, m moment, fault string, do func()) {
	t.Helper()
	t.Logf("day %s: %s %s", dayName(c.next), fault, m.name)
	c.nightWith(t, m, do)
	c.ended(t, 1)
	tried(t, "Chain", fault, m.name, endedRight)
}

// nightWith runs a night on a day of its own in which do is called at a moment,
// and waits for its end.
func (c *chain) nightWith(t *testing.T, m moment, do func()) {
	t.Helper()
	c.next++
	var once sync.Once
	hit := make(chan struct{})
	act := func() { once.Do(func() { do(); close(hit) }) }
	c.planned(func(q request) testbed.HTTPFault {
		if q.side != m.side || q.kind != m.kind {
			return testbed.HTTPFault{}
		}
		return testbed.HTTPFault{Before: act}
	})
	defer c.planned(nil)
	seq := c.publish(events.BackupRequested, &pb.BackupRequested{Day: c.today()})
	if m.event != "" {
		c.await(m.event, seq-1, func(e events.Event) bool { return e.Subject == m.event })
		act()
	}
	if c.end(seq) {
		t.Fatalf("the night failed:\n%s", c.story())
	}
	select {
	case <-hit:
	case <-time.After(20 * time.Second):
		t.Fatalf("nothing happened %s", m.name)
	}
}

// planned sets what happens at the requests of the services from now on.
func (c *chain) planned(plan func(request) testbed.HTTPFault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen, c.plan = map[request]int{}, plan
}

// ended waits until nothing is at work or waits any more, and then checks
// everything that the nights of the day must leave behind: so many events of
// each kind and none that says failed, every object and no other, the counts of
// production in the intermediary, and the dump record by record.
func (c *chain) ended(t *testing.T, runs int) {
	t.Helper()
	c.idle(t)
	for _, subject := range []string{events.BackupFailed, events.RestoreFailed, events.DumpFailed} {
		if got := c.of(subject, c.today()); len(got) > 0 {
			t.Errorf("%d events on %s:\n%s", len(got), subject, c.story())
		}
	}
	c.right(t, runs)
}

// idle waits until every event has been answered: what comes again after a
// fault must have come before anything is counted.
func (c *chain) idle(t *testing.T) {
	t.Helper()
	var states []events.ConsumerState
	testbed.Eventually(t, patience, "every event to be answered", func() bool {
		var err error
		states, err = c.bus.Consumers(t.Context())
		if err != nil || len(states) < 4 {
			return false
		}
		for _, s := range states {
			if s.Pending > 0 || s.AckPending > 0 {
				return false
			}
		}
		return true
	})
}
