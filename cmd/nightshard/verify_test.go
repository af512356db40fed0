package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/influx"
	"nightshard/shared/influx/influxtest"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/objstore/memory"
	"nightshard/shared/objstore/objstoretest"
	"nightshard/shared/proof"
	"nightshard/shared/service"
)

// goodDay stores a day that is whole: two shards without files, restored.
func goodDay(t *testing.T, store objstore.Account, text string) *night.Manifest {
	t.Helper()
	day := mustDay(t, text)
	from, to := day.Window(time.UTC)
	m := &night.Manifest{
		Schema: night.Schema, Day: text, Database: "db", Request: "1@" + text,
		Production: night.Production{ClusterID: "7"}, Cutoff: to, StartedAt: to, FinishedAt: to,
	}
	var known []influx.ShardMeta
	keep := func(name string, data []byte) night.Stored {
		put(t, store, text, name, data, nil)
		return night.Stored{Object: name, Bytes: int64(len(data)), MD5: objstoretest.MD5(data)}
	}
	for _, id := range []uint64{9, 10} {
		s := night.Shard{ID: id, RetentionPolicy: "autogen", Start: from, End: to, Files: []night.File{}, Counts: night.Fingerprint{}}
		s.Stored = keep(s.Name("db").Object(day), make([]byte, 1024))
		m.Shards = append(m.Shards, s)
		known = append(known, influx.ShardMeta{ID: id, Start: from, End: to})
	}
	m.Meta = keep(night.MetaObject(day), influxtest.Metastore(7, "db", "autogen", known...))
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, text, night.ManifestObject(day), data, nil)
	drillOf(t, store, text, night.Drill{Database: "db", Backup: m.Request, Passed: true})
	return m
}

// cutDay stores a day of which the first archive is cut.
func cutDay(t *testing.T, store objstore.Account, text string) (object string) {
	t.Helper()
	object = goodDay(t, store, text).Shards[0].Object
	put(t, store, text, object, make([]byte, 512), nil)
	return object
}

func TestVerifyTellsGoodFromDamaged(t *testing.T) {
	t.Parallel()
	store := memory.New()
	goodDay(t, store, "2016-06-01")
	object := cutDay(t, store, "2016-06-02")
	oldDay(t, store, "2016-05-25")
	dumpOf(t, store, "2016-06-03", "cpu", "true")

	cli{store: store}.run(t, "verify", "2016-06-01", "--level", "restored").done(t).
		shows(t, "2016-06-01  good  (restored: 2 shards, 2.0 kB read)\n")
	cli{store: store}.run(t, "verify", "2016-06-01", "--level", "listing").done(t).
		shows(t, "2016-06-01  good  (listing: 2 shards)\n")

	r := cli{store: store}.run(t, "verify", "2016-06-02")
	r.shows(t, "2016-06-02  DAMAGED, 2 problems  (content:", "\n  "+object+": it has 512 bytes, 1024 were sent\n", "\n  "+object+": at byte 512: ")
	if r.code != service.ExitFailed || r.err != "" {
		t.Errorf("exit code %d, said %q", r.code, r.err)
	}
	r = cli{store: store}.run(t, "verify", "2016-06-03")
	r.shows(t, "2016-06-03  no backup\n")
	if r.code != service.ExitFailed {
		t.Errorf("a day that was asked for and has no backup: exit code %d", r.code)
	}
	r = cli{store: store}.run(t, "verify", "all", "--level", "listing")
	r.shows(t, "2016-05-25  DAMAGED", "meta.00", "2016-06-01  good", "2016-06-02  DAMAGED, 1 problem ", "2016-06-03  no backup\n")
	if r.code != service.ExitFailed {
		t.Errorf("exit code %d", r.code)
	}
}

func TestVerifyOfAllIsGoodBesideADayWithoutBackup(t *testing.T) {
	t.Parallel()
	store := memory.New()
	goodDay(t, store, "2016-06-01")
	dumpOf(t, store, "2016-06-03", "cpu", "true")
	cli{store: store}.run(t, "verify", "all").done(t).shows(t, "2016-06-01  good", "2016-06-03  no backup")
	reports := decode[[]proof.Report](t, cli{store: store}.run(t, "verify", "all", "--json").done(t))
	if len(reports) != 2 || !reports[0].Good || reports[0].Bytes != 2048 || !reports[1].NoBackup {
		t.Errorf("reports %+v", reports)
	}
	if r := decode[[]proof.Report](t, cli{store: memory.New()}.run(t, "verify", "all", "--json").done(t)); len(r) != 0 {
		t.Errorf("reports of no day: %+v", r)
	}
}

func TestVerifySaysWhatProvesTheRestore(t *testing.T) {
	t.Parallel()
	store := memory.New()
	goodDay(t, store, "2016-06-01")
	if err := store.Delete(t.Context(), "2016-06-01", "2016-06-01/drill.json"); err != nil {
		t.Fatal(err)
	}
	cli{store: store}.run(t, "verify", "2016-06-01").done(t)
	r := cli{store: store}.run(t, "verify", "2016-06-01", "--level", "restored")
	r.shows(t, "DAMAGED, 1 problem", "2016-06-01/drill.json: it is missing", "nightshard request restore 2016-06-01 proves it")
	if r.code != service.ExitFailed {
		t.Errorf("exit code %d", r.code)
	}
}

