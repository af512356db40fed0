package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"nightshard/shared/connect"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/retention"
)

const pruneExamples = `  nightshard prune --dry-run
  nightshard prune --dry-run --keep "14d 8w 12m 3y"
  nightshard prune --keep "14d 8w" --yes
  nightshard prune --dry-run --json | jq -r '.days[] | select(.remove) | .day'`

// pruneOptions are the flags.
type pruneOptions struct {
	dryRun, yes, old bool
	keep             string
}

// pruneReport is what is to become of each day, or became.
type pruneReport struct {
	Keep   string `json:"keep"`
	DryRun bool   `json:"dryRun"`
	// Days are all that are stored, oldest first.
	Days []retention.Day `json:"days"`
	// Removed are the days that went.
	Removed []string `json:"removed"`
}

func (a *app) pruneCommand() *cobra.Command {
	var opts pruneOptions
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove the days that no rule of retention keeps",
		Long: `Remove the days that no rule of retention keeps: their containers, with
archives, dumps and verdict. --dry-run shows what would become of each day, and
why, and removes nothing.

The rules are those of NIGHTSHARD_KEEP, or of --keep: the newest day of each of
the last so many days (d), weeks (w), months (m) and years (y), as restic and
borg count them. Only a day whose drill passed stands for its period. The backup
service does the same after each good night if NIGHTSHARD_KEEP is set.

Whatever the rules say, these stay: the newest two days whose drill passed and
all that are newer, every day while the newest drill failed, a day that a service
works on or that is unfinished or damaged, a container with an object that
Nightshard does not know, and the days of the old scripts (unless --old-scripts
or NIGHTSHARD_KEEP_OLD=false says that the rules are for them too).

A removal that was cut off is finished by the next call. On a terminal the
command asks first; elsewhere it wants --yes.`,
		Example: pruneExamples,
		Args:    wants(),
		RunE:    a.does(func(ctx context.Context, _ []string) error { return a.prune(ctx, opts) }),
	}
	cmd.Flags().BoolVar(&opts.dryRun, "dry-run", false, "show what would be removed, and remove nothing")
	cmd.Flags().BoolVar(&opts.yes, "yes", false, "do not ask")
	cmd.Flags().StringVar(&opts.keep, "keep", "", `rules, such as "14d 8w 12m 3y" (default: NIGHTSHARD_KEEP)`)
	cmd.Flags().BoolVar(&opts.old, "old-scripts", false, "the rules are for the days of the old scripts too")
	return cmd
}

func (a *app) prune(ctx context.Context, opts pruneOptions) error {
	keep, err := a.keepRules(opts.keep)
	if err != nil {
		return err
	}
	if !opts.dryRun && !opts.yes && a.ask == nil {
		return misuse("here is no terminal to ask on: look with --dry-run, then say --yes")
	}
	c, err := a.settings()
	if err != nil {
		return err
	}
	if text := a.env["NIGHTSHARD_KEEP_OLD"]; text != "" && !opts.old {
		keepOld, err := strconv.ParseBool(text)
		if err != nil {
			return misuse("NIGHTSHARD_KEEP_OLD is %q, want true or false", text)
		}
		opts.old = !keepOld
	}
	o := retention.Options{Keep: keep, Database: c.Database, Old: opts.old, Parallel: parallelDays, Now: a.now}
	end := a.errs.life(words("connecting to NATS and Swift"))
	defer end()
	bus, err := a.bus(ctx, c, a.note)
	if err != nil {
		return fmt.Errorf("ask who works on which day: %w", err)
	}
	defer connect.Close(ctx, bus, noLog())
	store, _, err := a.store(ctx)
	end()
	if err != nil {
		return err
	}
	return a.pruneDays(ctx, bus, store, o, opts)
}

// keepRules reads the flag or the setting. Without a rule there is nothing to
// do, which is not what anybody calls this for.
func (a *app) keepRules(flag string) (night.Keep, error) {
	text, name := flag, "--keep"
	if text == "" {
		text, name = a.env["NIGHTSHARD_KEEP"], "NIGHTSHARD_KEEP"
	}
	keep, err := night.ParseKeep(text)
	if err != nil {
		return keep, misuse("%s: %w", name, err)
	}
	if keep.All() {
		return keep, misuse(`no rule says what stays: set NIGHTSHARD_KEEP as for the backup service, or give --keep, such as --keep "14d 8w 12m 3y"`)
	}
	return keep, nil
}

