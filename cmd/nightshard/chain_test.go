package main

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

const chainDay = "2016-06-01"

// tape makes events as the stream would hold them.
type tape struct{ seq uint64 }

// next is an event that answers another, or none.
func (p *tape) next(msg proto.Message, answers *events.Event) events.Event {
	p.seq++
	subject, _ := events.SubjectOf(msg)
	e := events.Event{Seq: p.seq, Time: time.Unix(int64(p.seq), 7).UTC(), Subject: subject, Message: msg}
	if answers != nil {
		e.ID = subject + "/" + chainDay + "/" + answers.DeliveryID()
	}
	return e
}

func backupChain(p *tape) (*chain, events.Event) {
	request := &pb.BackupRequested{}
	e := p.next(request, nil)
	c := newChain(asked{seq: e.Seq, msg: request}, time.Second)
	c.see(e)
	return c, e
}

// restored brings a chain to the dumpers.
func restored(p *tape) (*chain, events.Event) {
	c, request := backupChain(p)
	backup := p.next(&pb.BackupCompleted{Day: chainDay}, &request)
	c.see(backup)
	restore := p.next(&pb.RestoreCompleted{Day: chainDay}, &backup)
	c.see(restore)
	return c, restore
}

func durable(name string, floor uint64, waiting, working int) events.ConsumerState {
	return events.ConsumerState{Name: name, AckFloor: floor, Waiting: waiting, AckPending: working}
}

func TestChainGoesFromTheBackupToItsLastDump(t *testing.T) {
	t.Parallel()
	p := &tape{}
	c, restore := restored(p)
	now := time.Unix(100, 0)
	states := []events.ConsumerState{durable("backup", 1, 1, 0), durable("dumper-cpu", 0, 0, 1), durable("dumper-mem", 0, 0, 1), durable("dumper", 0, 1, 0)}
	if c.done() {
		t.Fatal("done before anyone looked for dumpers")
	}
	if ended, _ := c.look(states, now, true); len(ended) != 0 || len(c.open()) != 2 {
		t.Fatalf("ended %v, open %v", ended, c.open())
	}
	for _, measurement := range []string{"cpu", "mem"} {
		if c.done() {
			t.Fatalf("done before %s", measurement)
		}
		if s := c.see(p.next(&pb.DumpCompleted{Day: chainDay, Measurement: measurement}, &restore)); s == nil || s.fate != completed {
			t.Fatalf("%s: %+v", measurement, s)
		}
	}
	if !c.done() || !c.ok() {
		t.Errorf("done %v, ok %v", c.done(), c.ok())
	}
}

func TestChainIgnoresEventsOfOtherRequests(t *testing.T) {
	t.Parallel()
	p := &tape{}
	c, request := backupChain(p)
	other := p.next(&pb.BackupRequested{}, nil)
	for _, e := range []events.Event{
		other, p.next(&pb.BackupCompleted{Day: chainDay}, &other), p.next(&pb.BackupFailed{Day: chainDay}, &other),
		p.next(&pb.DumpCompleted{Day: chainDay}, &request), p.next(&pb.BackupCompleted{Day: chainDay}, nil),
	} {
		if s := c.see(e); s != nil {
			t.Errorf("%s %q was taken for an answer", e.Subject, e.ID)
		}
	}
	if s := c.see(p.next(&pb.BackupFailed{Day: chainDay}, &request)); s == nil || !c.done() || c.ok() {
		t.Errorf("the failure was not taken: %+v", c.stages)
	}
}

// 1@7 must not be taken for 11@7, nor the other way round.
func TestDeliveriesAreNotTakenForThoseThatEndAlike(t *testing.T) {
	t.Parallel()
	s := &stage{step: stepBackup, answers: "1@7"}
	if s.takes(events.Event{Subject: events.BackupCompleted, ID: "backup.completed/x/11@7"}) {
		t.Error("11@7 taken for 1@7")
	}
	if !s.takes(events.Event{Subject: events.BackupCompleted, ID: "backup.completed/x/1@7"}) {
		t.Error("1@7 not taken")
	}
	if (&stage{step: stepBackup}).takes(events.Event{Subject: events.BackupCompleted, ID: "backup.completed/x/"}) {
		t.Error("taken before the request was seen")
	}
}

