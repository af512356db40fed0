package retention_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"nightshard/shared/connect"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/objstore/memory"
	"nightshard/shared/objstore/objstoretest"
	"nightshard/shared/retention"
	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// put stores an object of some bytes.
func put(t *testing.T, store objstore.Account, container, name, text string) night.Stored {
	t.Helper()
	o, err := store.Put(t.Context(), container, name, objstore.NewSource([]byte(text)), objstore.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := night.Stored{Object: name, Bytes: o.Size, MD5: o.MD5}
	if o.Listed != o.MD5 {
		s.Listed = o.Listed
	}
	return s
}

func parse(t *testing.T, text string) night.Day {
	t.Helper()
	day, err := night.ParseDay(text)
	if err != nil {
		t.Fatal(err)
	}
	return day
}

// finish stores a finished day with two shards and a dump. drill is passed,
// failed or none.
func finish(t *testing.T, store objstore.Account, text, drill string) {
	t.Helper()
	day := parse(t, text)
	from, to := day.Window(time.UTC)
	m := &night.Manifest{
		Schema: night.Schema, Day: text, Database: "db", TimeZone: "UTC", Request: "request of " + text, Cutoff: to,
		Meta: put(t, store, text, night.MetaObject(day), "meta"),
	}
	for _, id := range []uint64{9, 10} {
		name := night.ShardName{Database: "db", RetentionPolicy: "autogen", ID: id}.Object(day)
		m.Shards = append(m.Shards, night.Shard{Stored: put(t, store, text, name, strings.Repeat("x", 2000)), ID: id, RetentionPolicy: "autogen", Start: from, End: to})
	}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, text, night.ManifestObject(day), string(data))
	name, _ := night.DumpObject(day, "disk/free")
	put(t, store, text, name, "[\n]\n")
	if drill == "none" {
		return
	}
	d := &night.Drill{Schema: night.Schema, Day: text, Database: "db", Backup: m.Request, Passed: drill == "passed", FinishedAt: to}
	if data, err = d.Encode(); err != nil {
		t.Fatal(err)
	}
	put(t, store, text, night.DrillObject(day), string(data))
}

// week is a store with seven good days.
func week(t *testing.T) objstore.Account {
	t.Helper()
	store := memory.New()
	for i := range 7 {
		finish(t, store, fmt.Sprintf("2016-06-%02d", i+1), "passed")
	}
	return store
}

func nobody(context.Context) (map[night.Day]string, error) { return nil, nil }

func options(keep night.Keep) retention.Options {
	return retention.Options{Keep: keep, Database: "db", Busy: nobody, Now: time.Now, Parallel: 3}
}

func all(retention.Day) bool { return true }

// apply removes what the rules say and lists the days that went.
func apply(t *testing.T, store objstore.Account, o retention.Options) string {
	t.Helper()
	days, err := retention.Apply(t.Context(), store, o, all)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range days {
		out = append(out, d.Day)
	}
	return strings.Join(out, " ")
}