// pruneDays plans, shows, asks, and removes what was shown.
func (a *app) pruneDays(ctx context.Context, bus *events.Bus, store objstore.Account, o retention.Options, opts pruneOptions) error {
	o.Busy = retention.Work(bus)
	days, err := a.plan(ctx, store, o)
	if err != nil {
		return err
	}
	report := &pruneReport{Keep: o.Keep.String(), DryRun: opts.dryRun, Days: days, Removed: []string{}}
	if !a.asJSON {
		a.printPlan(report)
	}
	doomed := map[string]bool{}
	for _, d := range days {
		doomed[d.Day] = d.Remove
	}
	if removals(days) == 0 || opts.dryRun || !opts.yes && !a.agreed(removals(days)) {
		return a.endPrune(report)
	}
	var gone []retention.Day
	gone, err = a.removeDays(ctx, store, o, doomed)
	for _, d := range gone {
		report.Removed = append(report.Removed, d.Day)
	}
	if endErr := a.endPrune(report); err == nil {
		err = endErr
	}
	return err
}

func (a *app) plan(ctx context.Context, store objstore.Account, o retention.Options) ([]retention.Day, error) {
	var seen atomic.Int64
	o.Seen = func() { seen.Add(1) }
	defer a.errs.life(func() string { return fmt.Sprintf("looking at days, %d so far", seen.Load()) })()
	days, err := retention.Plan(ctx, store, o)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what was asked
	}
	if days == nil {
		days = []retention.Day{}
	}
	return days, nil
}

// removeDays removes the doomed days, as far as a plan that is made now still
// wants it.
func (a *app) removeDays(ctx context.Context, store objstore.Account, o retention.Options, doomed map[string]bool) ([]retention.Day, error) {
	var at atomic.Pointer[string]
	first := "looking once more"
	at.Store(&first)
	defer a.errs.life(func() string { return *at.Load() })()
	return retention.Apply(ctx, store, o, func(d retention.Day) bool { //nolint:wrapcheck // it names the day
		text := "removing " + d.Day + ", " + bytesText(d.Bytes)
		at.Store(&text)
		return doomed[d.Day]
	})
}

// agreed asks whoever sits at the terminal.
func (a *app) agreed(n int) bool {
	return a.ask(fmt.Sprintf("Remove %s for good? Type yes: ", plural(n, "day")))
}

// askTerminal gives a way to ask, nil when nobody is there to answer.
func askTerminal(out *screen) func(string) bool {
	if !out.terminal || !isatty.IsTerminal(os.Stdin.Fd()) {
		return nil
	}
	return func(question string) bool {
		out.printf("%s", question)
		answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		return strings.TrimSpace(answer) == "yes"
	}
}

func removals(days []retention.Day) int {
	n := 0
	for _, d := range days {
		if d.Remove {
			n++
		}
	}
	return n
}

// printPlan shows each day's fate.
func (a *app) printPlan(r *pruneReport) {
	if len(r.Days) == 0 {
		a.out.printf("No day is stored yet.\n")
		return
	}
	rows := make([][]string, 0, len(r.Days))
	for _, d := range r.Days {
		fate := "keep"
		if d.Remove {
			fate = a.out.warn("remove")
		}
		rows = append(rows, []string{d.Day, fate, strconv.Itoa(d.Objects), bytesText(d.Bytes), strings.Join(d.Why, "; ")})
	}
	a.out.table(columns{"DAY", "FATE", ">OBJECTS", ">SIZE", "~WHY"}, rows)
}

// endPrune says what came of it.
func (a *app) endPrune(r *pruneReport) error {
	if a.asJSON {
		return a.out.json(r)
	}
	var bytes int64
	gone := map[string]bool{}
	for _, day := range r.Removed {
		gone[day] = true
	}
	for _, d := range r.Days {
		if gone[d.Day] || len(gone) == 0 && d.Remove {
			bytes += d.Bytes
		}
	}
	n := removals(r.Days)
	switch {
	case len(r.Days) == 0:
	case len(gone) > 0:
		a.out.printf("\n%s removed, %s\n", plural(len(gone), "day"), bytesText(bytes))
		if left := n - len(gone); left > 0 {
			a.out.printf("%s stayed: in use, or changed since\n", plural(left, "day"))
		}
	case n == 0:
		a.out.printf("\nNothing to remove\n")
	default:
		a.out.printf("\nNothing was removed; %s of %d would be, %s\n", plural(n, "day"), len(r.Days), bytesText(bytes))
	}
	return nil
}
