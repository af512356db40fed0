package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/influx"
	"nightshard/shared/intermediary"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// Metadata of a dump's object.
const (
	metaComplete = "complete"
	metaRestore  = "restore-id"
)

// task is one dump: one measurement, one day.
type task struct {
	day         night.Day
	measurement string
	policy      string
	identity    intermediary.Identity
}

// dump streams the records of the day's window from the intermediary into
// Swift. The object appears only when the last record was read, their number
// agrees with the server's own counts, and the same restore still stands there.
func (p *dumper) dump(ctx context.Context, t task) (*pb.DumpCompleted, error) {
	begin := p.now()
	object, err := night.DumpObjectIn(t.day, t.measurement, p.cfg.format())
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the measurement
	}
	from, to := t.day.Window(p.loc)
	out := &pb.DumpCompleted{
		Day: t.day.String(), Measurement: t.measurement, Database: p.cfg.Database, RetentionPolicy: t.policy,
		From: timestamppb.New(from), To: timestamppb.New(to), StartedAt: timestamppb.New(begin),
		Complete: night.Complete(t.identity.Cutoff, to),
	}
	counts, err := p.http.CountMeasurement(ctx, p.cfg.Database, t.policy, t.measurement, from, to)
	if err != nil {
		return nil, fmt.Errorf("count records of %q: %w", t.measurement, err)
	}
	if len(counts) == 0 {
		err = p.clear(ctx, t)
	} else {
		out.Object = object
		out.Records, out.Bytes, err = p.upload(ctx, t, object, from, to, counts, out.GetComplete())
	}
	if err != nil {
		return nil, err
	}
	out.FinishedAt = timestamppb.New(p.now())
	p.log.Info().Str("day", out.GetDay()).Str("measurement", t.measurement).Str("format", p.cfg.Format).Int64("records", out.GetRecords()).
		Int64("bytes", out.GetBytes()).Bool("complete", out.GetComplete()).Dur("duration", p.now().Sub(begin)).Msg("dump done")
	return out, nil
}

// clear removes the dumps that earlier runs may have left, in whatever format:
// the day has no record of the measurement.
func (p *dumper) clear(ctx context.Context, t task) error {
	if err := p.unchanged(ctx, t); err != nil {
		return err
	}
	for _, f := range night.Formats() {
		object, err := night.DumpObjectIn(t.day, t.measurement, f)
		if err != nil {
			return err //nolint:wrapcheck // it names the measurement
		}
		if err := p.store.Delete(ctx, t.day.String(), object); err != nil {
			return fmt.Errorf("remove %s: %w", object, err)
		}
	}
	return nil
}

// upload puts the document. Swift may ask for it again from its first byte:
// then the query is run again.
func (p *dumper) upload(ctx context.Context, t task, object string, from, to time.Time, counts map[string]int64, complete bool) (records, bytes int64, err error) {
	var doc *document
	source := func(ctx context.Context) (io.ReadCloser, error) {
		doc = &document{format: p.cfg.format(), tally: tally{want: counts}, report: func(records int64) { p.report(t, records, atLeast(counts)) }}
		doc.report(0)
		return p.produce(ctx, t, doc, from, to), nil
	}
	sent, err := p.store.Put(ctx, t.day.String(), object, source, objstore.PutOptions{
		ContentType: mediaType(p.cfg.format()),
		Meta:        map[string]string{metaComplete: strconv.FormatBool(complete), metaRestore: t.identity.RestoreID},
	})
	if err != nil {
		return 0, 0, fmt.Errorf("dump %q of %s: %w", t.measurement, t.day, err)
	}
	if err := objstore.Confirm(ctx, p.store, t.day.String(), sent); err != nil {
		return 0, 0, fmt.Errorf("dump %q of %s: %w", t.measurement, t.day, err)
	}
	p.report(t, doc.tally.records, doc.tally.records)
	return doc.tally.records, sent.Size, nil
}

// atLeast is the least number of records that hold these values.
func atLeast(counts map[string]int64) int64 {
	var most int64
	for _, n := range counts {
		most = max(most, n)
	}
	return most
}

// produce writes the document into a pipe while the store reads it. An error
// reaches the store instead of the end, so that nothing is stored.
func (p *dumper) produce(ctx context.Context, t task, doc *document, from, to time.Time) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	go func() {
		defer cancel()
		w.CloseWithError(p.write(ctx, t, doc, w, from, to))
	}()
	return &producer{PipeReader: r, cancel: cancel}
}

// producer ends the query when the store stops reading.
type producer struct {
	*io.PipeReader
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (p *producer) Close() error {
	p.cancel()
	return p.PipeReader.Close() //nolint:wrapcheck // it never fails
}

// write queries the window and writes the document, then checks it.
func (p *dumper) write(ctx context.Context, t task, doc *document, w io.Writer, from, to time.Time) error {
	spans, err := p.spans(ctx, t, from, to)
	if err != nil {
		return err
	}
	if wantsTable(doc.format) {
		if doc.table, err = p.table(ctx, t, spans); err != nil {
			return err
		}
	}
	if err := doc.begin(w); err != nil {
		return fmt.Errorf("begin %q: %w", t.measurement, err)
	}
	for _, span := range spans {
		statement := influx.SelectAll(p.cfg.Database, t.policy, t.measurement, span)
		if err := p.http.Stream(ctx, p.cfg.Database, statement, doc.row); err != nil {
			return fmt.Errorf("query %q: %w", t.measurement, err)
		}
	}
	if err := doc.tally.check(); err != nil {
		return fmt.Errorf("check %q: %w", t.measurement, err)
	}
	if err := p.unchanged(ctx, t); err != nil {
		return err
	}
	return doc.end()
}

// spans cuts the window at the bounds of the shards: a field may have another
// type in each, and a query over both leaves rows out without a word. A user
// who may not list shards gets one span; the check of the counts then refuses
// such a dump.
func (p *dumper) spans(ctx context.Context, t task, from, to time.Time) ([]influx.Span, error) {
	spans, err := p.http.Spans(ctx, p.cfg.Database, t.policy, from, to)
	if errors.Is(err, influx.ErrUnauthorized) {
		return []influx.Span{{From: from, To: to}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list shards of %q: %w", t.policy, err)
	}
	return spans, nil
}

// unchanged makes sure that the restore that was there before is there still.
func (p *dumper) unchanged(ctx context.Context, t task) error {
	now, err := p.identity(ctx, "")
	if err != nil {
		return err
	}
	if now.RestoreID != t.identity.RestoreID {
		return fmt.Errorf("dump %q of %s: while it was read, %w", t.measurement, t.day, errSuperseded)
	}
	return nil
}

// report tells how many records are written, of how many at least.
func (p *dumper) report(t task, records, total int64) {
	p.progress(&pb.Progress{
		Service: "dumper", Day: t.day.String(), Step: "dump", Measurement: t.measurement,
		Done: records, Total: max(records, total), Unit: "records",
	})
}
