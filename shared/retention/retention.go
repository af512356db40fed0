// Package retention removes the stored days that no rule keeps. The rules are in
// package night; this package finds out what each day is, who works on it, and
// removes a day so that a crash leaves it whole, or visibly unfinished, or gone.
//
// A removal marks the day as unfinished, removes the manifest, then all else,
// the mark last, and then the containers. The next call finishes what a crash
// left.
package retention

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/proof"
)

// Options say what is looked at and how.
type Options struct {
	// Keep are the rules.
	Keep night.Keep
	// Database is the one whose days are removed, empty for any.
	Database string
	// Old says that the rules hold for the days of the old scripts as well.
	Old bool
	// Busy tells which days somebody works on, and who. It is asked before
	// each removal. See [Work].
	Busy func(context.Context) (map[night.Day]string, error)
	// Parallel is how many days are looked at at the same time, 1 when 0. A
	// manifest is held for each.
	Parallel int
	// Now is the clock.
	Now func() time.Time
	// Seen, if not nil, is told of each day once it was looked at.
	Seen func()
}

// Day is what is to become of a stored day, and why.
type Day struct {
	Day string `json:"day"`
	// Remove is true for a day that no rule keeps.
	Remove bool `json:"remove"`
	// Why are the reasons.
	Why []string `json:"why"`
	// Objects and Bytes are what the container holds, without segments.
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"`

	request string // the manifest's: the backup that was judged
}

// Plan looks at every day and says what is to become of it, oldest first. It
// only reads.
func Plan(ctx context.Context, store objstore.Account, o Options) ([]Day, error) {
	p := &pruner{Options: o, store: store}
	return p.plan(ctx)
}

// Apply plans anew and removes the days of the plan that also fits. What it
// returns was removed, also beside an error, which names each day that could not
// be. A day that turns out to be in use stays and is no error: the next call
// looks at it again.
func Apply(ctx context.Context, store objstore.Account, o Options, also func(Day) bool) ([]Day, error) {
	p := &pruner{Options: o, store: store}
	days, err := p.plan(ctx)
	if err != nil {
		return nil, err
	}
	var removed []Day
	var failed []error
	for _, d := range days {
		if !d.Remove || !also(d) {
			continue
		}
		switch err := p.remove(ctx, d); {
		case errors.Is(err, errHeld):
		case err != nil:
			failed = append(failed, fmt.Errorf("remove day %s: %w", d.Day, err))
		default:
			removed = append(removed, d)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return removed, errors.Join(failed...)
}

// pruner works for one call.
type pruner struct {
	Options
	store objstore.Account
}

func (p *pruner) plan(ctx context.Context) ([]Day, error) {
	days, err := proof.Days(ctx, p.store)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names what was listed
	}
	busy, err := p.Busy(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask who is at work: %w", err)
	}
	looked, err := p.lookAll(ctx, days)
	if err != nil {
		return nil, err
	}
	stored := make([]night.StoredDay, 0, len(looked))
	for i, l := range looked {
		s := l.StoredDay
		// An empty container is what is left of a removal; today's may be about
		// to be filled.
		s.Removing = s.Removing || l.objects == 0 && i < len(looked)-1
		if who := busy[s.Day]; who != "" && s.Hold == "" {
			s.Hold = who
		}
		stored = append(stored, s)
	}
	var out []Day
	for i, f := range p.Keep.Judge(stored) {
		out = append(out, Day{Day: f.Day.String(), Remove: f.Remove, Why: f.Why, Objects: looked[i].objects, Bytes: looked[i].bytes, request: looked[i].request})
	}
	return out, nil
}

// lookAll looks at each day; one that was removed meanwhile is left out.
func (p *pruner) lookAll(ctx context.Context, days []night.Day) ([]looked, error) {
	out := make([]looked, len(days))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(p.Parallel, 1))
	for i, day := range days {
		g.Go(func() error {
			l, err := p.look(gctx, day)
			if err != nil && !errors.Is(err, objstore.ErrNotFound) {
				return fmt.Errorf("look at day %s: %w", day, err)
			}
			if err == nil {
				out[i] = l
				out[i].names = nil // of years of days
			}
			if p.Seen != nil {
				p.Seen()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(out, func(l looked) bool { return l.Day.IsZero() }), nil
}