func TestDumpsOfEarlierDaysDoNotEndADumper(t *testing.T) {
	t.Parallel()
	p := &tape{}
	c, restore := restored(p)
	if s := c.see(p.next(&pb.DumpCompleted{Day: "2016-05-31", Measurement: "cpu"}, &restore)); s == nil || s.fate != running {
		t.Fatalf("stage %+v", s)
	}
	if s := c.see(p.next(&pb.DumpCompleted{Day: chainDay, Measurement: "cpu"}, &restore)); s.fate != completed {
		t.Errorf("stage %+v", s)
	}
}

func TestMeasurementWithAStrangeNameBelongsToItsDurable(t *testing.T) {
	t.Parallel()
	p := &tape{}
	c, restore := restored(p)
	name := dumperPrefix + events.Slug("disk/free é")
	c.look([]events.ConsumerState{durable(name, 0, 0, 1)}, time.Unix(100, 0), true)
	if s := c.stageOf(&pb.Progress{Service: "dumper", Day: chainDay, Measurement: "disk/free é"}); s == nil || s.durable != name {
		t.Errorf("progress belongs to %+v", s)
	}
	c.see(p.next(&pb.DumpFailed{Day: chainDay, Measurement: "disk/free é"}, &restore))
	if len(c.stages) != 3 || !c.done() || c.ok() {
		t.Errorf("stages %d, done %v, ok %v", len(c.stages), c.done(), c.ok())
	}
}

func TestDumperThatIsNotRunningIsNamedAndNotAwaited(t *testing.T) {
	t.Parallel()
	c, _ := restored(&tape{})
	states := []events.ConsumerState{durable("dumper-cpu", 0, 0, 0)}
	now := time.Unix(100, 0)
	c.look(states, now, true)
	if ended, _ := c.look(states, now.Add(900*time.Millisecond), true); len(ended) != 0 {
		t.Fatal("given up before the grace was over")
	}
	ended, _ := c.look(states, now.Add(time.Second), true)
	if len(ended) != 1 || ended[0].fate != absent || !c.done() || !c.ok() {
		t.Errorf("ended %v, done %v, ok %v", ended, c.done(), c.ok())
	}
}

func TestDumperThatComesBackInTimeIsAwaited(t *testing.T) {
	t.Parallel()
	c, _ := restored(&tape{})
	now := time.Unix(100, 0)
	c.look([]events.ConsumerState{durable("dumper-cpu", 0, 0, 0)}, now, true)
	c.look([]events.ConsumerState{durable("dumper-cpu", 0, 1, 0)}, now.Add(900*time.Millisecond), true)
	if ended, _ := c.look([]events.ConsumerState{durable("dumper-cpu", 0, 0, 0)}, now.Add(2*time.Second), true); len(ended) != 0 {
		t.Error("the grace did not begin anew")
	}
}

func TestServiceThatIsNotRunningFailsTheRequest(t *testing.T) {
	t.Parallel()
	c, _ := backupChain(&tape{})
	now := time.Unix(100, 0)
	c.look(nil, now, true)
	if ended, _ := c.look(nil, now.Add(time.Second), true); len(ended) != 1 || !c.done() || c.ok() {
		t.Errorf("ended %v, done %v, ok %v", ended, c.done(), c.ok())
	}
}

func TestAcknowledgedEventWithoutAnAnswerIsNoSuccess(t *testing.T) {
	t.Parallel()
	c, restore := restored(&tape{})
	states := []events.ConsumerState{durable("dumper-cpu", restore.Seq, 1, 0)}
	if ended, behind := c.look(states, time.Unix(100, 0), false); len(ended) != 0 || !behind || c.done() {
		t.Fatal("the answer may still be on its way")
	}
	if ended, behind := c.look(states, time.Unix(101, 0), true); len(ended) != 1 || behind || ended[0].fate != silent || !c.done() || c.ok() {
		t.Errorf("ended %v", ended)
	}
}

