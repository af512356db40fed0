package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"nightshard/shared/download"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/proof"
)

const dumpsExamples = `  nightshard dumps 2016-06-01 .
  nightshard dumps 2016-06 june/
  nightshard dumps 2016-06-01..2016-06-15 june/ --measurement cpu --measurement mem
  nightshard dumps 2016-06 june/ --merge
  nightshard dumps 2016-06 june/ --format json
  nightshard dumps '2016-*-01' firsts/ --json | jq -r '.files[].file'`

// dumpMode is that of dumps: analysts read them.
const dumpMode = 0o644

// dumpsOptions are the flags.
type dumpsOptions struct {
	measurements []string
	parallel     int
	merge        bool
	format       night.Format // only this one, all when empty
}

// check reads the flags that can be wrong.
func (o *dumpsOptions) check(format string) error {
	if o.parallel < 1 {
		return misuse("--parallel is %d, want a number above zero", o.parallel)
	}
	if format == "" {
		return nil
	}
	var err error
	if o.format, err = night.ParseFormat(format); err != nil {
		return misuse("--format: %w", err)
	}
	return nil
}

// dumpsReport is what was brought.
type dumpsReport struct {
	Span string `json:"span"`
	Dir  string `json:"dir"`
	// Files are the dumps, or one file for each measurement when they are merged.
	Files []dumpFile `json:"files"`
	// Missing are the days of the span that have no dump, or lack that of a
	// measurement which other days have.
	Missing []missingDump `json:"missing"`
}

type dumpFile struct {
	Day         string `json:"day,omitempty"`
	Measurement string `json:"measurement"`
	// Format is json, csv.gz and so on.
	Format string `json:"format"`
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	MD5    string `json:"md5,omitempty"`
	// Kept says that the file was there already.
	Kept bool `json:"kept,omitempty"`
	// Complete is nil for a dump that does not say: an old script's.
	Complete *bool `json:"complete,omitempty"`
	// Days and Records are those of a merged file.
	Days    int   `json:"days,omitempty"`
	Records int64 `json:"records,omitempty"`
}

type missingDump struct {
	Day         string `json:"day"`
	Measurement string `json:"measurement,omitempty"`
}

func (a *app) dumpsCommand() *cobra.Command {
	var opts dumpsOptions
	var format string
	cmd := &cobra.Command{
		Use:   "dumps SPAN DIR",
		Short: "Bring the dumps of some days into one folder",
		Long: `Bring the dumps of some days into one folder: a file for each measurement and
day, in the format in which the dumper wrote it. Each is checked against Swift's MD5 and is there whole or
not at all. A file that is there already and is right is kept, so a second call
goes on where the first one stopped.

SPAN is a day, a month (2016-06), a year, 2016-06-01..2016-06-15 with either
end left out if you like, or a pattern such as '2016-06-0*'.

A day may hold a measurement in several formats, where NIGHTSHARD_DUMP_FORMAT
was changed and the day dumped again. All of them are brought; with --format only
one.

With --merge there is one document for each measurement, its records in the
order of the days. That is for dumps as JSON alone.

Days without a dump are named; they are no error, since a measurement without
a record on a day has no dump. No dump at all in the span is one.`,
		Example: dumpsExamples,
		Args:    wants("SPAN", "DIR"),

		ValidArgsFunction: a.completeSpan(),
		RunE: a.does(func(ctx context.Context, args []string) error {
			span, err := night.ParseSpan(args[0])
			if err != nil {
				return misuse("%w", err)
			}
			if err := opts.check(format); err != nil {
				return err
			}
			return a.dumps(ctx, span, args[1], opts)
		}),
	}
	cmd.Flags().StringArrayVarP(&opts.measurements, "measurement", "m", nil, "only this measurement; may be given several times (default: all)")
	completeFlag(cmd, "measurement", a.completeMeasurement())
	cmd.Flags().IntVar(&opts.parallel, "parallel", parallelReads, "dumps that are read at the same time")
	cmd.Flags().BoolVar(&opts.merge, "merge", false, "one document for each measurement")
	cmd.Flags().StringVar(&format, "format", "", "only dumps in this format: json, ndjson, csv, json.gz, ndjson.gz, csv.gz or parquet (default: all)")
	return cmd
}

