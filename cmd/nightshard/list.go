package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"nightshard/shared/proof"
)

const listExamples = `  nightshard list
  nightshard list --last 30
  nightshard list --json | jq -r '.[] | select(.state != "finished") | .day'`

func (a *app) listCommand() *cobra.Command {
	var last int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "The days in Swift: state, size, drill, dumps",
		Long: `The days in Swift, oldest first: containers named YYYY-MM-DD.

States: finished (the manifest is there, and every object that it names with its
size and MD5), DAMAGED (not so: nightshard verify says more), unfinished (a run
is under way or was cut off), old script's (archives without a manifest), no
backup (none at all), missing (no container between two others).`,
		Example: listExamples,
		Args:    wants(),
		RunE: a.does(func(ctx context.Context, _ []string) error {
			if last < 0 {
				return misuse("--last is %d, want a number above zero", last)
			}
			return a.list(ctx, last)
		}),
	}
	cmd.Flags().IntVar(&last, "last", 0, "only so many of the newest days (default: all)")
	return cmd
}

func (a *app) list(ctx context.Context, last int) error {
	if _, err := a.settings(); err != nil {
		return err
	}
	days, err := a.readDays(ctx, last)
	if err != nil {
		return err
	}
	if a.asJSON {
		if days == nil {
			days = []daySummary{}
		}
		return a.out.json(days)
	}
	if len(days) == 0 {
		a.out.printf("No day is stored yet. Ask for one: nightshard request backup --follow\n")
		return nil
	}
	a.out.table(columns{"DAY", "STATE", ">SHARDS", ">SIZE", ">DUMPS", ">AGE", "DRILL"}, a.dayRows(days))
	return nil
}

// readDays opens Swift and looks at the newest days, 0: all of them.
func (a *app) readDays(ctx context.Context, last int) ([]daySummary, error) {
	var read, total atomic.Int64
	end := a.errs.life(func() string {
		if total.Load() == 0 {
			return "listing the days in Swift"
		}
		return fmt.Sprintf("reading days, %d of %d", read.Load(), total.Load())
	})
	defer end()
	store, _, err := a.store(ctx)
	if err != nil {
		return nil, err
	}
	days, err := proof.Days(ctx, store)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names what was read
	}
	if last > 0 && len(days) > last {
		days = days[len(days)-last:]
	}
	total.Store(int64(len(days)))
	summaries, err := summarize(ctx, store, days, &read)
	if err != nil {
		return nil, err
	}
	return withGaps(summaries), nil
}

func (a *app) dayRows(days []daySummary) [][]string {
	now := a.now()
	rows := make([][]string, 0, len(days))
	for i := range days {
		rows = append(rows, a.dayRow(&days[i], now))
	}
	return rows
}

func (a *app) dayRow(d *daySummary, now time.Time) []string {
	if d.State == stateMissing {
		name := d.Day
		if d.Through != "" {
			name += " to " + d.Through
		}
		return []string{name, a.out.warn(d.State), "-", "-", "-", "-", "-"}
	}
	return []string{
		d.Day, d.stateText(a.out), strconv.Itoa(d.Shards), bytesText(d.Bytes), strconv.Itoa(d.Dumps),
		ageText(now, d.Stored), d.drillText(a.out),
	}
}

func (d *daySummary) stateText(s *screen) string {
	switch d.State {
	case stateUnfinished, stateEmpty, stateDamaged:
		return s.warn(d.State)
	}
	return d.State
}