// What was verified before Swift stopped answering is not lost.
func TestVerifyOfAllKeepsWhatItHasSeen(t *testing.T) {
	t.Parallel()
	inner := memory.New()
	object := cutDay(t, inner, "2016-06-01")
	goodDay(t, inner, "2016-06-02")
	store := objstoretest.NewFaulty(inner, objstoretest.Fault{Op: objstoretest.List, Name: "2016-06-02", Err: errors.New("connection refused")})
	for _, args := range [][]string{{"verify", "all"}, {"verify", "all", "--json"}} {
		r := cli{store: store}.run(t, args...)
		r.shows(t, object)
		if r.code != service.ExitFailed || !strings.Contains(r.err, "verify 2016-06-02") || !strings.Contains(r.err, "connection refused") {
			t.Errorf("%v: exit code %d, said %q", args, r.code, r.err)
		}
	}
}

func TestVerifyMisused(t *testing.T) {
	t.Parallel()
	store := memory.New()
	goodDay(t, store, "2016-06-01")
	for _, args := range []string{"verify", "verify yesterday", "verify 2016-06-01 2016-06-02", "verify 2016-06-01 --level deep", "verify 2016-06-01 --level="} {
		if r := (cli{store: store}).run(t, strings.Fields(args)...); r.code != service.ExitMisuse || r.err == "" {
			t.Errorf("%s: exit code %d, said %q", args, r.code, r.err)
		}
	}
	r := cli{store: store}.run(t, "verify", "2016-06-09")
	if r.code != service.ExitFailed || !strings.Contains(r.err, "nightshard list") {
		t.Errorf("a day that is not there: exit code %d, said %q", r.code, r.err)
	}
}

func TestListAndStatusShowADamagedDay(t *testing.T) {
	t.Parallel()
	store := memory.New()
	goodDay(t, store, "2016-06-01")
	object := cutDay(t, store, "2016-06-02")
	r := cli{store: store}.run(t, "list").done(t)
	r.shows(t, "2016-06-01  finished", "2016-06-02  DAMAGED ")
	days := decode[[]daySummary](t, cli{store: store}.run(t, "list", "--json").done(t))
	if len(days[0].Problems) != 0 || len(days[1].Problems) != 1 || days[1].Problems[0].Object != object {
		t.Errorf("days %+v", days)
	}
	_, env := startBus(t, "")
	cli{env: env, store: store}.run(t, "status").done(t).shows(t,
		"Newest  2016-06-01,", "DAMAGED 2016-06-02, 1 problem: nightshard verify 2016-06-02\n")
	// One manifest that cannot be read does not hide the other days.
	put(t, store, "2016-06-02", "2016-06-02/manifest.json", []byte("{"), nil)
	cli{store: store}.run(t, "list").done(t).shows(t, "2016-06-01  finished", "2016-06-02  DAMAGED ")
}

func TestListKnowsAVerdictOnAnotherBackup(t *testing.T) {
	t.Parallel()
	store := memory.New()
	goodDay(t, store, "2016-06-01")
	drillOf(t, store, "2016-06-01", night.Drill{Database: "db", Backup: "0@earlier", Passed: true})
	cli{store: store}.run(t, "list").done(t).shows(t, "outdated")
}

func TestNewestGoodDayIsRequestedAndTheOthersNamed(t *testing.T) {
	t.Parallel()
	store := memory.New()
	goodDay(t, store, "2016-06-01")
	object := cutDay(t, store, "2016-06-02")
	bus, env := startBus(t, "")
	c := cli{env: env, store: store}
	r := c.run(t, "request", "restore", "newest", "--json").done(t)
	report := decode[askedReport](t, r)
	if !strings.Contains(string(report.Message), `"2016-06-01"`) {
		t.Errorf("requested %s", report.Message)
	}
	if len(report.PassedOver) != 1 || report.PassedOver[0].Day != "2016-06-02" || report.PassedOver[0].Problems[0].Object != object {
		t.Errorf("passed over %+v", report.PassedOver)
	}
	if !strings.Contains(r.err, "2016-06-02 is passed over, 2 problems: "+object) {
		t.Errorf("said %q", r.err)
	}
	// With no good day nothing is requested.
	cutDay(t, store, "2016-06-01")
	r = c.run(t, "request", "restore", "newest")
	if r.code != service.ExitFailed || !strings.Contains(r.err, "no stored day is good") || !strings.Contains(r.err, "2016-06-01 is passed over") {
		t.Errorf("exit code %d, said %q", r.code, r.err)
	}
	var asked []string
	err := bus.History(context.WithoutCancel(t.Context()), events.FromFirst(), func(e events.Event) error {
		if m, ok := e.Message.(*pb.RestoreRequested); ok {
			asked = append(asked, m.GetDay())
		}
		return nil
	})
	if err != nil || len(asked) != 1 {
		t.Errorf("requests for %v, %v", asked, err)
	}
}