func (a *app) dumps(ctx context.Context, span night.Span, dir string, opts dumpsOptions) error {
	c, err := a.settings()
	if err != nil {
		return err
	}
	store, stock, err := a.findDumps(ctx, span, opts)
	if err != nil {
		return err
	}
	if len(stock) == 0 {
		return fmt.Errorf("bring dumps: there is none in %s%s%s: see nightshard list", span, ofMeasurements(opts.measurements), inFormat(opts.format))
	}
	if opts.merge {
		if err := mergeable(stock); err != nil {
			return err
		}
	}
	report := &dumpsReport{Span: span.String(), Dir: dir, Missing: missingDumps(span, stock, night.DayOf(a.now(), c.Location()))}
	begin := a.now()
	bring := a.bringDumps
	if opts.merge {
		bring = a.mergeDumps
	}
	if report.Files, err = bring(ctx, store, stock, dir, opts); err != nil {
		return fmt.Errorf("bring dumps of %s: %w", span, err)
	}
	if a.asJSON {
		return a.out.json(report)
	}
	a.printBrought(report, a.now().Sub(begin))
	return nil
}

// storedDump is one dump in Swift.
type storedDump struct {
	day         night.Day
	measurement string
	format      night.Format
	object      objstore.Object
}

// findDumps lists the dumps of the span, by measurement and day.
func (a *app) findDumps(ctx context.Context, span night.Span, opts dumpsOptions) (objstore.Account, []storedDump, error) {
	defer a.errs.life(words("listing dumps of " + span.String()))()
	store, _, err := a.store(ctx)
	if err != nil {
		return nil, nil, err
	}
	days, err := proof.Days(ctx, store)
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // it names what was read
	}
	days = slices.DeleteFunc(days, func(d night.Day) bool { return !span.Contains(d) })
	found := make([][]storedDump, len(days))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelDays)
	for i, day := range days {
		g.Go(func() (err error) {
			found[i], err = listDumps(gctx, store, day, opts)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	stock := slices.Concat(found...)
	slices.SortStableFunc(stock, func(x, y storedDump) int { return cmp.Compare(x.measurement, y.measurement) })
	return store, stock, nil
}

// listDumps lists a day's dumps. A day that was removed meanwhile has none.
func listDumps(ctx context.Context, store objstore.Store, day night.Day, opts dumpsOptions) ([]storedDump, error) {
	var out []storedDump
	err := store.List(ctx, day.String(), night.DumpPrefix(day), func(o objstore.Object) error {
		m, ok := night.ParseDumpObject(day, o.Name)
		format, _ := night.DumpFormat(day, o.Name)
		if ok && (len(opts.measurements) == 0 || slices.Contains(opts.measurements, m)) && (opts.format == "" || opts.format == format) {
			out = append(out, storedDump{day: day, measurement: m, format: format, object: o})
		}
		return nil
	})
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return nil, fmt.Errorf("list dumps of %s: %w", day, err)
	}
	return out, nil
}

// missingDumps names the days of a span that have no dump, and of each
// measurement those between its first and its last dump without one.
func missingDumps(span night.Span, stock []storedDump, today night.Day) []missingDump {
	missing := []missingDump{}
	has := map[night.Day]bool{}
	for _, d := range stock {
		has[d.day] = true
	}
	if first, last, ok := span.Bounds(); ok {
		for day := first; !last.Before(day) && !today.Before(day); day = day.Add(1) {
			if !has[day] {
				missing = append(missing, missingDump{Day: day.String()})
			}
		}
	}
	for i := 1; i < len(stock); i++ {
		if stock[i].measurement != stock[i-1].measurement {
			continue
		}
		for day := stock[i-1].day.Add(1); day.Before(stock[i].day); day = day.Add(1) {
			if has[day] {
				missing = append(missing, missingDump{Day: day.String(), Measurement: stock[i].measurement})
			}
		}
	}
	return missing
}

// dumpPath is where a dump goes: its own name, which has the day in it. The old
// scripts left a slash of a measurement in the name.
func dumpPath(dir string, day night.Day, object string) string {
	name := strings.ReplaceAll(strings.TrimPrefix(object, night.DumpPrefix(day)), "/", "%2F")
	return filepath.Join(dir, name)
}

// bringDumps gives each dump a file.
func (a *app) bringDumps(ctx context.Context, store objstore.Account, stock []storedDump, dir string, opts dumpsOptions) ([]dumpFile, error) {
	files := make([]download.File, 0, len(stock))
	for _, d := range stock {
		files = append(files, download.File{Container: d.day.String(), Object: d.object, Path: dumpPath(dir, d.day, d.object.Name)})
	}
	got, err := a.fetch(ctx, store, files, dumpMode, opts.parallel, nil)
	if err != nil {
		return nil, err
	}
	out := make([]dumpFile, 0, len(got))
	for i, g := range got {
		out = append(out, dumpFile{
			Day: stock[i].day.String(), Measurement: stock[i].measurement, Format: string(stock[i].format), File: g.Path,
			Bytes: g.Object.Size, MD5: g.Object.MD5, Kept: g.Kept, Complete: completeOf(g.Meta),
		})
	}
	return out, nil
}

// completeOf reads what a dump says of itself, nil if it says nothing.
func completeOf(meta map[string]string) *bool {
	complete, err := strconv.ParseBool(meta[metaComplete])
	if err != nil {
		return nil
	}
	return &complete
}

func (a *app) printBrought(r *dumpsReport, took time.Duration) {
	for _, line := range missingText(r.Missing) {
		a.note(line)
	}
	var bytes int64
	kept := 0
	measurements := map[string]bool{}
	for _, f := range r.Files {
		bytes += f.Bytes
		measurements[f.Measurement] = true
		if f.Kept {
			kept++
		}
		if f.Complete != nil && !*f.Complete {
			a.note(fmt.Sprintf("%s lacks the day's last minutes: %s", f.File, whoHasThem(f, r.Files)))
		}
	}
	a.out.printf("%s of %s, %s, in %s: %s\n", plural(len(r.Files), "file"), plural(len(measurements), "measurement"), bytesText(bytes), spanText(took), r.Dir)
	if kept > 0 {
		a.out.printf("%s of them %s there already\n", countText(kept), wasWere(kept))
	}
}

// missingText says which days have no dump: days in a row in one line.
func missingText(missing []missingDump) []string {
	var lines []string
	for i := 0; i < len(missing); {
		end := i + 1
		for end < len(missing) && missing[end].Measurement == missing[i].Measurement && nextDay(missing[end-1].Day, missing[end].Day) {
			end++
		}
		text := missing[i].Day + " has no dump"
		if end-i > 1 {
			text = fmt.Sprintf("%s to %s have no dump", missing[i].Day, missing[end-1].Day)
		}
		lines = append(lines, text+ofMeasurements(named(missing[i].Measurement)))
		i = end
	}
	return lines
}

func nextDay(day, next string) bool {
	d, err := night.ParseDay(day)
	return err == nil && d.Add(1).String() == next
}

// named is a list of one name, or of none.
func named(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}

// whoHasThem says where the last minutes are that a dump lacks.
func whoHasThem(f dumpFile, all []dumpFile) string {
	for _, other := range all {
		if other.Day == f.Day && other.Measurement == f.Measurement && other.Complete != nil && *other.Complete {
			return other.Format + " has them"
		}
	}
	return "the next night adds them"
}

func wasWere(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

func ofMeasurements(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " of " + strings.Join(names, ", ")
}

func inFormat(f night.Format) string {
	if f == "" {
		return ""
	}
	return " as " + string(f)
}