func TestNightWithoutDumpersEndsWithTheRestore(t *testing.T) {
	t.Parallel()
	c, _ := restored(&tape{})
	c.look([]events.ConsumerState{durable("restore", 3, 1, 0)}, time.Unix(100, 0), true)
	if !c.done() || !c.ok() {
		t.Errorf("done %v, ok %v", c.done(), c.ok())
	}
}

func TestFailedRestoreEndsTheChain(t *testing.T) {
	t.Parallel()
	p := &tape{}
	c, request := backupChain(p)
	backup := p.next(&pb.BackupCompleted{Day: chainDay}, &request)
	c.see(backup)
	c.see(p.next(&pb.RestoreFailed{Day: chainDay}, &backup))
	if !c.done() || c.ok() {
		t.Errorf("done %v, ok %v", c.done(), c.ok())
	}
}

func TestRequestedDumpEndsWithItsLastDay(t *testing.T) {
	t.Parallel()
	p := &tape{}
	request := &pb.DumpRequested{Measurement: "cpu", From: "2016-02-28", To: "2016-03-01"}
	e := p.next(request, nil)
	c := newChain(asked{seq: e.Seq, msg: request}, time.Second)
	c.see(e)
	for _, day := range []string{"2016-02-28", "2016-02-29", "2016-03-01"} {
		if c.done() {
			t.Fatalf("done before %s", day)
		}
		c.see(p.next(&pb.DumpCompleted{Day: day, Measurement: "cpu"}, &e))
	}
	if !c.done() || !c.ok() {
		t.Errorf("done %v, ok %v", c.done(), c.ok())
	}
}

func TestProgressOfOtherWorkIsNotShown(t *testing.T) {
	t.Parallel()
	c, _ := backupChain(&tape{})
	c.stages[0].day = chainDay
	for _, p := range []*pb.Progress{
		{Service: "restore", Day: chainDay}, {Service: "backup", Day: "2016-05-31"}, {Service: "dumper", Day: chainDay, Measurement: "cpu"},
	} {
		if c.stageOf(p) != nil {
			t.Errorf("shown: %v", p)
		}
	}
	if c.stageOf(&pb.Progress{Service: "backup", Day: chainDay}) == nil {
		t.Error("the stage's own progress is not shown")
	}
}

func TestOutcomesReadWell(t *testing.T) {
	t.Parallel()
	for want, msg := range map[string]proto.Message{
		"completed: 2 shards, 1.5 kB, 1 carried forward":                     &pb.BackupCompleted{Shards: 2, Bytes: 1500, CarriedForward: 1},
		"completed: 1 shard, 5 B, 4 counts compared, no difference":          &pb.RestoreCompleted{Shards: 1, Bytes: 5, Verdict: &pb.Verdict{Compared: 4}},
		"completed: 3 shards, 5 B, 2 of them there already, no fingerprint":  &pb.RestoreCompleted{Shards: 3, Kept: 2, Bytes: 5, Verdict: &pb.Verdict{Note: "no fingerprint"}},
		"completed: 1 shard, 5 B, no fingerprint":                            &pb.RestoreCompleted{Shards: 1, Bytes: 5, Verdict: &pb.Verdict{Note: "no fingerprint"}},
		"completed: no records, no object":                                   &pb.DumpCompleted{},
		"completed: 1,000 records, 9 B":                                      &pb.DumpCompleted{Object: "x", Records: 1000, Bytes: 9, Complete: true},
		"FAILED at step guard after 2 attempts: refuse it: it is production": &pb.RestoreFailed{Step: "guard", Attempts: 2, Error: "refuse it:\n it is production"},
		"an event that cannot be read":                                       nil,
	} {
		if got := outcomeText(msg); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
