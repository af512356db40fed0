package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/service"
)

const (
	// readyWait bounds how long the server may take until it answers for a
	// shard: after a start it loads them one by one, and right after a restore
	// it may say "shard is disabled" (1.6.7).
	readyWait = 5 * time.Minute
	// recounts is how often a count that differs is asked for again before it
	// is believed.
	recounts = 3
	// maxListed bounds the differences that an event lists.
	maxListed = 100
)

// differError says that a drill failed, and how.
type differError struct {
	drill *night.Drill
}

// Error names the first differences.
func (e *differError) Error() string {
	text := fmt.Sprintf("compare counts of %s: %d of %d differ", e.drill.Day, len(e.drill.Differences), e.drill.Compared)
	for i, d := range e.drill.Differences {
		if i == 5 {
			return text + "; …"
		}
		text += "; " + d.String()
	}
	return text
}

// drill counts what the intermediary answers for each shard and compares it
// with the manifest's fingerprint. Shards that were counted while others still
// loaded are not counted again. The verdict is stored beside the manifest,
// whatever it is.
func (r *restore) drill(ctx context.Context, j *job, src *source, c *counting) (*night.Drill, error) {
	loaded := r.now()
	d := &night.Drill{
		Schema: night.Schema, Day: j.day.String(), Database: r.cfg.Database, RestoreID: j.id,
		Mode: r.cfg.Mode, Kept: j.kept, StartedAt: c.begun.UTC(), LoadedAt: loaded.UTC(), Differences: []night.Difference{},
	}
	if src.manifest == nil {
		d.Note = night.NoFingerprint
	} else {
		d.Backup = src.manifest.Request
	}
	if err := r.compare(ctx, j, src, d, c.finish()); err != nil {
		return nil, err
	}
	d.Passed, d.FinishedAt = len(d.Differences) == 0, r.now().UTC()
	if err := r.putDrill(ctx, j, d); err != nil {
		return nil, err
	}
	j.log.Info().Int64("compared", d.Compared).Int64("values", d.Values).Int("differences", len(d.Differences)).
		Dur("duration", r.now().Sub(loaded)).Msg("drill done")
	if !d.Passed {
		return nil, &differError{drill: d}
	}
	return d, nil
}

// compare asks for the counts of all shards, a few at a time. Of those that are
// known it asks only for what they should not hold.
func (r *restore) compare(ctx context.Context, j *job, src *source, d *night.Drill, known map[uint64]tally) error {
	r.http.ForgetFields() // those of shards that came later would be missing
	all, err := r.measurements(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var done int64
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.cfg.Counters)
	for _, s := range src.shards {
		g.Go(func() error {
			t, counted := known[s.ID]
			var diffs []night.Difference
			if !counted || r.holdsOthers(gctx, s, src.cutoff, all) {
				var err error
				if t, diffs, err = r.compareShard(gctx, s, src); err != nil {
					return err
				}
			}
			mu.Lock()
			defer mu.Unlock()
			done++
			d.Compared += t.compared
			d.Values += t.values
			d.Differences = append(d.Differences, diffs...)
			r.progress(&pb.Progress{
				Service: "restore", Day: j.day.String(), Step: "drill", Unit: "shards",
				Done: done, Total: int64(len(src.shards)),
			})
			return nil
		})
	}
	return g.Wait()
}

// compareShard compares one shard. A server that has just taken the shard may
// need a moment: a difference is believed only when it stays.
func (r *restore) compareShard(ctx context.Context, s night.Shard, src *source) (tally, []night.Difference, error) {
	for try := 1; ; try++ {
		got, err := r.countShard(ctx, s, src.cutoff)
		if err != nil {
			return tally{}, nil, err
		}
		if src.manifest == nil {
			return tally{values: got.Sum()}, nil, nil
		}
		compared, diffs := s.Counts.Compare(s, got)
		if len(diffs) == 0 || try > recounts {
			return tally{compared: compared, values: got.Sum()}, diffs, nil
		}
		if err := service.Pause(ctx, time.Second); err != nil {
			return tally{}, nil, err
		}
	}
}

// countShard asks until the server answers for the shard.
func (r *restore) countShard(ctx context.Context, s night.Shard, cutoff time.Time) (night.Counts, error) {
	counts, err := backoff.Retry(ctx, func() (night.Counts, error) {
		all, err := r.http.Measurements(ctx, r.cfg.Database)
		if err != nil {
			return nil, err //nolint:wrapcheck // wrapped below
		}
		return r.countOf(ctx, s, cutoff, all)
	}, backoff.WithMaxElapsedTime(readyWait), backoff.WithNotify(func(err error, d time.Duration) {
		r.log.Warn().Err(err).Uint64("shard", s.ID).Dur("wait", d).Msg("shard is not ready, counting it again")
	}))
	if err != nil {
		return nil, fmt.Errorf("count shard %d: %w", s.ID, err)
	}
	return counts, nil
}

// countOf counts the shard's values of some measurements up to the cut-off.
func (r *restore) countOf(ctx context.Context, s night.Shard, cutoff time.Time, measurements []string) (night.Counts, error) {
	until := s.End
	if cutoff.Before(until) {
		until = cutoff
	}
	out := night.Counts{}
	if !s.Start.Before(until) || len(measurements) == 0 {
		return out, nil
	}
	counts, err := r.http.CountOf(ctx, r.cfg.Database, s.RetentionPolicy, measurements, s.Start, until)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what was counted
	}
	for f, n := range counts {
		out.Add(f.Measurement, f.Field, n)
	}
	return out, nil
}

// putDrill stores the verdict.
func (r *restore) putDrill(ctx context.Context, j *job, d *night.Drill) error {
	data, err := d.Encode()
	if err != nil {
		return fmt.Errorf("write drill of %s: %w", j.day, err)
	}
	sent, err := r.store.Put(ctx, j.day.String(), night.DrillObject(j.day), objstore.NewSource(data), objstore.PutOptions{ContentType: "application/json"})
	if err != nil {
		return fmt.Errorf("put %s: %w", night.DrillObject(j.day), err)
	}
	return objstore.Confirm(ctx, r.store, j.day.String(), sent) //nolint:wrapcheck // it names the object
}

// verdict is the drill as an event carries it.
func verdict(d *night.Drill) *pb.Verdict {
	out := &pb.Verdict{Compared: d.Compared, Values: d.Values, Note: d.Note}
	for _, diff := range d.Differences[:min(len(d.Differences), maxListed)] {
		out.Differences = append(out.Differences, &pb.Difference{
			Shard: diff.Shard, RetentionPolicy: diff.RetentionPolicy, Measurement: diff.Measurement, Field: diff.Field,
			WantMin: diff.Want.Min, WantMax: diff.Want.Max, Got: diff.Got,
		})
	}
	return out
}
