package e2e_test

import (
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/testbed"
)

func TestRequestsThatMeetEachOther(t *testing.T) {
	t.Parallel()
	c := newChain(t, testbed.NATSOptions{}, "NIGHTSHARD_DUMPER_WAIT=1m")
	for name, try := range map[string]func(*testing.T){
		"the same request twice":                         c.sameRequestTwice,
		"two requests of a day":                          c.twoRequests,
		"two requests of a past day, both with force":    c.twoForced,
		"a restore of another day while a dump is read":  c.restoreMeetsDump,
		"a dump asked for while a restore runs":          c.dumpMeetsRestore,
		"a restore of the same day while a dump is read": c.restoreOfTheSameDayMeetsDump,
		"a dump of a database that was made anew":        c.dumpOfAnEmptiedDatabase,
	} {
		t.Run(name, func(t *testing.T) {
			c.reportTo(t)
			try(t)
		})
	}
}

// held lets a night or a request run to a request of a service and holds it
// there until release is called.
func (c *chain) held(side, kind string) (reached <-chan struct{}, release func()) {
	at, gate := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c.planned(func(q request) testbed.HTTPFault {
		if q.side != side || q.kind != kind {
			return testbed.HTTPFault{}
		}
		return testbed.HTTPFault{Before: func() { once.Do(func() { close(at); <-gate }) }}
	})
	return at, sync.OnceFunc(func() { close(gate); c.planned(nil) })
}

// met waits for what held promised.
func (c *chain) met(reached <-chan struct{}, what string) {
	c.t.Helper()
	testbed.Eventually(c.t, patience, what, func() bool {
		select {
		case <-reached:
			return true
		default:
			return false
		}
	})
}

// ask publishes an event and gives its number.
func (c *chain) ask(id string, msg proto.Message) uint64 {
	c.t.Helper()
	subject, _ := events.SubjectOf(msg)
	seq, err := c.bus.Publish(c.t.Context(), subject, msg, id)
	if err != nil {
		c.t.Fatal(err)
	}
	return seq
}

func (c *chain) sameRequestTwice(t *testing.T) {
	c.next++
	req := &pb.BackupRequested{Day: c.today()}
	reached, release := c.held("backup to Swift", "PUT shard")
	defer release()
	first := c.ask("request of "+c.today(), req)
	c.met(reached, "the first to be at work")
	if again := c.ask("request of "+c.today(), req); again != first {
		t.Errorf("the second is event %d, the first %d", again, first)
	}
	release()
	if c.end(first) {
		t.Fatal(c.story())
	}
	c.ended(t, 1)
	tried(t, "Chain", "the same request twice", "while the first runs", endedRight)
}

// twoRequests: the second finds the day finished, and being a past day it is
// refused without force.
func (c *chain) twoRequests(t *testing.T) {
	c.next++
	reached, release := c.held("backup to Swift", "PUT shard")
	defer release()
	first := c.ask("", &pb.BackupRequested{Day: c.today()})
	c.met(reached, "the first to be at work")
	c.ask("", &pb.BackupRequested{Day: c.today()})
	release()
	if c.end(first) {
		t.Fatal(c.story())
	}
	f, _ := awaitOn[*pb.BackupFailed](c.house, first, events.BackupFailed, events.DumpFailed)
	if !strings.Contains(f.GetError(), "force") || f.GetAttempts() != 1 {
		t.Errorf("the second: %v", f)
	}
	c.idle(t)
	c.right(t, 1)
	tried(t, "Chain", "another request of a past day, without force", "while the first runs", refused)
}

func (c *chain) twoForced(t *testing.T) {
	c.next++
	reached, release := c.held("backup to Swift", "PUT shard")
	defer release()
	first := c.ask("", &pb.BackupRequested{Day: c.today(), Force: true})
	c.met(reached, "the first to be at work")
	second := c.ask("", &pb.BackupRequested{Day: c.today(), Force: true})
	release()
	if c.end(first) {
		t.Fatal(c.story())
	}
	// Both backups, both restores, and a dump of each.
	c.await("the second night", second, func(events.Event) bool { return len(c.allOf(events.DumpCompleted)) == 2 })
	c.ended(t, 2)
	tried(t, "Chain", "another request of the day, with force", "while the first runs", endedRight)
}

// allOf is of for whoever holds the lock.
func (c *chain) allOf(subject string) []events.Event {
	var out []events.Event
	for _, e := range c.events {
		if d, ok := e.Message.(interface{ GetDay() string }); ok && e.Subject == subject && d.GetDay() == c.today() {
			out = append(out, e)
		}
	}
	return out
}

// restoreMeetsDump: the restore must wait until the dump is written, or it
// would take away what the dump reads.
func (c *chain) restoreMeetsDump(t *testing.T) {
	c.trial(t, nil)
	c.meetsDump(t, c.today(), "a restore of another day is asked for")
}

