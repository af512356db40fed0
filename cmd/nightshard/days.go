package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// States of a day in Swift.
const (
	stateFinished   = "finished"
	stateUnfinished = "unfinished"
	stateOld        = "old script's"
	stateEmpty      = "no backup"
	stateDamaged    = "DAMAGED"
	stateMissing    = "missing"
)

// parallelDays is how many days are looked at together.
const parallelDays = 8

// maxRecord bounds a manifest or drill, which is held whole.
const maxRecord = 1 << 30

// daySummary is one day as its container's listing shows it, or a gap.
type daySummary struct {
	Day string `json:"day"`
	// Through is the last day of a gap.
	Through string `json:"through,omitempty"`
	State   string `json:"state"`
	// Shards and Bytes are those of the shard archives; Bytes has the metastore.
	Shards int   `json:"shards"`
	Bytes  int64 `json:"bytes"`
	Dumps  int   `json:"dumps"`
	// Stored is when the manifest was written, or of an old script's day the
	// last archive.
	Stored time.Time `json:"stored,omitzero"`
	// Drill is the verdict of the last restore: passed, failed, no fingerprint,
	// outdated, unreadable, or empty when there was none.
	Drill       string `json:"drill,omitempty"`
	Differences int    `json:"differences,omitempty"`
	// Problems are what the listing and the manifest show of a damaged day.
	Problems []night.Problem `json:"problems,omitempty"`
	// OldForm counts archives that plain influxd restore would misplace.
	OldForm int `json:"oldForm,omitempty"`

	day       night.Day
	listed    []objstore.Object
	drillAt   time.Time // of the object, zero when there is none
	marked    bool      // of a run that is under way or was cut off
	manifests bool
	manifest  *night.Manifest // nil if there is none that can be trusted
}

// summarize looks at each day, several at a time. read counts those done.
func summarize(ctx context.Context, store objstore.Account, days []night.Day, read *atomic.Int64) ([]daySummary, error) {
	out := make([]daySummary, len(days))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelDays)
	for i, day := range days {
		g.Go(func() error {
			d, err := readDay(gctx, store, day)
			if err != nil {
				return err
			}
			d.listed, d.manifest = nil, nil // of years of days
			out[i] = *d
			read.Add(1)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("read days: %w", err)
	}
	return out, nil
}

// readDay lists a day's container, holds the listing against the manifest and
// reads the verdict of the drill. A missing container is objstore.ErrNotFound.
func readDay(ctx context.Context, store objstore.Account, day night.Day) (*daySummary, error) {
	d := &daySummary{Day: day.String(), day: day}
	err := store.List(ctx, day.String(), "", func(o objstore.Object) error {
		d.add(o)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list container %s: %w", day, err)
	}
	d.judge()
	if err := d.readManifest(ctx, store); err != nil {
		return nil, err
	}
	if d.drillAt.IsZero() {
		return d, nil
	}
	return d, d.readDrill(ctx, store)
}

// add takes one object of the listing.
func (d *daySummary) add(o objstore.Object) {
	d.listed = append(d.listed, o)
	switch {
	case o.Name == night.ManifestObject(d.day):
		d.manifests, d.Stored = true, o.Modified
	case o.Name == night.DrillObject(d.day):
		d.drillAt = o.Modified
	case strings.HasPrefix(o.Name, night.IncomingPrefix(d.day)):
		d.marked = true
	case o.Name == night.MetaObject(d.day):
		d.Bytes += o.Size
	case isShard(d.day, o.Name):
		d.Shards++
		d.Bytes += o.Size
		if night.OldForm(o.Name) {
			d.OldForm++
		}
	default:
		if _, ok := night.ParseDumpObject(d.day, o.Name); ok {
			d.Dumps++
		}
	}
}

func isShard(day night.Day, name string) bool {
	return strings.HasPrefix(name, night.ShardPrefix(day)) && strings.HasSuffix(name, ".00")
}

// judge names the day's state, once all is listed.
func (d *daySummary) judge() {
	switch {
	case d.manifests:
		d.State = stateFinished
	case d.marked:
		d.State = stateUnfinished
	case d.Shards > 0:
		d.State = stateOld
		for _, o := range d.listed {
			if isShard(d.day, o.Name) && o.Modified.After(d.Stored) {
				d.Stored = o.Modified
			}
		}
	default:
		d.State = stateEmpty
	}
}

// readManifest holds the listing against the manifest. What is wrong is a state
// of the day: it must not hide the other days.
func (d *daySummary) readManifest(ctx context.Context, store objstore.Account) error {
	if !d.manifests {
		return nil
	}
	data, err := objstore.Read(ctx, store, d.Day, night.ManifestObject(d.day), maxRecord)
	switch {
	case errors.Is(err, objstore.ErrNotFound), errors.Is(err, objstore.ErrCorrupt):
	case err != nil:
		return err //nolint:wrapcheck // it names what was read
	default:
		d.manifest, err = night.ParseManifest(d.day, data)
	}
	if err != nil {
		d.Problems = []night.Problem{{Object: night.ManifestObject(d.day), Reason: fmt.Sprintf("it cannot be trusted: %v", err)}}
	} else {
		d.Problems = night.CheckStored(d.day, d.manifest, d.stored())
	}
	if len(d.Problems) > 0 {
		d.State = stateDamaged
	}
	return nil
}

// stored is the listing as the manifest's rules want it.
func (d *daySummary) stored() map[string]night.Stored {
	out := make(map[string]night.Stored, len(d.listed))
	for _, o := range d.listed {
		out[o.Name] = night.Stored{Object: o.Name, Bytes: o.Size, MD5: o.Listed}
	}
	return out
}

// readDrill sets the verdict. A drill that cannot be read is a verdict too: it
// must not hide the other days.
func (d *daySummary) readDrill(ctx context.Context, store objstore.Account) error {
	data, err := objstore.Read(ctx, store, d.Day, night.DrillObject(d.day), maxRecord)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil // removed since the listing
	}
	if err != nil {
		return err //nolint:wrapcheck // it names what was read
	}
	drill, err := night.ParseDrill(data)
	switch {
	case err != nil:
		d.Drill = "unreadable"
	case d.manifests && d.drillAt.Before(d.Stored), d.manifest != nil && d.manifest.Request != drill.Backup:
		d.Drill = "outdated"
	case !drill.Passed:
		d.Drill, d.Differences = "failed", len(drill.Differences)
	case drill.Note != "":
		d.Drill = drill.Note
	default:
		d.Drill = "passed"
	}
	return nil
}

// withGaps puts the missing calendar days between the others.
func withGaps(days []daySummary) []daySummary {
	var out []daySummary
	for i, d := range days {
		if i > 0 {
			if first := days[i-1].day.Add(1); first.Before(d.day) {
				gap := daySummary{Day: first.String(), State: stateMissing}
				if last := d.day.Add(-1); first.Before(last) {
					gap.Through = last.String()
				}
				out = append(out, gap)
			}
		}
		out = append(out, d)
	}
	return out
}

// drillText is the verdict for a table.
func (d *daySummary) drillText(s *screen) string {
	switch d.Drill {
	case "":
		return "-"
	case "passed":
		return s.good(d.Drill)
	case "failed":
		return s.warn(fmt.Sprintf("FAILED, %s", plural(d.Differences, "difference")))
	}
	return d.Drill
}
