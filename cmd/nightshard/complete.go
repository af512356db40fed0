package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/proof"
)

// completeBound is how long a shell waits for words. A person has pressed a key.
const completeBound = 3 * time.Second

// completer gives the words that may stand at a place.
type completer = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// completeDay offers the stored days, newest first, for the first argument, and
// the words that may stand for a day. What follows is a folder or nothing.
func (a *app) completeDay(folder bool, words ...string) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		switch {
		case len(args) == 1 && folder:
			return nil, cobra.ShellCompDirectiveFilterDirs
		case len(args) > 0:
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		out := slices.Clone(words)
		for _, day := range slices.Backward(a.storedDays(cmd.Context())) {
			out = append(out, day.String())
		}
		return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// completeSpan offers days and the months that they are in.
func (a *app) completeSpan() completer {
	days := a.completeDay(true)
	return func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		out, directive := days(cmd, args, toComplete)
		for _, day := range out {
			if month := day[:len("2006-01")]; !slices.Contains(out, month) {
				out = append(out, month)
			}
		}
		return out, directive
	}
}

// completeMeasurement offers those that the newest dumps are of.
func (a *app) completeMeasurement() completer {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.storedMeasurements(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeWord offers fixed words.
func completeWord(words ...string) completer {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// storedDays are the days in Swift. Without an answer there are none to offer: a
// shell's line is no place for an error.
func (a *app) storedDays(ctx context.Context) []night.Day {
	_, days := a.stock(ctx)
	return days
}

func (a *app) stock(ctx context.Context) (objstore.Account, []night.Day) {
	ctx, cancel := context.WithTimeout(ctx, completeBound)
	defer cancel()
	store, _, err := a.store(ctx)
	if err != nil {
		return nil, nil
	}
	days, err := proof.Days(ctx, store)
	if err != nil {
		return nil, nil
	}
	return store, days
}

// storedMeasurements are those of the newest day that has dumps, of the last
// week.
func (a *app) storedMeasurements(ctx context.Context) []string {
	store, days := a.stock(ctx)
	ctx, cancel := context.WithTimeout(ctx, completeBound)
	defer cancel()
	for _, day := range slices.Backward(lastDays(days, 7)) {
		dumps, err := listDumps(ctx, store, day, dumpsOptions{})
		if err != nil {
			return nil
		}
		var out []string
		for _, d := range dumps {
			if !strings.ContainsAny(d.measurement, "\n\t") { // no word of a shell's list
				out = append(out, d.measurement)
			}
		}
		if len(out) > 0 {
			slices.Sort(out)
			return slices.Compact(out) // one may be there in several formats
		}
	}
	return nil
}

// completeFlag sets the words of a flag.
func completeFlag(cmd *cobra.Command, name string, words completer) {
	// It fails only for a flag that does not exist, which a test would see.
	_ = cmd.RegisterFlagCompletionFunc(name, words)
}
