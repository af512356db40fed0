package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"nightshard/shared/night"
)

// counting is the drill's part that runs while shards still load: a shard that
// stands is counted while the server takes in others.
//
// It is sound only for what a shard that comes later cannot change. A query for
// the time range of a shard reads that shard alone, unless another one of its
// policy overlaps it: such shards are left for the end. And only a count that
// equals the fingerprint is kept, for that shard was proved to be there. All
// else (a difference, an error, a server that is not ready yet) says nothing as
// long as shards load, and is asked for again when all are there.
type counting struct {
	r     *restore
	j     *job
	src   *source
	begun time.Time // of the first count, at the latest the end of the loading

	queue chan night.Shard // nil before begin
	group errgroup.Group
	end   context.CancelFunc
	close func() // of the queue; it may be called again

	mu    sync.Mutex
	known map[uint64]tally
}

// tally is what came of counting a shard.
type tally struct {
	compared int64 // counts
	values   int64
}

func (r *restore) newCounting(j *job, src *source) *counting {
	return &counting{r: r, j: j, src: src, known: map[uint64]tally{}}
}

// begin allows shards to be counted from now on: the places of all of them exist.
// The newest of these is what the verdict is bound to, so it is asked for before
// anything is counted.
func (c *counting) begin(ctx context.Context) error {
	var err error
	if c.j.newest, err = c.r.newestShard(ctx); err != nil {
		return err
	}
	c.r.http.ForgetFields() // of an earlier restore
	ctx, c.end = context.WithCancel(ctx)
	c.begun, c.queue = c.r.now(), make(chan night.Shard, len(c.src.shards))
	c.close = sync.OnceFunc(func() { close(c.queue) })
	for range c.r.cfg.Counters {
		c.group.Go(func() error {
			for s := range c.queue {
				c.count(ctx, s)
			}
			return nil
		})
	}
	return nil
}

// stands says that a shard is whole in the intermediary. It never waits.
func (c *counting) stands(s night.Shard) {
	if c.src.manifest == nil || overlapped(s, c.src.shards) {
		return
	}
	c.queue <- s // there is room for each shard
}

// overlapped says that the time range of a shard holds points of another one.
func overlapped(s night.Shard, all []night.Shard) bool {
	return slices.ContainsFunc(all, func(o night.Shard) bool { return o.ID != s.ID && overlap(o, s) })
}

// count asks once, for the measurements that the shard should hold: the server
// lists all of them only when no shard loads.
func (c *counting) count(ctx context.Context, s night.Shard) {
	got, err := c.r.countOf(ctx, s, c.src.cutoff, slices.Collect(maps.Keys(s.Counts)))
	if err != nil {
		c.j.log.Debug().Err(err).Uint64("shard", s.ID).Msg("shard is counted when all are loaded")
		return
	}
	compared, diffs := s.Counts.Compare(s, got)
	if len(diffs) > 0 {
		c.j.log.Debug().Str("difference", diffs[0].String()).Uint64("shard", s.ID).Msg("shard is counted again when all are loaded")
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[s.ID] = tally{compared: compared, values: got.Sum()}
}

// finish waits until what stands is counted, and gives what does not differ.
// Nothing may be said to stand afterwards.
func (c *counting) finish() map[uint64]tally {
	c.close()
	_ = c.group.Wait() // count tells of its errors
	c.j.log.Debug().Int("shards", len(c.known)).Int("of", len(c.src.shards)).Msg("shards were counted while others loaded")
	return c.known
}

// measurements lists those of the database, as soon as the server does.
func (r *restore) measurements(ctx context.Context) ([]string, error) {
	all, err := backoff.Retry(ctx, func() ([]string, error) {
		return r.http.Measurements(ctx, r.cfg.Database)
	}, backoff.WithMaxElapsedTime(readyWait))
	if err != nil {
		return nil, fmt.Errorf("list measurements of the restored database: %w", err)
	}
	return all, nil
}

// holdsOthers says that a shard may hold values of a measurement that its
// fingerprint does not name.
func (r *restore) holdsOthers(ctx context.Context, s night.Shard, cutoff time.Time, all []string) bool {
	var others []string
	for _, m := range all {
		if _, named := s.Counts[m]; !named {
			others = append(others, m)
		}
	}
	got, err := r.countOf(ctx, s, cutoff, others)
	return err != nil || got.Sum() > 0
}

// stop ends counts that nobody waits for any more: the loading has failed.
func (c *counting) stop() {
	if c.queue == nil {
		return
	}
	c.end()
	c.close()
	_ = c.group.Wait()
}
