package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/proof"
)

// doctorDays is how many days back the doctor looks.
const doctorDays = 14

// checkDays looks at the newest days in Swift.
func (d *doctor) checkDays(ctx context.Context) findings {
	var f findings
	store, _, err := d.store(ctx)
	if err != nil {
		f.unknown("how the last nights went: Swift cannot be read", "what was wrong last night is wrong tonight", "see swift above")
		return f
	}
	days, err := proof.Days(ctx, store)
	if err == nil && len(days) == 0 {
		f.warning("no day is stored yet", "nothing shows yet that a night works from end to end", "nightshard request backup --follow")
		return f
	}
	var newest []daySummary
	if err == nil {
		newest, err = summarize(ctx, store, lastDays(days, doctorDays), &atomic.Int64{})
	}
	if err != nil {
		f.unknown("how the last nights went: "+err.Error(), "what was wrong last night is wrong tonight", "nightshard list")
		return f
	}
	d.lastNight(&f, newest)
	d.gaps(&f, newest)
	for i := range newest {
		d.day(&f, &newest[i], i == len(newest)-1)
	}
	d.proved(&f, newest)
	d.dumpsOf(ctx, store, &f, newest)
	return f
}

// lastDays are the last n of all.
func lastDays(days []night.Day, n int) []night.Day { return days[max(0, len(days)-n):] }

// lastNight says whether the night that was due last is there.
func (d *doctor) lastNight(f *findings, days []daySummary) {
	loc := d.common.Location()
	due, day := d.lastDue(loc)
	if due.IsZero() {
		return
	}
	first := days[0].day
	for i := range days {
		if days[i].day == day && days[i].State == stateFinished {
			f.ok("the night of %s, due %s, is stored: %s in %s", day, due.In(loc).Format("Mon 15:04 MST"), bytesText(days[i].Bytes), plural(days[i].Shards, "shard"))
			return
		}
	}
	if day.Before(first) || d.now().Sub(due) < time.Hour {
		return // it may be at work
	}
	f.problem(fmt.Sprintf("the night of %s, due %s, is not stored", day, due.In(loc).Format("Mon 2006-01-02 15:04 MST")),
		"what kept it away may keep tonight's away", "nightshard status says what failed last; nightshard request backup --follow")
}

// lastDue is when the last night was due, and its day. It is zero without a
// schedule.
func (d *doctor) lastDue(loc *time.Location) (time.Time, night.Day) {
	s, err := schedule(orElse(d.vars["NIGHTSHARD_SCHEDULE"], "55 23 * * *"))
	if err != nil || s == nil {
		return time.Time{}, night.Day{}
	}
	now := d.now().In(loc)
	var last time.Time
	for t := s.Next(now.Add(-8 * 24 * time.Hour)); !t.IsZero() && !t.After(now); t = s.Next(t) {
		last = t
	}
	return last, night.Rule(orElse(d.vars["NIGHTSHARD_DAY"], string(night.Today))).Day(last, loc)
}

// gaps names missing days. Rules of retention leave gaps in what is older than
// the days that they keep one by one.
func (d *doctor) gaps(f *findings, days []daySummary) {
	keep, err := night.ParseKeep(d.vars["NIGHTSHARD_KEEP"])
	recent := days
	if err == nil && !keep.All() {
		recent = days[max(0, len(days)-max(keep.Days, 2)):]
	}
	for _, g := range withGaps(recent) {
		if g.State != stateMissing {
			continue
		}
		name := g.Day
		if g.Through != "" {
			name += " to " + g.Through
		}
		f.warning("no backup of "+name, "that night failed, or nobody asked for it; a past day cannot be backed up as it was", "nightshard watch --since 720h --failed says what failed")
	}
}

// day says what is wrong with one.
func (d *doctor) day(f *findings, day *daySummary, newest bool) {
	show := "nightshard show " + day.Day
	switch {
	case day.State == stateDamaged:
		f.problem(fmt.Sprintf("%s is damaged: %s", day.Day, plural(len(day.Problems), "problem")), "it cannot be restored whole, and tonight copies nothing from it", "nightshard verify "+day.Day)
	case day.State == stateUnfinished && !newest:
		f.warning(day.Day+" is unfinished", "its run was cut off and never ended", "nightshard request backup --day "+day.Day+" --follow")
	case day.Drill == "failed":
		level := levelWarning
		if newest {
			level = levelProblem
		}
		f.add(level, fmt.Sprintf("the drill of %s failed: %s", day.Day, plural(day.Differences, "difference")),
			"what came back is not what production had", show+"; nightshard request restore "+day.Day+" --follow tries again")
	}
}

// proved says how old the newest proof is.
func (d *doctor) proved(f *findings, days []daySummary) {
	const why = "a backup that was never restored is a hope"
	for i := range slices.Backward(days) {
		if days[i].Drill != "passed" {
			continue
		}
		if age := len(days) - 1 - i; age > 1 {
			f.problem(fmt.Sprintf("the newest day with a passed drill is %s; the %d days after it have none", days[i].Day, age), why,
				"see that services/restore runs: nightshard status; nightshard request restore "+days[len(days)-1].Day+" --follow")
			return
		}
		f.ok("the restore of %s passed its drill", days[i].Day)
		return
	}
	f.warning(fmt.Sprintf("none of the last %s passed a drill", plural(len(days), "day")), why, "nightshard request restore "+days[len(days)-1].Day+" --follow")
}

// dumpsOf looks for dumps that still lack their last minutes. The next night
// completes those of the last week; those of the newest day are not due.
func (d *doctor) dumpsOf(ctx context.Context, store objstore.Account, f *findings, days []daySummary) {
	if len(days) < 2 {
		return
	}
	open := make([][]string, len(days)-1)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelDays)
	for i := range open {
		g.Go(func() (err error) {
			open[i], err = incompleteDumps(gctx, store, days[i].day)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		f.unknown("which dumps are incomplete: "+err.Error(), "readers may miss a day's last minutes", "nightshard show DAY")
		return
	}
	found := false
	for i, names := range open {
		if len(names) == 0 {
			continue
		}
		found = true
		f.warning(fmt.Sprintf("dumps of %s lack the day's last minutes: %s", days[i].Day, strings.Join(names, ", ")), "the night after should have written them again",
			"see that the dumper runs; the next night completes those of the last 7 days; older: nightshard request dump --measurement NAME --from "+days[i].Day)
	}
	if !found {
		f.ok("no dump of an earlier day lacks its last minutes")
	}
}

// incompleteDumps are the measurements whose dump says that it is not complete,
// and that have no other one, in another format, that is.
func incompleteDumps(ctx context.Context, store objstore.Account, day night.Day) ([]string, error) {
	dumps, err := listDumps(ctx, store, day, dumpsOptions{})
	if err != nil {
		return nil, err
	}
	open, whole := map[string]bool{}, map[string]bool{}
	for _, s := range dumps {
		err := store.Get(ctx, day.String(), s.object.Name, func(o objstore.Object, _ io.Reader) error {
			if complete := completeOf(o.Meta); complete != nil && *complete {
				whole[s.measurement] = true
			} else if complete != nil {
				open[s.measurement] = true
			}
			return objstore.ErrSkipBody
		})
		if err != nil {
			return nil, fmt.Errorf("look at dump %s: %w", s.object.Name, err)
		}
	}
	maps.DeleteFunc(open, func(m string, _ bool) bool { return whole[m] })
	return slices.Sorted(maps.Keys(open)), nil
}
