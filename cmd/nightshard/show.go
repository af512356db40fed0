package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

const showExamples = `  nightshard show 2016-06-01
  nightshard show 2016-06-01 --json | jq .shards`

// metaComplete is a dump's metadata: false while the day's last minutes are not
// in it. The dumper writes it.
const metaComplete = "complete"

// dayReport is all about one day.
type dayReport struct {
	daySummary
	// Manifest is the day's record without its shards, nil if there is none.
	Manifest *night.Manifest `json:"manifest,omitempty"`
	Shards   []shardReport   `json:"shards"`
	Counts   countReport     `json:"counts"`
	Drill    *night.Drill    `json:"drill,omitempty"`
	Dumps    []dumpReport    `json:"dumps"`
	Warnings []string        `json:"warnings"`
}

// shardReport is one archive. What only the manifest knows is zero without it.
type shardReport struct {
	Object          string    `json:"object"`
	ID              uint64    `json:"id,omitempty"`
	RetentionPolicy string    `json:"retentionPolicy,omitempty"`
	Start           time.Time `json:"start,omitzero"`
	End             time.Time `json:"end,omitzero"`
	Bytes           int64     `json:"bytes"`
	Files           int       `json:"files"`
	ValuesMin       int64     `json:"valuesMin"`
	ValuesMax       int64     `json:"valuesMax"`
	// OldForm says that plain influxd restore would misplace it.
	OldForm bool `json:"oldForm,omitempty"`
	// Read is the day on which production was read for it, where that is an
	// earlier one.
	Read string `json:"read,omitempty"`
}

// countReport sums the fingerprint up.
type countReport struct {
	Measurements int   `json:"measurements"`
	Fields       int   `json:"fields"`
	ValuesMin    int64 `json:"valuesMin"`
	ValuesMax    int64 `json:"valuesMax"`
}

// dumpReport is one dump.
type dumpReport struct {
	Measurement string `json:"measurement"`
	// Format is json, csv.gz and so on.
	Format string    `json:"format"`
	Object string    `json:"object"`
	Bytes  int64     `json:"bytes"`
	Stored time.Time `json:"stored"`
	// Complete is nil for a dump that does not say: an old script's.
	Complete *bool `json:"complete,omitempty"`
}

func (a *app) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show DAY",
		Short:   "All about one day: manifest, shards, counts, drill, dumps",
		Example: showExamples,
		Args:    wants("DAY"),

		ValidArgsFunction: a.completeDay(false),
		RunE: a.does(func(ctx context.Context, args []string) error {
			c, err := a.settings()
			if err != nil {
				return err
			}
			day, err := night.ParseDay(args[0])
			if err != nil {
				return misuse("%w", err)
			}
			report, err := a.readReport(ctx, day)
			if err != nil {
				return err
			}
			if a.asJSON {
				return a.out.json(report)
			}
			a.printReport(report, c.Location())
			return nil
		}),
	}
}

func (a *app) readReport(ctx context.Context, day night.Day) (*dayReport, error) {
	end := a.errs.life(words("reading " + day.String() + " from Swift"))
	defer end()
	store, endpoint, err := a.store(ctx)
	if err != nil {
		return nil, err
	}
	d, err := readDay(ctx, store, day)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, fmt.Errorf("show %s: Swift at %s has no container of that name: see nightshard list", day, endpoint)
	}
	if err != nil {
		return nil, fmt.Errorf("show %s: %w", day, err)
	}
	r := &dayReport{daySummary: *d, Shards: []shardReport{}, Dumps: []dumpReport{}, Warnings: []string{}}
	if err := r.fill(ctx, store); err != nil {
		return nil, fmt.Errorf("show %s: %w", day, err)
	}
	return r, nil
}

// fill reads the day's records and says what is wrong with them.
func (r *dayReport) fill(ctx context.Context, store objstore.Account) error {
	r.readShards()
	if err := r.readDrill(ctx, store); err != nil {
		return err
	}
	if err := r.readDumps(ctx, store); err != nil {
		return err
	}
	r.warnings()
	return nil
}

