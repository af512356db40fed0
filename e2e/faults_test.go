package e2e_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/testbed"
)

// fillMany adds enough records to one day that a dump takes a while.
func (h *house) fillMany(day time.Time, records int) {
	h.t.Helper()
	for from := 0; from < records; from += 20_000 {
		var b strings.Builder
		for i := from; i < min(from+20_000, records); i++ {
			fmt.Fprintf(&b, "many,host=h%d v=%di,w=%d.25 %d\n", i%50, i, i, day.Add(time.Duration(i/50)*10*time.Second).UnixNano())
		}
		h.prod.Write(h.t, database, "main", b.String())
	}
}

// whenever runs do once, at the first progress message that ok accepts.
func (h *house) whenever(ok func(*pb.Progress) bool, do func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = h.bus.WatchProgress(ctx, func(p *pb.Progress) {
			if ctx.Err() == nil && ok(p) {
				cancel()
				do()
			}
		})
	}()
	h.t.Cleanup(func() { cancel(); <-ended })
}

func TestNightEndsRightAfterAServiceIsKilledAtWork(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"backup", "restore", "dumper"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
			h.fillWeek(6)
			h.fillMany(weekday0().AddDate(0, 0, 1), 150_000)
			h.env["NIGHTSHARD_MEASUREMENTS"] = "many"
			h.env["NIGHTSHARD_PARALLEL"] = "1"
			procs := map[string]*proc{}
			for _, s := range []string{"backup", "restore", "dumper"} {
				procs[s] = h.start(s)
			}
			killed := make(chan struct{})
			h.whenever(func(p *pb.Progress) bool { return p.GetService() == name }, func() {
				_ = procs[name].stop(syscall.SIGKILL)
				h.start(name)
				close(killed)
			})
			b, r, dumps := h.night(&pb.BackupRequested{Day: dayName(1)}, 1)
			<-killed
			if p, i := counts(t, h.prod, "main", "two_weeks"), counts(t, h.inter, "main", "two_weeks"); !reflect.DeepEqual(p, i) {
				t.Errorf("production has %v, the intermediary %v", p, i)
			}
			h.sameDump(dumps[0])
			for _, subject := range []string{events.BackupCompleted, events.RestoreCompleted, events.DumpCompleted} {
				if n := len(h.all(subject)); n != 1 {
					t.Errorf("%d events on %s; %v %v", n, subject, b, r)
				}
			}
		})
	}
}

func TestASecondRunReplacesTheDayAndSweepsUp(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(2)
	h.start("backup")
	today := time.Now().UTC().Format("2006-01-02")
	seq := h.publish(events.BackupRequested, &pb.BackupRequested{})
	first, e := awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
	if first.GetDay() != today {
		t.Fatalf("an empty request backed up %s", first.GetDay())
	}
	h.prod.Query(t, database, "DROP SHARD 2")
	h.fillOdd(weekday0())
	seq = h.publish(events.BackupRequested, &pb.BackupRequested{})
	second, _ := awaitOn[*pb.BackupCompleted](h, max(seq, e.Seq), events.BackupCompleted, events.BackupFailed)
	m := h.manifest(today)
	listed := h.list(today)
	if len(listed) != len(m.Shards)+2 || int(second.GetShards()) != len(m.Shards) {
		t.Errorf("%d objects for %d shards: %v", len(listed), len(m.Shards), listed)
	}
	for _, o := range m.Objects() {
		if listed[o.Object].Size != o.Bytes || listed[o.Object].MD5 != o.MD5 {
			t.Errorf("%s is stored as %+v, the manifest says %+v", o.Object, listed[o.Object], o)
		}
	}
	for _, s := range m.Shards {
		if s.ID == 2 {
			t.Error("a dropped shard is in the manifest")
		}
	}
}

func TestASecondRunThatFailsLeavesTheGoodBackup(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(3)
	h.env["NIGHTSHARD_PARALLEL"], h.env["NIGHTSHARD_IDLE_TIMEOUT"] = "1", "1s"
	h.start("backup")
	day := dayName(1)
	seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: day})
	_, e := awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
	before, manifest := h.list(day), h.read(day, day+"/manifest.json")

	refused := h.publish(events.BackupRequested, &pb.BackupRequested{Day: day})
	f, e := awaitOn[*pb.BackupFailed](h, max(e.Seq, refused), events.BackupFailed, events.BackupCompleted)
	if !strings.Contains(f.GetError(), "force") || f.GetAttempts() != 1 {
		t.Errorf("a finished past day without force: %v", f)
	}

	// Production stalls in the middle of the second run.
	stalled := make(chan struct{})
	h.whenever(func(p *pb.Progress) bool { return p.GetDone() >= 2 }, func() { h.prod.Pause(); close(stalled) })
	seq = h.publish(events.BackupRequested, &pb.BackupRequested{Day: day, Force: true})
	staged := func() bool {
		for name := range h.list(day) {
			if strings.HasPrefix(name, day+"/incoming/shards/") {
				return true
			}
		}
		return false
	}
	testbed.Eventually(t, time.Minute, "the second run to stage a shard", staged)
	<-stalled
	for name, o := range before {
		if got := h.list(day)[name]; got.MD5 != o.MD5 {
			t.Errorf("%s is %+v while the second run stalls, it was %+v", name, got, o)
		}
	}
	if string(h.read(day, day+"/manifest.json")) != string(manifest) {
		t.Error("the manifest changed before the second run was verified")
	}
	h.prod.Resume()
	awaitOn[*pb.BackupCompleted](h, max(seq, e.Seq), events.BackupCompleted, events.BackupFailed)
	if string(h.read(day, day+"/manifest.json")) == string(manifest) {
		t.Error("the second run did not replace the manifest")
	}
}

