package main

import (
	"strings"
	"testing"

	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/objstore/memory"
	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// past is an account with six good days and an old script's.
func past(t *testing.T) objstore.Account {
	t.Helper()
	store := memory.New()
	oldDay(t, store, "2016-05-01")
	for _, day := range []string{"2016-05-30", "2016-05-31", "2016-06-01", "2016-06-02", "2016-06-03", "2016-06-04"} {
		provedDay(t, store, day)
	}
	return store
}

// provedDay stores a finished day whose drill passed.
func provedDay(t *testing.T, store objstore.Account, day string) {
	t.Helper()
	fullDay(t, store, day)
	drillOf(t, store, day, night.Drill{Passed: true, Database: "db"})
}

func pruner(t *testing.T, store objstore.Account, keep string) cli {
	t.Helper()
	server := testbed.NATS(t, testbed.NATSOptions{})
	return cli{store: store, env: map[string]string{"NATS_URL": server.URL, "NIGHTSHARD_KEEP": keep, "NIGHTSHARD_DATABASE": "db"}}
}

func TestDryRunShowsEachDayWithTheReason(t *testing.T) {
	t.Parallel()
	store := past(t)
	c := pruner(t, store, "2d 2m")
	c.run(t, "prune", "--dry-run").done(t).shows(t,
		"2016-05-01  keep          3    15 B  an old script's: the rules are not for it",
		"2016-05-30  remove        5",
		"2016-05-31  keep          5", "2m: newest of 2016-05",
		"2016-06-04  keep          5", "2d; 2m: newest of 2016-06; one of the newest two with a passed drill",
		"Nothing was removed; 3 days of 7 would be",
	)
	r := decode[pruneReport](t, c.run(t, "prune", "--dry-run", "--json", "--keep", "3d").done(t))
	if len(r.Days) != 7 || !r.DryRun || r.Keep != "3d" || !r.Days[3].Remove || r.Days[4].Remove || len(r.Removed) != 0 {
		t.Errorf("report %+v", r)
	}
	if days := decode[[]daySummary](t, c.run(t, "list", "--json").done(t)); len(days) != 8 { // a gap among them
		t.Errorf("%d days are left", len(days))
	}
}

func TestPruneRemovesWhatTheDryRunNamed(t *testing.T) {
	t.Parallel()
	store := past(t)
	c := pruner(t, store, "2d 2m")
	c.run(t, "prune", "--yes").done(t).shows(t, "3 days removed")
	left := ""
	for _, d := range decode[[]daySummary](t, c.run(t, "list", "--json").done(t)) {
		if d.State != stateMissing {
			left += d.Day + " "
		}
	}
	if left != "2016-05-01 2016-05-31 2016-06-03 2016-06-04 " {
		t.Errorf("left: %s", left)
	}
	c.run(t, "prune", "--yes").done(t).shows(t, "Nothing to remove")
	r := decode[pruneReport](t, c.run(t, "prune", "--yes", "--old-scripts", "--keep", "1d", "--json").done(t))
	if got := strings.Join(r.Removed, " "); got != "2016-05-01 2016-05-31" {
		t.Errorf("removed %s: %+v", got, r.Days)
	}
}

func TestPruneAsksAndTakesOnlyYes(t *testing.T) {
	t.Parallel()
	for answer, gone := range map[bool]string{false: "Nothing was removed; 4 days", true: "4 days removed"} {
		store, asked := past(t), ""
		c := pruner(t, store, "2d")
		c.change = func(a *app) { a.ask = func(q string) bool { asked = q; return answer } }
		c.run(t, "prune").done(t).shows(t, gone)
		if !strings.Contains(asked, "4 days") {
			t.Errorf("asked %q", asked)
		}
	}
}

func TestPruneIsRefusedWithoutRulesOrASayOrNATS(t *testing.T) {
	t.Parallel()
	for args, c := range map[string]struct {
		env  map[string]string
		code int
		says string
	}{
		"prune --dry-run":                  {nil, service.ExitMisuse, "NIGHTSHARD_KEEP"},
		"prune --dry-run --keep 14":        {nil, service.ExitMisuse, `--keep: parse retention "14"`},
		"prune --yes --dry-run":            {map[string]string{"NIGHTSHARD_KEEP": "14 days"}, service.ExitMisuse, "NIGHTSHARD_KEEP: parse retention"},
		"prune --keep 14d --yes --dry-run": {map[string]string{"NIGHTSHARD_KEEP_OLD": "no"}, service.ExitMisuse, "NIGHTSHARD_KEEP_OLD"},
		"prune --keep 14d":                 {nil, service.ExitMisuse, "--yes"},
		"prune --keep 14d --yes":           {nil, service.ExitFailed, "NATS"},
		"prune --keep 14d --dry-run extra": {nil, service.ExitMisuse, "extra"},
	} {
		r := cli{store: past(t), env: c.env, change: hasty}.run(t, strings.Fields(args)...)
		if r.code != c.code || !strings.Contains(r.err, c.says) {
			t.Errorf("%s: exit code %d, %s", args, r.code, r.err)
		}
	}
}
