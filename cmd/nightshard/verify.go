package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/spf13/cobra"

	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/proof"
)

const verifyExamples = `  nightshard verify 2016-06-01
  nightshard verify all --level listing
  nightshard verify 2016-06-01 --level restored --json | jq '.[].problems'`

// parallelReads is how many archives are read at the same time.
const parallelReads = 4

// allDays stands for every day that is stored.
const allDays = "all"

// newestDay stands for the newest day that is good.
const newestDay = "newest"

func (a *app) verifyCommand() *cobra.Command {
	var level string
	cmd := &cobra.Command{
		Use:   "verify DAY|all",
		Short: "Check that a stored day is whole, and say what is wrong with it",
		Long: `Check that a stored day is whole, and say what is wrong with it. Nothing is
changed, and nothing is written to a disk.

Levels, each with those before it:

  listing   one listing, the manifest and the metastore against each other: every
            object there, with its size and MD5, and no other archive
  content   every archive read to its last byte: tar, checksum of each block,
            index, SHA-256 of each file, and the values in the blocks against
            the counts that production gave
  restored  a restore of this very backup whose counts all agreed

A day of the old scripts has no manifest: its archives are held against its
metastore and their own checksums.

A container that holds no backup, perhaps dumps of a day that was never backed
up, is no damage among all.

Exit code 0: good; 1: damaged, or Swift could not be asked.`,
		Example: verifyExamples,
		Args:    wants("DAY or all"),

		ValidArgsFunction: a.completeDay(false, allDays),
		RunE: a.does(func(ctx context.Context, args []string) error {
			l, err := night.ParseLevel(level)
			if err != nil {
				return misuse("--level: %w", err)
			}
			return a.verify(ctx, args[0], l)
		}),
	}
	cmd.Flags().StringVar(&level, "level", night.LevelContent.String(), "listing, content or restored")
	completeFlag(cmd, "level", completeWord("listing", "content", "restored"))
	return cmd
}

func (a *app) verify(ctx context.Context, what string, level night.Level) error {
	if _, err := a.settings(); err != nil {
		return err
	}
	if what != allDays {
		if _, err := night.ParseDay(what); err != nil {
			return misuse("%w, or %s", err, allDays)
		}
	}
	reports, err := a.proofs(ctx, what, level)
	if a.asJSON && (err == nil || len(reports) > 0) {
		err = errors.Join(err, a.out.json(reports))
	}
	if err != nil {
		return err
	}
	bad := 0
	for _, r := range reports {
		if !r.Good && (what != allDays || !r.NoBackup) {
			bad++
		}
	}
	if bad > 0 {
		return &silentError{why: fmt.Sprintf("%s damaged", plural(bad, "day"))}
	}
	return nil
}

// proofs verifies one day, or all of them, oldest first. People are shown each
// as soon as it is read. After an error the reports are those before it.
func (a *app) proofs(ctx context.Context, what string, level night.Level) ([]*proof.Report, error) {
	end := a.errs.life(words("opening Swift"))
	defer end()
	store, endpoint, err := a.store(ctx)
	if err != nil {
		return nil, err
	}
	days, err := chosenDays(ctx, store, what)
	if err != nil {
		return nil, err
	}
	end()
	reports := []*proof.Report{}
	for _, day := range days {
		r, err := a.proof(ctx, store, day, level)
		switch {
		case errors.Is(err, objstore.ErrNotFound) && what == allDays:
			continue // removed meanwhile
		case errors.Is(err, objstore.ErrNotFound):
			return nil, fmt.Errorf("verify %s: Swift at %s has no container of that name: see nightshard list", day, endpoint)
		case err != nil:
			return reports, fmt.Errorf("verify %s: %w", day, err)
		}
		reports = append(reports, r)
		if !a.asJSON {
			a.printProof(r)
		}
	}
	return reports, nil
}

// chosenDays are the one that is named, or all.
func chosenDays(ctx context.Context, store objstore.Account, what string) ([]night.Day, error) {
	if what == allDays {
		return proof.Days(ctx, store) //nolint:wrapcheck // it names what was read
	}
	day, err := night.ParseDay(what)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the day
	}
	return []night.Day{day}, nil
}

// proof verifies a day with a sign of life.
func (a *app) proof(ctx context.Context, store objstore.Account, day night.Day, level night.Level) (*proof.Report, error) {
	watch := &reading{}
	end := a.errs.life(watch.words)
	defer end()
	return proof.Verify(ctx, store, day, watch.options(day.String(), level)) //nolint:wrapcheck // the caller names the day
}

// reading says how far the reading is.
type reading struct {
	day         atomic.Pointer[string]
	done, total atomic.Int64
}

func (r *reading) options(day string, level night.Level) proof.Options {
	r.day.Store(&day)
	r.done.Store(0)
	r.total.Store(0)
	return proof.Options{Level: level, Parallel: parallelReads, Progress: func(done, total int64) {
		r.done.Store(done)
		r.total.Store(total)
	}}
}

func (r *reading) words() string {
	day := r.day.Load()
	switch total := r.total.Load(); {
	case day == nil:
		return "opening Swift"
	case total == 0:
		return "verifying " + *day
	default:
		return fmt.Sprintf("verifying %s, %s of %s", *day, bytesText(r.done.Load()), bytesText(total))
	}
}

// printProof is a report for people: one line, and one for each problem.
func (a *app) printProof(r *proof.Report) {
	if r.NoBackup {
		a.out.printf("%s  %s\n", r.Day, a.out.warn(stateEmpty))
		return
	}
	verdict := a.out.good("good")
	if !r.Good {
		verdict = a.out.warn("DAMAGED, " + plural(len(r.Problems), "problem"))
	}
	a.out.printf("%s  %s  (%s: %s", r.Day, verdict, r.Level, plural(r.Shards, "shard"))
	if r.Bytes > 0 {
		a.out.printf(", %s read", bytesText(r.Bytes))
	}
	a.out.printf(")\n")
	for _, p := range r.Problems {
		a.out.printf("  %s\n", p)
		if p.Object == r.Day+"/drill.json" {
			a.out.printf("    nightshard request restore %s proves it\n", r.Day)
		}
	}
	for _, n := range r.Notes {
		a.out.printf("  note: %s\n", n)
	}
}

// newest finds the newest good day, and says of each newer one why not.
func (a *app) newest(ctx context.Context) (day string, passedOver []passedDay, err error) {
	watch := &reading{}
	end := a.errs.life(watch.words)
	defer end()
	store, _, err := a.store(ctx)
	if err != nil {
		return "", nil, err
	}
	chosen, passed, err := proof.Newest(ctx, store, watch.options("the newest day", night.LevelContent))
	end()
	for _, r := range passed {
		a.note(fmt.Sprintf("%s is passed over, %s: %s", r.Day, plural(len(r.Problems), "problem"), r.Problems[0]))
		passedOver = append(passedOver, passedDay{Day: r.Day, Problems: r.Problems})
	}
	if err != nil {
		return "", nil, fmt.Errorf("find the newest good day: %w", err)
	}
	a.note("the newest good day is " + chosen.Day)
	return chosen.Day, passedOver, nil
}