func TestRequestsThatCannotSucceedFailAtOnceAndSayWhy(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.startAll()
	nc := h.nats.Connect(t)
	for _, c := range []struct{ subject, body, failed, want string }{
		{"backup.requested", `{"day":`, "backup.failed", "decode backup.requested"},
		{"backup.requested", `{"day":"2016-06-31"}`, "backup.failed", "2016-06-31"},
		{"backup.requested", `{"day":"2999-01-01"}`, "backup.failed", "not come yet"},
		{"backup.requested", `{"database":"other"}`, "backup.failed", `unknown database "other"`},
		{"restore.requested", `{}`, "restore.failed", `day ""`},
		{"restore.requested", `{"day":"2016-06-01","database":"other"}`, "restore.failed", `unknown database "other"`},
		{"dump.requested", `{"from":"2016-06-01"}`, "dump.failed", "no measurement"},
		{"dump.requested", `{"measurement":"cpu","from":"2016-06-02","to":"2016-06-01"}`, "dump.failed", "before it begins"},
		{"dump.requested", `{"measurement":"cpu","from":"2016-06-02"}`, "dump.failed", "no restore by Nightshard"},
		{"backup.requested", `[]`, "backup.failed", "decode backup.requested"},
	} {
		h.mu.Lock()
		var last uint64
		if len(h.events) > 0 {
			last = h.events[len(h.events)-1].Seq
		}
		h.mu.Unlock()
		if err := nc.Publish(c.subject, []byte(c.body)); err != nil {
			t.Fatal(err)
		}
		e := h.await(c.failed+" for "+c.body, last, func(e events.Event) bool { return e.Subject == c.failed })
		f, ok := e.Message.(interface {
			GetError() string
			GetAttempts() int32
			GetFinal() bool
			GetStep() string
		})
		if !ok || !strings.Contains(f.GetError(), c.want) || f.GetAttempts() != 1 || !f.GetFinal() {
			t.Errorf("%s %s: %s, want %q after one attempt", c.subject, c.body, e.Data, c.want)
		}
	}
}

// A run that was cut off after all of its objects were verified in
// DAY/incoming/, before they took their places, is finished by the next one,
// and is then a good backup like any other.
func TestAStagedDayIsFinishedByTheNextRun(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(2)
	h.env["NIGHTSHARD_IDLE_TIMEOUT"] = "1s"
	p := h.start("backup")
	day := dayName(1)
	seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: day})
	awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	good := h.list(day)
	for name := range good {
		staged := night.Staged(mustDay(t, day), name)
		if err := h.store.Copy(t.Context(), day, name, day, staged); err != nil {
			t.Fatal(err)
		}
		if err := h.store.Delete(t.Context(), day, name); err != nil {
			t.Fatal(err)
		}
	}
	// The next run gets no further than that: production is away.
	h.prod.Pause()
	p = h.start("backup")
	h.publish(events.BackupRequested, &pb.BackupRequested{Day: day, Force: true})
	testbed.Eventually(t, time.Minute, "the staged day to be finished", func() bool {
		now := h.list(day)
		return now[day+"/manifest.json"].MD5 == good[day+"/manifest.json"].MD5 && len(now) == len(good)
	})
	for name, o := range good {
		if now := h.list(day)[name]; now.MD5 != o.MD5 {
			t.Errorf("%s is %+v, it was %+v", name, now, o)
		}
	}
	// A finished day is replaced from beside, never in place.
	testbed.Eventually(t, time.Minute, "the run to fail", func() bool { return strings.Contains(p.logged(), "tried again") })
	if _, inPlace := h.list(day)[night.RunObject(mustDay(t, day))]; inPlace {
		t.Error("the finished day is written in place")
	}
	h.prod.Resume()
	awaitOn[*pb.BackupCompleted](h, seq+1, events.BackupCompleted, events.BackupFailed)
}
