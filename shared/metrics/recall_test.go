package metrics_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"nightshard/shared/events"
	"nightshard/shared/metrics"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/objstore/memory"
	"nightshard/shared/objstore/objstoretest"
	"nightshard/shared/testbed"
)

// patience bounds every wait. It is no measurement.
const patience = time.Minute

// errAway is that of a store that cannot be asked.
var errAway = errors.New("server is away")

func put(t *testing.T, store objstore.Account, day, name string, data []byte, meta map[string]string) {
	t.Helper()
	if _, err := store.Put(t.Context(), day, name, objstore.NewSource(data), objstore.PutOptions{Meta: meta}); err != nil {
		t.Fatal(err)
	}
}

func parsed(t *testing.T, text string) night.Day {
	t.Helper()
	day, err := night.ParseDay(text)
	if err != nil {
		t.Fatal(err)
	}
	return day
}

// backedUp stores the manifest of a day that ended finished after at.
func backedUp(t *testing.T, store objstore.Account, text, database string, finished time.Duration) {
	t.Helper()
	day := parsed(t, text)
	m := night.Manifest{
		Schema: night.Schema, Day: text, Database: database, Cutoff: at, StartedAt: at, FinishedAt: at.Add(finished),
		Meta: night.Stored{Object: night.MetaObject(day), Bytes: 5}, Warnings: []string{"much smaller"},
	}
	for _, id := range []uint64{3, 4} {
		name := night.ShardName{Database: database, RetentionPolicy: "autogen", ID: id}
		m.Shards = append(m.Shards, night.Shard{Stored: night.Stored{Object: name.Object(day), Bytes: 100}, ID: id, RetentionPolicy: "autogen"})
	}
	m.Shards[1].Carried = &night.Reading{Day: "2016-05-20"}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, text, night.ManifestObject(day), data, nil)
}

// drilled stores the verdict of a day.
func drilled(t *testing.T, store objstore.Account, text string, d night.Drill) {
	t.Helper()
	d.Schema, d.Day, d.Compared = night.Schema, text, 200
	if d.Database == "" {
		d.Database = "db"
	}
	data, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, text, night.DrillObject(parsed(t, text)), data, nil)
}

func dumpOf(t *testing.T, store objstore.Account, text, measurement string, meta map[string]string) {
	t.Helper()
	name, err := night.DumpObject(parsed(t, text), measurement)
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, text, name, []byte("[\n]\n"), meta)
}

// recall rebuilds all of it.
func (p *page) recall(t *testing.T, store objstore.Account) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p.Recall(ctx, store, zerolog.Nop())
	p.has(t, map[string]string{"recall_complete": "1"})
}

// years of old scripts' days, which have no record of ours.
func years(t *testing.T, store objstore.Account) {
	t.Helper()
	for day := parsed(t, "2015-12-01"); day.Before(parsed(t, "2016-05-01")); day = day.Add(1) {
		put(t, store, day.String(), night.MetaObject(day), []byte("x"), nil)
	}
	put(t, store, "not-a-day", "x", []byte("x"), nil)
}

func TestARestartForgetsNoBackup(t *testing.T) {
	t.Parallel()
	store := memory.New()
	years(t, store)
	backedUp(t, store, "2016-05-31", "db", 0)
	backedUp(t, store, "2016-06-01", "db", time.Minute)
	backedUp(t, store, "2016-06-02", "other", time.Hour)
	put(t, store, "2016-06-03", night.RunObject(parsed(t, "2016-06-03")), []byte("{}"), nil) // unfinished
	p := newPage(t, metrics.Backup)
	p.recall(t, store)
	p.has(t, map[string]string{
		"backup_last_success_timestamp_seconds": "1.46482569e+09", "backup_cutoff_timestamp_seconds": "1.46482563e+09", "backup_day_timestamp_seconds": "1.464732e+09",
		"backup_duration_seconds": "60", "backup_bytes": "205", "backup_shards": "2", "backup_carried_shards": "1", "backup_warnings": "1", `recall_failures_total{reason="damaged"}`: "0",
	})
}

func TestWhatAnEventSaidIsNewerThanWhatIsRecalled(t *testing.T) {
	t.Parallel()
	store := memory.New()
	backedUp(t, store, "2016-06-01", "db", 0)
	p := newPage(t, metrics.Backup)
	p.Ended(ended(events.OutcomeDone, 1, "", backupOf("2016-06-01", time.Hour)))
	p.recall(t, store)
	p.has(t, map[string]string{"backup_last_success_timestamp_seconds": "1.46482923e+09", "backup_shards": "16"})
}

func TestADamagedManifestIsNoGoodBackup(t *testing.T) {
	t.Parallel()
	store := memory.New()
	backedUp(t, store, "2016-06-01", "db", 0)
	put(t, store, "2016-06-02", "2016-06-02/manifest.json", []byte(`{"schema":1,"day":"2016-06-02"}`), nil)
	backedUp(t, store, "2016-06-03", "db", time.Hour)
	faulty := objstoretest.NewFaulty(store, objstoretest.Fault{Op: objstoretest.Get, Name: "2016-06-03/manifest.json", Corrupt: true})
	p := newPage(t, metrics.Backup)
	p.recall(t, faulty)
	p.has(t, map[string]string{"backup_last_success_timestamp_seconds": "1.46482563e+09", `recall_failures_total{reason="damaged"}`: "2"})
}