// containers are the names of the containers that begin with prefix.
func containers(t *testing.T, store objstore.Account, prefix string) string {
	t.Helper()
	var out []string
	err := store.Containers(t.Context(), prefix, func(c objstore.Container) error {
		out = append(out, c.Name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func TestOnlyDaysThatNoRuleKeepsGo(t *testing.T) {
	t.Parallel()
	store := week(t)
	put(t, store, "not-a-day", "x", "x")
	if gone := apply(t, store, options(night.Keep{})); gone != "" {
		t.Errorf("without a rule %s went", gone)
	}
	if gone := apply(t, store, options(night.Keep{Days: 4, Weeks: 2})); gone != "2016-06-01 2016-06-02 2016-06-03" {
		t.Errorf("gone: %s", gone)
	}
	if left := containers(t, store, ""); left != "2016-06-04 2016-06-05 2016-06-06 2016-06-07 not-a-day" {
		t.Errorf("left: %s", left)
	}
}

func TestPlanSaysWhatAndWhyAndRemovesNothing(t *testing.T) {
	t.Parallel()
	store := week(t)
	days, err := retention.Plan(t.Context(), store, options(night.Keep{Days: 3}))
	if err != nil {
		t.Fatal(err)
	}
	if len(days) != 7 || !days[3].Remove || days[4].Remove || days[3].Objects != 6 || days[3].Bytes < 100 {
		t.Errorf("plan %+v", days)
	}
	if why := strings.Join(days[5].Why, ", "); why != "3d, one of the newest two with a passed drill" {
		t.Errorf("why: %s", why)
	}
	if again := containers(t, store, "2016"); strings.Count(again, " ") != 6 {
		t.Errorf("left: %s", again)
	}
}

// Each is a day that no rule keeps and that must stay all the same.
func TestWhatMustStay(t *testing.T) {
	t.Parallel()
	const day = "2016-06-01"
	for name, c := range map[string]struct {
		spoil func(*testing.T, objstore.Account)
		why   string
	}{
		"an object of somebody else":  {func(t *testing.T, s objstore.Account) { put(t, s, day, "notes.txt", "x") }, `"notes.txt"`},
		"one that looks like a shard": {func(t *testing.T, s objstore.Account) { put(t, s, day, day+"/shards/README", "x") }, "README"},
		"one beside the dumps":        {func(t *testing.T, s objstore.Account) { put(t, s, day, day+"/influxdb/cpu.csv", "x") }, "cpu.csv"},
		"a segment of somebody else":  {func(t *testing.T, s objstore.Account) { put(t, s, day+"_segments", "video/1.2/3/00000001", "x") }, "video"},
		"no segment at all":           {func(t *testing.T, s objstore.Account) { put(t, s, day+"_segments", "x", "x") }, day + "_segments/x"},
		"a run under way":             {func(t *testing.T, s objstore.Account) { put(t, s, day, day+"/incoming/shards/meta.00", "x") }, "under way"},
		"a first run under way": {func(t *testing.T, s objstore.Account) {
			drop(t, s, day, day+"/manifest.json")
			put(t, s, day, day+"/incoming/run.json", `{"request":"42@1"}`)
		}, "under way"},
		"an unreadable mark":     {func(t *testing.T, s objstore.Account) { put(t, s, day, day+"/incoming/run.json", "{") }, "under way"},
		"a damaged manifest":     {func(t *testing.T, s objstore.Account) { put(t, s, day, day+"/manifest.json", "{") }, "cannot be trusted"},
		"a damaged archive":      {func(t *testing.T, s objstore.Account) { put(t, s, day, day+"/shards/meta.00", "?") }, "damaged"},
		"a lost manifest":        {func(t *testing.T, s objstore.Account) { drop(t, s, day, day+"/manifest.json") }, "lost"},
		"a backup by old script": {func(t *testing.T, s objstore.Account) { old(t, s, day) }, "an old script's"},
		"dumps alone": {func(t *testing.T, s objstore.Account) {
			old(t, s, day)
			for _, o := range []string{"meta.00", "db.autogen.00009.00"} {
				drop(t, s, day, day+"/shards/"+o)
			}
		}, "no backup"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := week(t)
			c.spoil(t, store)
			if gone := apply(t, store, options(night.Keep{Days: 6})); gone != "" {
				t.Errorf("%s went", gone)
			}
			days, err := retention.Plan(t.Context(), store, options(night.Keep{Days: 6}))
			if err != nil || days[0].Remove || !strings.Contains(strings.Join(days[0].Why, ", "), c.why) {
				t.Errorf("plan %+v, %v", days[0], err)
			}
		})
	}
}

func drop(t *testing.T, store objstore.Account, container, name string) {
	t.Helper()
	if err := store.Delete(t.Context(), container, name); err != nil {
		t.Fatal(err)
	}
}

// old makes an old script's day of a finished one.
func old(t *testing.T, store objstore.Account, day string) {
	t.Helper()
	for _, name := range []string{"/manifest.json", "/drill.json", "/shards/db.autogen.00010_.00"} {
		drop(t, store, day, day+name)
	}
}

func TestAnotherDatabaseStays(t *testing.T) {
	t.Parallel()
	o := options(night.Keep{Days: 3})
	o.Database = "other"
	if gone := apply(t, week(t), o); gone != "" {
		t.Errorf("%s went", gone)
	}
}

func TestOldScriptsDaysGoOnlyWhenTheyAreNamed(t *testing.T) {
	t.Parallel()
	store := week(t)
	for _, day := range []string{"2016-06-01", "2016-06-02", "2016-06-04"} {
		old(t, store, day)
	}
	o := options(night.Keep{Days: 4})
	if gone := apply(t, store, o); gone != "" {
		t.Errorf("%s went", gone)
	}
	o.Old = true
	if gone := apply(t, store, o); gone != "2016-06-01 2016-06-02 2016-06-03" {
		t.Errorf("gone: %s", gone)
	}
}

func TestADayThatSomebodyWorksOnStays(t *testing.T) {
	t.Parallel()
	store := week(t)
	o := options(night.Keep{Days: 3})
	asked := 0
	o.Busy = func(context.Context) (map[night.Day]string, error) {
		busy := map[night.Day]string{parse(t, "2016-06-02"): "restore works on it"}
		if asked++; asked > 1 { // work that began after the plan was made
			busy[parse(t, "2016-06-03")] = "restore works on it"
		}
		return busy, nil
	}
	if gone := apply(t, store, o); gone != "2016-06-01 2016-06-04" {
		t.Errorf("gone: %s", gone)
	}
	o.Busy = func(context.Context) (map[night.Day]string, error) { return nil, errors.New("NATS is away") }
	if _, err := retention.Apply(t.Context(), store, o, all); err == nil || !strings.Contains(err.Error(), "NATS is away") {
		t.Errorf("nobody knows who is at work, and days go: %v", err)
	}
}

// A backup of the day that begins meanwhile writes its own mark; from there on
// nothing of the day is removed.
func TestARunThatBeginsMeanwhileIsLeftAlone(t *testing.T) {
	t.Parallel()
	store := week(t)
	for i := range 40 { // more than one batch
		name, _ := night.DumpObject(parse(t, "2016-06-01"), fmt.Sprintf("m%02d", i))
		put(t, store, "2016-06-01", name, "[\n]\n")
	}
	racing := &racer{Account: store, day: "2016-06-01", after: 10}
	if gone := apply(t, racing, options(night.Keep{Days: 6})); gone != "" {
		t.Errorf("%s went", gone)
	}
	left := 0
	err := store.List(t.Context(), "2016-06-01", "", func(objstore.Object) error { left++; return nil })
	if err != nil || left < 20 {
		t.Errorf("%d objects left, %v", left, err)
	}
	days, err := retention.Plan(t.Context(), store, options(night.Keep{Days: 6}))
	if err != nil || days[0].Remove || !strings.Contains(days[0].Why[0], "under way") {
		t.Errorf("plan %+v, %v", days[0], err)
	}
}

// racer writes the mark of a run after some removals.
type racer struct {
	objstore.Account
	day   string
	after int
	mu    sync.Mutex
}

func (r *racer) Delete(ctx context.Context, container, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.after--; r.after == 0 {
		_, err := r.Put(ctx, r.day, r.day+"/incoming/run.json", objstore.NewSource([]byte(`{"request":"42@1"}`)), objstore.PutOptions{})
		if err != nil {
			return err
		}
	}
	return r.Account.Delete(ctx, container, name)
}

// A crash at any call leaves a day that is whole, or visibly unfinished, or
// gone; and the next call finishes the removal.
func TestCrashAtAnyCallIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		for call := 1; ; call++ {
			store := week(t)
			faulty := objstoretest.NewFaulty(store, objstoretest.Fault{Call: call, Err: errors.New("killed"), Late: late})
			o := options(night.Keep{Days: 6})
			o.Parallel = 1
			_, err := retention.Apply(t.Context(), faulty, o, all)
			if total := calls(faulty); total < call {
				if err != nil || total < 20 {
					t.Fatalf("the undisturbed removal made %d calls: %v", total, err)
				}
				break
			}
			faulty.Mend()
			seemsWhole(t, store, call)
			if gone := apply(t, store, o); gone != "2016-06-01" && containers(t, store, "2016-06-01") != "" {
				t.Errorf("call %d, late %t: then %q went", call, late, gone)
			}
			if left := containers(t, store, "2016-06-0"); left != "2016-06-02 2016-06-03 2016-06-04 2016-06-05 2016-06-06 2016-06-07" {
				t.Errorf("call %d, late %t: left %s", call, late, left)
			}
		}
	}
}

// calls is how often any method was called.
func calls(f *objstoretest.Faulty) int {
	n := 0
	for _, op := range []objstoretest.Op{
		objstoretest.Put, objstoretest.Get, objstoretest.List, objstoretest.Delete, objstoretest.Containers, objstoretest.DeleteContainer,
	} {
		n += f.Calls(op)
	}
	return n
}

// seemsWhole fails the test if the day counts as a backup and lacks something.
func seemsWhole(t *testing.T, store objstore.Account, call int) {
	t.Helper()
	day := parse(t, "2016-06-01")
	names := map[string]bool{}
	err := store.List(t.Context(), day.String(), "", func(o objstore.Object) error { names[o.Name] = true; return nil })
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		t.Fatal(err)
	}
	whole := names[night.MetaObject(day)] && names[day.String()+"/shards/db.autogen.00009.00"] && names[day.String()+"/shards/db.autogen.00010_.00"]
	switch {
	case names[night.ManifestObject(day)] && !whole:
		t.Errorf("call %d: a manifest without its shards: %v", call, names)
	case !names[night.ManifestObject(day)] && len(names) > 0 && !names[night.RunObject(day)]:
		t.Errorf("call %d: it looks like an old script's: %v", call, names)
	}
}

