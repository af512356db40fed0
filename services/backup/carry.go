package main

import (
	"context"
	"errors"
	"fmt"

	"nightshard/shared/influx"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// carrier copies the archives of unchanged shards inside Swift, from the newest
// day that is proved.
type carrier struct {
	*haul
	from   string                 // that day
	shards map[uint64]night.Shard // those that are unchanged, as they are there
}

// newCarrier finds out which shards did not change. It helps to read less; a night
// does not fail for want of it.
func (h *haul) newCarrier(ctx context.Context, clusterID string, keys []night.ShardKey) *carrier {
	c := &carrier{haul: h, shards: map[uint64]night.Shard{}}
	if h.cfg.FullEvery == 1 {
		return c
	}
	from, err := h.proved(ctx, h.j, clusterID)
	if err == nil && from != nil {
		c.from = from.Day
		for _, key := range keys {
			// A clock that was ahead then has been set back: it tells nothing.
			if s, ok := from.Carry(key, h.j.day, h.cfg.FullEvery); ok && s.Carried.Clock.Before(h.cutoff) {
				c.shards[key.ID] = s
			}
		}
		err = errors.Join(c.keepUnchanged(ctx), c.keepStored(ctx))
	}
	if err != nil {
		clear(c.shards)
	}
	if err != nil && ctx.Err() == nil {
		h.j.log.Warn().Err(err).Msg("no shard is carried forward: it is not known what changed")
	}
	return c
}

// keepUnchanged asks production which shards' files are still those that the
// archives hold.
func (c *carrier) keepUnchanged(ctx context.Context) error {
	read := map[uint64]influx.Reading{}
	for id, s := range c.shards {
		read[id] = influx.Reading{
			Since:      s.Carried.Clock.Add(-clockSlack),
			FilesState: influx.FilesState{Bytes: s.Size(), Files: int64(len(s.Files))},
		}
	}
	changed, err := influx.Changed(ctx, c.http, c.snapshot, c.cfg.Database, read, c.cfg.Parallel)
	if err != nil {
		return err //nolint:wrapcheck // it says what was asked
	}
	for id, why := range changed {
		delete(c.shards, id)
		c.j.log.Debug().Err(why).Uint64("shard", id).Msg("shard is not carried forward")
	}
	return nil
}

// keepStored takes those out whose archive is not the manifest's.
func (c *carrier) keepStored(ctx context.Context) error {
	past := *c.j
	past.day, _ = night.ParseDay(c.from) // it was a manifest's
	listed, err := c.listing(ctx, &past, night.ShardPrefix(past.day))
	if err != nil {
		return err
	}
	for id, s := range c.shards {
		if got := listed[s.Object]; got.Bytes != s.Bytes || got.MD5 != s.Hash() {
			delete(c.shards, id)
			c.j.log.Warn().Uint64("shard", id).Str("object", s.Object).Msg("shard is read anew: its archive is not the one that was stored")
		}
	}
	return nil
}

// proved gives the newest backup of this server whose restore was drilled, and
// passed; nil if there is none.
func (b *backup) proved(ctx context.Context, j *job, clusterID string) (*night.Manifest, error) {
	return b.earlierSuiting(ctx, j, clusterID, func(day night.Day, m *night.Manifest) (bool, error) {
		past := *j
		past.day = day
		data, err := b.read(ctx, &past, night.DrillObject(day))
		if errors.Is(err, objstore.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		d, err := night.ParseDrill(data)
		return err == nil && d.Passed && d.Backup == m.Request, nil
	})
}

// carry copies the archive of a shard that did not change. ok is false if there
// is none, or it is not good.
func (c *carrier) carry(ctx context.Context, key night.ShardKey) (night.Shard, bool) {
	s, ok := c.shards[key.ID]
	if !ok {
		return night.Shard{}, false
	}
	err := c.copy(ctx, &s)
	if err != nil && ctx.Err() == nil {
		c.j.log.Warn().Err(err).Uint64("shard", key.ID).Msg("shard is read anew: its archive cannot be carried forward")
	}
	return s, err == nil
}

// copy copies the archive to its place. That the copy is whole is checked with
// everything else that was sent.
func (c *carrier) copy(ctx context.Context, s *night.Shard) error {
	from := s.Object
	s.Object = s.Name(c.cfg.Database).Object(c.j.day)
	if err := c.store.Copy(ctx, c.from, from, c.j.container(), c.place(s.Object)); err != nil {
		return fmt.Errorf("copy the archive of %s: %w", c.from, err)
	}
	return nil
}