func TestWhatCannotBeReadIsNotExportedAndReadAgain(t *testing.T) {
	t.Parallel()
	for op, name := range map[objstoretest.Op]string{objstoretest.Get: "2016-06-01/manifest.json", objstoretest.Containers: ""} {
		store := memory.New()
		backedUp(t, store, "2016-05-31", "db", 0)
		backedUp(t, store, "2016-06-01", "db", time.Minute)
		// The first try fails: the day before must not stand for it.
		faulty := objstoretest.NewFaulty(store, objstoretest.Fault{Op: op, Name: name, Call: 1, Err: errAway})
		p := newPage(t, metrics.Backup)
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.Recall(t.Context(), faulty, zerolog.Nop())
		}()
		testbed.Eventually(t, patience, "a failure", func() bool { return p.scrape(t)[`recall_failures_total{reason="unanswered"}`] == "1" })
		if got := p.scrape(t); got["recall_complete"] == "0" && got["backup_last_success_timestamp_seconds"] != "" {
			t.Errorf("%s: a value that was not read is exported: %v", op, got)
		}
		<-done
		p.has(t, map[string]string{"backup_last_success_timestamp_seconds": "1.46482569e+09", "recall_complete": "1"})
	}
}

func TestAServiceThatStopsDoesNotWaitForSwift(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]objstoretest.Fault{
		"stalls": {Op: objstoretest.Containers, Stall: true}, "is away": {Op: objstoretest.Containers, Err: errAway},
	} {
		faulty := objstoretest.NewFaulty(memory.New(), fault)
		p := newPage(t, metrics.Dumper)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.Recall(ctx, faulty, zerolog.Nop())
		}()
		testbed.Eventually(t, patience, "a question", func() bool { return faulty.Calls(objstoretest.Containers) > 0 })
		cancel()
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatalf("Swift %s, and the service waits", what)
		}
		p.has(t, map[string]string{"recall_complete": "0"})
	}
}

func TestARestartForgetsNoVerdict(t *testing.T) {
	t.Parallel()
	passed := night.Drill{Passed: true, FinishedAt: at}
	store := memory.New()
	years(t, store)
	drilled(t, store, "2016-05-30", night.Drill{Passed: true, FinishedAt: at.Add(-time.Hour)})
	drilled(t, store, "2016-05-31", passed)
	p := newPage(t, metrics.Restore)
	p.recall(t, store)
	p.has(t, map[string]string{
		"drill_last_success_timestamp_seconds": "1.46482563e+09", "drill_last_failure_timestamp_seconds": "", "drill_compared": "200",
		"drill_differences": "0", "drill_day_timestamp_seconds": "1.4646456e+09",
	})
	// The newest failed: both are known, and the one that passed stays the last
	// good one. What proves nothing, and what is of another database, is neither.
	drilled(t, store, "2016-06-01", night.Drill{FinishedAt: at.Add(time.Minute), Differences: make([]night.Difference, 300)})
	drilled(t, store, "2016-06-02", night.Drill{Passed: true, FinishedAt: at.Add(time.Hour), Note: night.NoFingerprint})
	drilled(t, store, "2016-06-03", night.Drill{Passed: true, FinishedAt: at.Add(time.Hour), Database: "other"})
	p = newPage(t, metrics.Restore)
	p.recall(t, store)
	p.has(t, map[string]string{
		"drill_last_success_timestamp_seconds": "1.46482563e+09", "drill_last_failure_timestamp_seconds": "1.46482569e+09", "drill_compared": "200",
		"drill_differences": "100", "drill_day_timestamp_seconds": "1.464732e+09",
	})
}

func TestARestartForgetsNoDump(t *testing.T) {
	t.Parallel()
	ours := func(complete string) map[string]string {
		return map[string]string{"complete": complete, "restore-id": "7@1"}
	}
	store := memory.New()
	dumpOf(t, store, "2016-05-30", "cpu", ours("true"))
	dumpOf(t, store, "2016-05-31", "cpu", ours("true"))
	dumpOf(t, store, "2016-05-31", "disk/free", ours("true"))
	dumpOf(t, store, "2016-06-01", "cpu", ours("false"))
	dumpOf(t, store, "2016-06-01", "once", ours("true"))
	dumpOf(t, store, "2016-06-02", "cpu", nil) // an old script's
	put(t, store, "2016-06-03", "2016-06-03/manifest.json", []byte("x"), nil)
	p := newPage(t, metrics.Dumper)
	p.recall(t, store)
	got := p.scrape(t)
	p.has(t, map[string]string{
		`dump_day_timestamp_seconds{measurement="cpu"}`: "1.464732e+09", `dump_complete{measurement="cpu"}`: "0", `dump_bytes{measurement="cpu"}`: "4",
		`dump_complete_day_timestamp_seconds{measurement="cpu"}`: "1.4646456e+09", `dump_records{measurement="cpu"}`: "",
		`dump_day_timestamp_seconds{measurement="disk/free"}`: "1.4646456e+09", `dump_complete{measurement="disk/free"}`: "1",
		`dump_complete_day_timestamp_seconds{measurement="disk/free"}`: "1.4646456e+09", `dump_day_timestamp_seconds{measurement="once"}`: "",
	})
	if stored := got[`dump_last_success_timestamp_seconds{measurement="cpu"}`]; !strings.HasPrefix(stored, "1.") {
		t.Errorf("stored at %q", stored)
	}
	for _, fault := range []objstoretest.Fault{
		{Op: objstoretest.List, Name: "2016-06-01", Call: 1, Err: errAway}, {Op: objstoretest.Get, Call: 1, Err: errAway},
	} {
		p := newPage(t, metrics.Dumper)
		p.recall(t, objstoretest.NewFaulty(store, fault))
		p.has(t, map[string]string{`dump_day_timestamp_seconds{measurement="cpu"}`: "1.464732e+09", `recall_failures_total{reason="unanswered"}`: "1"})
	}
}