// A listing may be behind: the dump that it left out is found by the next one, or
// else the day stays visibly unfinished.
func TestAListingThatIsBehindLeavesNoDayInHalves(t *testing.T) {
	t.Parallel()
	const day = "2016-06-01"
	name, _ := night.DumpObject(parse(t, day), "disk/free")
	for _, always := range []bool{false, true} {
		store := week(t)
		_, err := retention.Apply(t.Context(), &behind{Account: store, name: name, always: always}, options(night.Keep{Days: 6}), all)
		if (err != nil) != always {
			t.Fatalf("always %t: %v", always, err)
		}
		if always && !strings.Contains(err.Error(), day) {
			t.Errorf("the day is not named: %v", err)
		}
		seemsWhole(t, store, 0)
		if left := containers(t, store, day); always != (left == day) {
			t.Errorf("always %t: left %q", always, left)
		}
		if apply(t, store, options(night.Keep{Days: 6})); containers(t, store, day) != "" {
			t.Error("the next call does not finish it")
		}
	}
}

// behind hides an object from listings until something was removed, or always.
type behind struct {
	objstore.Account
	name    string
	always  bool
	removed atomic.Bool
}

func (b *behind) Delete(ctx context.Context, container, name string) error {
	b.removed.Store(true)
	return b.Account.Delete(ctx, container, name)
}