// readShards lists the archives that are there, with what the manifest knows of
// them. The manifest's copy is then emptied: it has the same and much more.
func (r *dayReport) readShards() {
	for _, p := range r.Problems {
		r.Warnings = append(r.Warnings, p.String())
	}
	known := map[string]night.Shard{}
	if r.Manifest = r.manifest; r.Manifest != nil {
		for _, s := range r.Manifest.Shards {
			known[s.Object] = s
		}
		r.Counts = countAll(r.Manifest.Shards)
		r.Manifest.Shards = nil
	}
	for _, o := range r.listed {
		if !isShard(r.day, o.Name) || o.Name == night.MetaObject(r.day) {
			continue
		}
		r.Shards = append(r.Shards, newShardReport(o, known[o.Name]))
	}
}

func newShardReport(o objstore.Object, s night.Shard) shardReport {
	out := shardReport{
		Object: o.Name, Bytes: o.Size, OldForm: night.OldForm(o.Name),
		ID: s.ID, RetentionPolicy: s.RetentionPolicy, Start: s.Start, End: s.End, Files: len(s.Files),
	}
	if s.Carried != nil {
		out.Read = s.Carried.Day
	}
	for _, fields := range s.Counts {
		for _, n := range fields {
			out.ValuesMin += n.Min
			out.ValuesMax += n.Max
		}
	}
	return out
}

// countAll sums the fingerprints of all shards.
func countAll(shards []night.Shard) countReport {
	var c countReport
	fields := map[[2]string]bool{}
	measurements := map[string]bool{}
	for _, s := range shards {
		for m, counts := range s.Counts {
			measurements[m] = true
			for field, n := range counts {
				fields[[2]string{m, field}] = true
				c.ValuesMin += n.Min
				c.ValuesMax += n.Max
			}
		}
	}
	c.Measurements, c.Fields = len(measurements), len(fields)
	return c
}

func (r *dayReport) readDrill(ctx context.Context, store objstore.Account) error {
	if r.drillAt.IsZero() {
		return nil
	}
	data, err := objstore.Read(ctx, store, r.Day, night.DrillObject(r.day), maxRecord)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err //nolint:wrapcheck // it names what was read
	}
	if r.Drill, err = night.ParseDrill(data); err != nil {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the drill cannot be read: %v", err))
	}
	return nil
}

func (r *dayReport) readDumps(ctx context.Context, store objstore.Account) error {
	for _, o := range r.listed {
		measurement, ok := night.ParseDumpObject(r.day, o.Name)
		if !ok {
			continue
		}
		format, _ := night.DumpFormat(r.day, o.Name)
		dump := dumpReport{Measurement: measurement, Format: string(format), Object: o.Name, Bytes: o.Size, Stored: o.Modified}
		err := store.Get(ctx, r.Day, o.Name, func(o objstore.Object, _ io.Reader) error {
			if complete, err := strconv.ParseBool(o.Meta[metaComplete]); err == nil {
				dump.Complete = &complete
			}
			return objstore.ErrSkipBody
		})
		if errors.Is(err, objstore.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look at %s: %w", o.Name, err)
		}
		r.Dumps = append(r.Dumps, dump)
	}
	return nil
}

// warnings says what an operator should know before relying on the day.
func (r *dayReport) warnings() {
	warn := func(format string, args ...any) { r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...)) }
	if r.Manifest != nil {
		r.Warnings = append(r.Warnings, r.Manifest.Warnings...)
	}
	switch r.State {
	case stateUnfinished:
		warn("the backup is unfinished: the next request for this day finishes it (nightshard request backup --day %s)", r.Day)
	case stateEmpty:
		warn("the container holds no shard")
	case stateDamaged:
		if r.marked {
			warn("another run of this day is under way or was cut off")
		}
		warn("the day is damaged: nightshard verify %s says what else is wrong; nightshard request restore newest finds the newest good day", r.Day)
	case stateFinished:
		if r.marked {
			warn("another run of this day is under way or was cut off; the backup shown is the one before, and good")
		}
	}
	if r.OldForm > 0 {
		warn("%s in the old scripts' form (marked above): plain `influxd restore` puts a shard whose id ends in 0 into the wrong place. "+
			"Restore this day with: nightshard request restore %s", plural(r.OldForm, "archive"), r.Day)
	}
	if r.daySummary.Drill == "outdated" {
		warn("the drill is of an earlier backup of the day: nightshard request restore %s proves this one", r.Day)
	}
}
