package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nightshard/shared/influx"
	"nightshard/shared/intermediary"
	"nightshard/shared/night"
)

// plan says which shards an incremental restore keeps, and what it does with the
// others.
type plan struct {
	keep  map[uint64]intermediary.Held // by production's id
	drop  []uint64                     // places in the intermediary
	fill  []night.Shard
	count int // how many such restores came before it in a row
}

// plan gives what an incremental restore is to do, nil if all shards are to be
// replaced. A restore does not fail for want of it.
func (r *restore) plan(ctx context.Context, j *job, src *source) *plan {
	if r.cfg.Mode != modeIncremental {
		return nil
	}
	p, err := r.keepable(ctx, j, src)
	if err == nil {
		err = r.stillHeld(ctx, j, p, src)
	}
	if err == nil && len(p.keep) == 0 {
		err = errors.New("no shard is what it was")
	}
	if err != nil {
		j.log.Info().Str("reason", err.Error()).Msg("all shards are replaced")
		return nil
	}
	return p
}

// keepable plans by what was written down at the restore before this one. The
// error says why everything is to be replaced.
func (r *restore) keepable(ctx context.Context, j *job, src *source) (*plan, error) {
	if src.manifest == nil || j.force {
		return nil, errors.New("it was asked for by force, or of an old script's container")
	}
	last, ok, err := intermediary.Read(ctx, r.http, r.cfg.Database)
	switch {
	case err != nil:
		return nil, err //nolint:wrapcheck // it names the identity
	case !ok || last.State != intermediary.Complete:
		return nil, errors.New("the restore before it is not whole")
	case last.Production != src.manifest.Production.ClusterID:
		return nil, fmt.Errorf("the intermediary holds a backup of another server, with cluster id %q", last.Production)
	case last.Incremental+1 >= r.cfg.FullEvery:
		return nil, fmt.Errorf("shards were kept %d times in a row", last.Incremental)
	}
	held, err := intermediary.ReadHeld(ctx, r.http, r.cfg.Database, last.RestoreID)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what was read
	}
	if len(held) == 0 || len(held) != last.Held {
		return nil, fmt.Errorf("of %d shards it is written down what they hold, %d were restored", len(held), last.Held)
	}
	live, err := r.liveMetastore(ctx)
	if err != nil {
		return nil, err
	}
	want, _ := src.meta.Database(r.cfg.Database)
	made, _ := live.Database(r.cfg.Database)
	if err := samePolicies(want, made); err != nil {
		return nil, err
	}
	p, err := newPlan(src.shards, live.Shards(r.cfg.Database), held)
	if err == nil {
		p.count = last.Incremental + 1
	}
	return p, err
}

// newPlan keeps each shard whose archive is the one that was restored to a place
// of its bounds.
func newPlan(shards []night.Shard, live []influx.ShardMeta, held []intermediary.Held) (*plan, error) {
	known := map[uint64]intermediary.Held{} // by production's id
	places := map[uint64]bool{}
	for _, h := range held {
		known[h.Shard], places[h.Place] = h, true
	}
	standing := map[uint64]influx.ShardMeta{}
	for _, s := range live {
		if standing[s.ID] = s; !places[s.ID] {
			return nil, fmt.Errorf("the intermediary has a shard %d of %q that was not restored", s.ID, s.RetentionPolicy)
		}
	}
	p := &plan{keep: map[uint64]intermediary.Held{}}
	for _, s := range shards {
		h, ok := known[s.ID]
		at, stands := standing[h.Place]
		if ok && stands && fits(at, s) && h.MD5 == s.MD5 && h.Archive == s.Bytes && !h.Clock.IsZero() {
			p.keep[s.ID] = h
		}
	}
	return p, nil
}

// overlap says that two shards of one policy share some of their time.
func overlap(a, b night.Shard) bool {
	return a.RetentionPolicy == b.RetentionPolicy && a.Start.Before(b.End) && b.Start.Before(a.End)
}

// fits says that a place is one for the shard.
func fits(at influx.ShardMeta, s night.Shard) bool {
	return at.RetentionPolicy == s.RetentionPolicy && at.Start.Equal(s.Start) && at.End.Equal(s.End)
}

// stillHeld asks the intermediary which of the shards that may be kept it still
// holds as they were restored. All others are to be dropped and filled.
func (r *restore) stillHeld(ctx context.Context, j *job, p *plan, src *source) error {
	read := map[uint64]influx.Reading{}
	for _, h := range p.keep {
		read[h.Place] = h.Reading()
	}
	changed, err := influx.Changed(ctx, r.http, r.snapshot, r.cfg.Database, read, r.cfg.Parallel)
	if err != nil {
		return err //nolint:wrapcheck // it says what was asked
	}
	for id, h := range p.keep {
		if why := changed[h.Place]; why != nil {
			delete(p.keep, id)
			j.log.Debug().Err(why).Uint64("shard", id).Msg("shard is not kept")
		}
	}
	live, err := r.liveMetastore(ctx)
	if err != nil {
		return err
	}
	return p.replace(src.shards, live, r.cfg.Database)
}

// replace plans what becomes of the shards that are not kept. The server makes
// the place of a shard by the present shard duration of its policy, and puts a
// point into the first place that spans it: where this cannot lead to the bounds
// of production's shard, everything is to be replaced.
func (p *plan) replace(shards []night.Shard, live *influx.Metastore, database string) error {
	kept := map[uint64]bool{}
	for _, h := range p.keep {
		kept[h.Place] = true
	}
	for _, s := range live.Shards(database) {
		if !kept[s.ID] {
			p.drop = append(p.drop, s.ID)
		}
	}
	spans := map[string]time.Duration{}
	db, _ := live.Database(database)
	for _, rp := range db.RetentionPolicies {
		spans[rp.Name] = rp.ShardGroupDuration
	}
	for i, s := range shards {
		if _, ok := p.keep[s.ID]; ok {
			continue
		}
		span := spans[s.RetentionPolicy]
		if span <= 0 || !s.Start.Truncate(span).Equal(s.Start) || !s.Start.Add(span).Equal(s.End) {
			return fmt.Errorf("shard %d from %s to %s is not one of %s", s.ID, s.Start.UTC(), s.End.UTC(), span)
		}
		if _, seeded := s.Counts[seed]; seeded {
			return fmt.Errorf("shard %d has a measurement %q", s.ID, seed)
		}
		for k, other := range shards {
			if k != i && overlap(other, s) {
				return fmt.Errorf("shards %d and %d overlap", s.ID, other.ID)
			}
		}
		p.fill = append(p.fill, s)
	}
	return nil
}