func (b *behind) List(ctx context.Context, container, prefix string, each func(objstore.Object) error) error {
	hide := b.always || !b.removed.Load()
	return b.Account.List(ctx, container, prefix, func(o objstore.Object) error {
		if hide && o.Name == b.name {
			return nil
		}
		return each(o)
	})
}

func TestDaysGoFromARealSwift(t *testing.T) {
	t.Parallel()
	vars := testbed.Swift(t).Env
	store, err := connect.Store(t.Context(), vars, service.Common{SegmentBytes: 1500}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	for _, day := range []string{"2016-06-01", "2016-06-02", "2016-06-03", "2016-06-04"} {
		finish(t, store, day, "passed")
	}
	put(t, store, "2016-06-02", "2016-06-02/shards/notes.txt", "x")
	if segments := containers(t, store, "2016-06-01_"); segments != "2016-06-01_segments" {
		t.Fatalf("the archives are not in segments: %q", segments)
	}
	// What a crash leaves: segments without their object.
	name, _ := night.DumpObject(parse(t, "2016-06-01"), "cpu")
	put(t, store, "2016-06-01_segments", name+"/slo/1464825600.1/5/00000001", "x")
	if gone := apply(t, store, options(night.Keep{Days: 2})); gone != "2016-06-01" {
		plan, err := retention.Plan(t.Context(), store, options(night.Keep{Days: 2}))
		t.Errorf("gone: %s; plan now %+v, %v", gone, plan, err)
	}
	want := "2016-06-02 2016-06-02_segments 2016-06-03 2016-06-03_segments 2016-06-04 2016-06-04_segments"
	if left := containers(t, store, "2016"); left != want {
		t.Errorf("left: %s", left)
	}
}
