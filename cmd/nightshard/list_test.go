package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"nightshard/shared/night"
	"nightshard/shared/objstore/memory"
	"nightshard/shared/testbed"
)

func TestListShowsEveryDayAndTheGapsBetween(t *testing.T) {
	t.Parallel()
	r := cli{store: house(t), change: func(a *app) {
		a.now = func() time.Time { return time.Now().Add(3 * time.Hour) }
	}}.run(t, "list").done(t)
	want := `DAY                       STATE         SHARDS    SIZE  DUMPS    AGE  DRILL
2016-05-25                old script's       2    15 B      0  3h00m  -
2016-05-26 to 2016-05-31  missing            -       -      -      -  -
2016-06-01                finished           2  1.1 kB      2  3h00m  passed
2016-06-02                finished           2  1.1 kB      0  3h00m  FAILED, 1 difference
2016-06-03                missing            -       -      -      -  -
2016-06-04                unfinished         1  2.0 kB      0      -  -
2016-06-05                no backup          0     0 B      0      -  -
`
	if r.out != want {
		t.Errorf("got\n%s\nwant\n%s", r.out, want)
	}
}

func TestListAsJSONHasTheSameDays(t *testing.T) {
	t.Parallel()
	days := decode[[]daySummary](t, cli{store: house(t)}.run(t, "list", "--json").done(t))
	var states []string
	for _, d := range days {
		states = append(states, d.Day+" "+d.State)
	}
	got := strings.Join(states, ", ")
	want := "2016-05-25 old script's, 2016-05-26 missing, 2016-06-01 finished, 2016-06-02 finished, " +
		"2016-06-03 missing, 2016-06-04 unfinished, 2016-06-05 no backup"
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if d := days[1]; d.Through != "2016-05-31" {
		t.Errorf("gap ends %q", d.Through)
	}
	if d := days[2]; d.Shards != 2 || d.Bytes != 1150 || d.Dumps != 2 || d.Drill != "passed" || d.Stored.IsZero() {
		t.Errorf("day %+v", d)
	}
	if days[0].OldForm != 1 || days[2].OldForm != 0 {
		t.Errorf("old form: %d and %d archives", days[0].OldForm, days[2].OldForm)
	}
	if days[3].Differences != 1 {
		t.Errorf("differences %d", days[3].Differences)
	}
}

func TestListCanBeLimitedToTheNewestDays(t *testing.T) {
	t.Parallel()
	days := decode[[]daySummary](t, cli{store: house(t)}.run(t, "list", "--json", "--last", "2").done(t))
	if len(days) != 2 || days[0].Day != "2016-06-04" {
		t.Errorf("days %+v", days)
	}
}

func TestEmptyAccountSaysWhatToDo(t *testing.T) {
	t.Parallel()
	cli{store: memory.New()}.run(t, "list").done(t).shows(t, "nightshard request backup")
	if r := (cli{store: memory.New()}).run(t, "list", "--json").done(t); strings.TrimSpace(r.out) != "[]" {
		t.Errorf("JSON %q", r.out)
	}
}

func TestDrillOlderThanTheBackupIsOutdated(t *testing.T) {
	t.Parallel()
	store := memory.New()
	drillOf(t, store, "2016-06-01", night.Drill{Passed: true})
	time.Sleep(10 * time.Millisecond)
	fullDay(t, store, "2016-06-01")
	cli{store: store}.run(t, "list").done(t).shows(t, "outdated")
	cli{store: store}.run(t, "show", "2016-06-01").done(t).shows(t, "the drill is of an earlier backup")
}

func TestBrokenDrillHidesNoOtherDay(t *testing.T) {
	t.Parallel()
	store := house(t)
	put(t, store, "2016-06-01", "2016-06-01/drill.json", []byte("{"), nil)
	cli{store: store}.run(t, "list").done(t).shows(t, "unreadable", "2016-06-02")
}

func TestListReadsARealSwift(t *testing.T) {
	t.Parallel()
	env := testbed.Swift(t).Env
	a := newApp(env, &buffer{}, &buffer{})
	store, endpoint, err := a.openSwift(t.Context())
	if err != nil || endpoint == "" {
		t.Fatalf("open Swift at %q: %v", endpoint, err)
	}
	fullDay(t, store, "2016-06-01")
	drillOf(t, store, "2016-06-01", night.Drill{Passed: true, Note: night.NoFingerprint})
	dumpOf(t, store, "2016-06-01", "disk/free", "false")
	r := cli{env: env}.run(t, "list").done(t)
	if !regexp.MustCompile(`(?m)^2016-06-01  finished       2  1\.1 kB      1   \d+s  no fingerprint$`).MatchString(r.out) {
		t.Errorf("list\n%s", r.out)
	}
	cli{env: env}.run(t, "show", "2016-06-01").done(t).shows(t, "disk/free", "not yet", "2,000")
}