func (c *chain) restoreOfTheSameDayMeetsDump(t *testing.T) {
	c.meetsDump(t, dayName(c.next), "a restore of the same day is asked for")
}

func (c *chain) meetsDump(t *testing.T, asked, what string) {
	c.next++
	reached, release := c.held("dumper to Swift", "PUT dump")
	defer release()
	seq := c.ask("", &pb.BackupRequested{Day: c.today()})
	c.met(reached, "the dump to be read")
	waits := func() int { return strings.Count(c.procs["restore"].logged(), "waiting for dumpers") }
	before := waits()
	again := c.ask("", &pb.RestoreRequested{Day: asked})
	testbed.Eventually(t, patience, "the restore to wait for the dump", func() bool { return waits() > before })
	if n := c.times("restore to InfluxDB", "DROP DATABASE"); n != 1 {
		t.Errorf("the database was dropped %d times before the dump was written", n)
	}
	release()
	if c.end(seq) {
		t.Fatal(c.story())
	}
	r, e := awaitOn[*pb.RestoreCompleted](c.house, again, events.RestoreCompleted, events.RestoreFailed)
	if r.GetDay() != asked {
		t.Errorf("restored was %s, asked for was %s", r.GetDay(), asked)
	}
	awaitOn[*pb.DumpCompleted](c.house, e.Seq, events.DumpCompleted, events.DumpFailed)
	c.idle(t)
	c.everyDumpRight(t, c.today(), asked)
	tried(t, "Chain", what, "while a dump is written", endedRight)
}

// times is how often a kind of request came since the plan was set.
func (c *chain) times(side, kind string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[request{side: side, kind: kind}]
}

// everyDumpRight holds the newest dump of each of the days against production.
func (c *chain) everyDumpRight(t *testing.T, days ...string) {
	t.Helper()
	for _, day := range days {
		all := c.of(events.DumpCompleted, day)
		d, ok := all[len(all)-1].Message.(*pb.DumpCompleted)
		if !ok || d.GetObject() == "" {
			t.Fatalf("dump of %s: %v", day, d)
		}
		c.sameDump(d)
		if n := len(c.list(day)); n != len(c.shards)+3 {
			t.Errorf("%d objects on %s: %v", n, day, c.list(day))
		}
	}
}

// dumpMeetsRestore: a dump that is asked for in the midst of a restore must not
// read a half of it.
func (c *chain) dumpMeetsRestore(t *testing.T) {
	c.next++
	reached, release := c.held("restore to Swift", "GET shard")
	defer release()
	seq := c.ask("", &pb.BackupRequested{Day: c.today()})
	c.met(reached, "the restore to be at work")
	day := mustDay(t, c.today())
	asked := c.ask("", &pb.DumpRequested{Measurement: "cpu", From: day.String(), To: day.String()})
	testbed.Eventually(t, patience, "the dump to be put off", func() bool {
		return strings.Contains(c.procs["dumper"].logged(), "is not finished")
	})
	object, err := night.DumpObject(day, "cpu")
	if err != nil {
		t.Fatal(err)
	}
	if _, there := c.list(day.String())[object]; there {
		t.Error("a dump was written in the midst of a restore")
	}
	release()
	if c.end(seq) {
		t.Fatal(c.story())
	}
	c.await("both dumps", asked, func(events.Event) bool {
		return len(c.allOf(events.DumpCompleted))+len(c.allOf(events.DumpFailed)) == 2
	})
	c.idle(t)
	if failed := c.of(events.DumpFailed, c.today()); len(failed) > 0 {
		t.Errorf("dump failed: %s", failed[0].Data)
	}
	c.everyDumpRight(t, c.today())
	tried(t, "Chain", "a dump is asked for", "while shards are restored", endedRight)
}

// dumpOfAnEmptiedDatabase: somebody dropped the restored database and made it
// anew. The identity says nothing of it; the dump must not be an empty one.
func (c *chain) dumpOfAnEmptiedDatabase(t *testing.T) {
	c.trial(t, nil)
	c.inter.Query(t, "", `DROP DATABASE "sensu_db"`)
	c.inter.Query(t, "", `CREATE DATABASE "sensu_db" WITH NAME "main"`)
	seq := c.ask("", &pb.DumpRequested{Measurement: "cpu", From: c.today()})
	e := c.await("the end of the dump", seq, func(e events.Event) bool {
		return e.Subject == events.DumpCompleted || e.Subject == events.DumpFailed
	})
	if f, ok := e.Message.(*pb.DumpFailed); !ok || !strings.Contains(f.GetError(), "dropped since") {
		t.Errorf("a dump of an emptied database: %s", e.Data)
	}
	c.everyDumpRight(t, c.today()) // the good one stands
	c.trial(t, nil)
	c.ended(t, 1)
	tried(t, "Chain", "the restored database dropped and made anew by somebody", "before a dump is asked for", saidFailed)
}
