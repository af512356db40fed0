package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/night"
)

// maxRounds bounds how often production may gain shards while a backup runs.
const maxRounds = 20

// haul is the work on the shards of one backup.
type haul struct {
	*backup
	j        *job
	cutoff   time.Time
	place    func(string) string // where an object goes
	counters chan struct{}       // one for each count query at a time
	bytes    atomic.Int64
	earlier  func() (*night.Manifest, error) // that of an earlier backup, nil if there is none
	witness  *witness
	carrier  *carrier

	mu     sync.Mutex
	stored map[uint64]night.Shard
	gone   map[uint64]bool // production deleted them before they were stored
}

// shards stores every shard that production lists. When all are stored it asks
// again: one that appeared meanwhile is stored too, one that production deleted
// is taken out and named. It returns the last inventory, which the stored
// shards fit exactly.
func (b *backup) shards(ctx context.Context, j *job, inv inventory, m *night.Manifest, place func(string) string) (inventory, error) {
	begin := b.now()
	h := &haul{
		backup: b, j: j, cutoff: m.Cutoff, place: place, counters: make(chan struct{}, b.cfg.Counters),
		stored: map[uint64]night.Shard{}, gone: map[uint64]bool{},
	}
	h.earlier = sync.OnceValues(func() (*night.Manifest, error) { return b.earlierBackup(ctx, j, m.Production.ClusterID) })
	h.witness = h.newWitness()
	h.carrier = h.newCarrier(ctx, m.Production.ClusterID, inv.shards)
	todo := inv.shards
	for range maxRounds {
		if err := h.round(ctx, todo); err != nil {
			return inv, err
		}
		var err error
		if inv, err = b.inventory(ctx); err != nil {
			return inv, err
		}
		m.Deleted = append(m.Deleted, h.drop(inv.shards)...)
		if todo = night.Reconcile(keys(h.stored), inv.shards).Missing; len(todo) > 0 {
			continue
		}
		for _, s := range inv.shards {
			m.Shards = append(m.Shards, h.stored[s.ID])
		}
		slices.Sort(m.Deleted)
		j.log.Info().Int("shards", len(m.Shards)).Int("carried", m.CarriedForward()).Int64("bytes", m.Bytes()).Int64("streamed", h.bytes.Load()).
			Dur("duration", b.now().Sub(begin)).Msg("shards stored")
		return inv, nil
	}
	return inv, fmt.Errorf("list shards: production still gained shards after %d rounds", maxRounds)
}

// drop takes the shards out that production lists no more, and names them and
// those that were gone before they could be stored.
func (h *haul) drop(listed []night.ShardKey) []uint64 {
	var deleted []uint64
	for _, s := range night.Reconcile(keys(h.stored), listed).Deleted {
		delete(h.stored, s.ID)
		h.gone[s.ID] = true
	}
	for id := range h.gone {
		if slices.ContainsFunc(listed, func(s night.ShardKey) bool { return s.ID == id }) {
			continue
		}
		deleted = append(deleted, id)
		h.j.log.Warn().Uint64("shard", id).Msg("production deleted the shard while the backup ran; it is left out")
	}
	clear(h.gone)
	return deleted
}

// round stores the shards of todo, several at a time.
func (h *haul) round(ctx context.Context, todo []night.ShardKey) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(h.cfg.Parallel)
	for _, key := range todo {
		g.Go(func() error {
			s, err := h.shard(gctx, key)
			h.mu.Lock()
			defer h.mu.Unlock()
			switch {
			case errors.Is(err, errDeleted):
				h.gone[key.ID] = true
				return nil
			case err != nil:
				return err
			}
			h.stored[key.ID] = s
			h.progress(&pb.Progress{
				Service: "backup", Day: h.j.day.String(), Step: "shards", Unit: "shards",
				Done: int64(len(h.stored)), Total: int64(max(len(todo), len(h.stored))), Bytes: h.bytes.Load(),
			})
			return nil
		})
	}
	return g.Wait()
}

// errDeleted says that production lists a shard no more.
var errDeleted = errors.New("production deleted the shard")

// deleted says whether production lists the shard no more. It is not, as long
// as production does not answer.
func (b *backup) deleted(ctx context.Context, key night.ShardKey) bool {
	inv, err := b.inventory(ctx)
	return err == nil && !slices.ContainsFunc(inv.shards, func(s night.ShardKey) bool { return s.ID == key.ID })
}

func keys(shards map[uint64]night.Shard) []night.ShardKey {
	var out []night.ShardKey
	for _, s := range shards {
		out = append(out, night.ShardKey{ID: s.ID, RetentionPolicy: s.RetentionPolicy, Start: s.Start, End: s.End})
	}
	return out
}
