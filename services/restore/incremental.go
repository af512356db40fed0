package main

import (
	"context"
	"errors"
	"fmt"

	"nightshard/shared/events"
	"nightshard/shared/influx"
	"nightshard/shared/intermediary"
	"nightshard/shared/night"
)

// seed is the measurement whose points have the server make places for shards.
// None of them stays.
const seed = "_nightshard_seed"

// bring has the intermediary hold the backup, and proves it. Whatever is wrong
// after an incremental restore may be cured by a full one: it follows at once.
func (r *restore) bring(ctx context.Context, j *job, src *source, p *plan) (*night.Drill, error) {
	if p != nil {
		d, err := r.loadAndDrill(ctx, j, src, p)
		if err == nil || ctx.Err() != nil {
			return d, err
		}
		j.log.Warn().Err(err).Msg("the changed shards could not be restored alone; all shards are replaced")
	}
	return r.loadAndDrill(ctx, j, src, nil)
}

// loadAndDrill loads what p plans, or everything, and counts it.
func (r *restore) loadAndDrill(ctx context.Context, j *job, src *source, p *plan) (*night.Drill, error) {
	j.held, j.kept, j.count = nil, 0, 0
	if p != nil {
		j.kept, j.count = len(p.keep), p.count
	}
	c := r.newCounting(j, src)
	defer c.stop()
	if err := r.load(ctx, j, src, p, c); err != nil {
		return nil, events.Step("load", err)
	}
	d, err := r.drill(ctx, j, src, c)
	return d, events.Step("drill", err)
}

// loadChanged replaces the shards that are not kept. Meanwhile their time ranges
// answer empty, without an error: nobody reads, for the identity says that a
// restore is under way.
func (r *restore) loadChanged(ctx context.Context, j *job, src *source, p *plan, c *counting) error {
	for _, place := range p.drop {
		if err := r.http.Exec(ctx, "", fmt.Sprintf("DROP SHARD %d", place)); err != nil {
			return fmt.Errorf("drop shard %d: %w", place, err)
		}
	}
	ids := map[uint64]uint64{}
	for id, h := range p.keep {
		ids[id] = h.Place
		h.RestoreID = j.id
		j.hold(h)
	}
	if err := r.makePlaces(ctx, p, ids); err != nil {
		return fmt.Errorf("make places for changed shards: %w", err)
	}
	if err := r.checkPlaces(ctx, src, ids); err != nil {
		return fmt.Errorf("check database %q: %w", r.cfg.Database, err)
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	for _, s := range src.shards {
		if _, kept := p.keep[s.ID]; kept {
			c.stands(s)
		}
	}
	return r.upload(ctx, j, p.fill, ids, c)
}

// makePlaces has the server make an empty shard for each that is to be filled: a
// point in its time range does it. The points are gone before anything is
// uploaded.
func (r *restore) makePlaces(ctx context.Context, p *plan, ids map[uint64]uint64) error {
	if len(p.fill) > 0 {
		if err := r.sow(ctx, p.fill); err != nil {
			return err
		}
	}
	live, err := r.liveMetastore(ctx)
	if err != nil {
		return err
	}
	made := live.Shards(r.cfg.Database)
	if len(made) != len(p.keep)+len(p.fill) {
		return fmt.Errorf("the server has %d shards, want %d", len(made), len(p.keep)+len(p.fill))
	}
	kept := map[uint64]bool{}
	for _, h := range p.keep {
		kept[h.Place] = true
	}
	for _, s := range p.fill {
		for _, at := range made {
			if fits(at, s) && !kept[at.ID] {
				ids[s.ID] = at.ID
			}
		}
	}
	return nil // checkPlaces finds what has none
}

// sow writes a point into the time range of each shard, and deletes them all.
func (r *restore) sow(ctx context.Context, shards []night.Shard) error {
	lines := map[string][]byte{}
	for _, s := range shards {
		lines[s.RetentionPolicy] = fmt.Appendf(lines[s.RetentionPolicy], "%s sown=true %d\n", seed, s.Start.UnixNano())
	}
	for policy, points := range lines {
		if err := r.http.WritePoints(ctx, r.cfg.Database, policy, points); err != nil {
			return err //nolint:wrapcheck // the caller says what it is for
		}
	}
	if err := r.http.Exec(ctx, r.cfg.Database, "DROP MEASUREMENT "+influx.QuoteIdent(seed)); err != nil {
		return err //nolint:wrapcheck // the caller says what it is for
	}
	left, err := r.http.Query(ctx, r.cfg.Database, "SHOW MEASUREMENTS WITH MEASUREMENT = "+influx.QuoteIdent(seed))
	if err == nil && len(left) > 0 {
		err = errors.New("the points that had them made are still there")
	}
	return err
}

// hold writes down what stands in one place now.
func (j *job) hold(h intermediary.Held) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.held = append(j.held, h)
}

// writeHeld writes down what the restore put where, for the next one.
func (r *restore) writeHeld(ctx context.Context, j *job, identity *intermediary.Identity) error {
	if r.cfg.Mode != modeIncremental {
		return nil
	}
	if j.kept == 0 {
		if err := intermediary.ForgetHeld(ctx, r.http, r.cfg.Database); err != nil {
			return err //nolint:wrapcheck // it says what could not be done
		}
	}
	identity.Held, identity.Incremental = len(j.held), j.count
	return intermediary.WriteHeld(ctx, r.http, r.cfg.Database, j.held) //nolint:wrapcheck // it says what could not be done
}
