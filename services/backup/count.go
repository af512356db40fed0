package main

import (
	"context"
	"fmt"
	"time"

	"nightshard/shared/night"
	"nightshard/shared/service"
)

// count asks production how many values the shard holds up to the cut-off.
// Queries are bounded by the shard's time range, their number by counters, so
// that production is not hurt.
func (b *backup) count(ctx context.Context, key night.ShardKey, cutoff time.Time, counters chan struct{}) (night.Counts, error) {
	until := key.End
	if cutoff.Before(until) {
		until = cutoff
	}
	if !key.Start.Before(until) {
		return night.Counts{}, nil
	}
	select {
	case counters <- struct{}{}:
		defer func() { <-counters }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	counts, err := b.http.Count(ctx, b.cfg.Database, key.RetentionPolicy, key.Start, until)
	if err != nil {
		return nil, fmt.Errorf("count shard %d: %w", key.ID, err)
	}
	out := night.Counts{}
	for f, n := range counts {
		out.Add(f.Measurement, f.Field, n)
	}
	return out, service.Pause(ctx, b.cfg.CountPause)
}
