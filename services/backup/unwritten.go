package main

import (
	"context"
	"errors"
	"fmt"

	"nightshard/shared/night"
	"nightshard/shared/tsm"
)

// errNotLoaded says that production lists a shard and does not have it at hand.
var errNotLoaded = errors.New("production lists the shard and does not have it at hand")

// emptyArchive is what a shard without a file streams: the end marker of a tar.
const emptyArchive = 1024

// unwritten stores an empty archive for a shard that production lists and does
// not have at hand. A server makes the next shard half an hour before its time
// comes; until the first point is written to it there is nothing behind the
// name, and where no point ever comes that stays so. A shard that could not be
// opened when the server started looks the same, so one that had a value just
// now, or a file in an earlier backup, is an error.
func (h *haul) unwritten(ctx context.Context, key night.ShardKey, had int64) (night.Shard, *tsm.Archive, error) {
	if had > 0 {
		return night.Shard{}, nil, fmt.Errorf("look for shard %d, which had %d values just now: %w", key.ID, had, errNotLoaded)
	}
	m, err := h.earlier()
	if err != nil {
		return night.Shard{}, nil, err
	}
	if files := filesOf(m, key.ID); files > 0 {
		return night.Shard{}, nil, fmt.Errorf("look for shard %d, of which the backup of %s has %d files (production's log says why it is not open): %w", key.ID, m.Day, files, errNotLoaded)
	}
	name := night.ShardName{Database: h.cfg.Database, RetentionPolicy: key.RetentionPolicy, ID: key.ID}
	object := name.Object(h.j.day)
	sent, err := h.put(ctx, h.j, h.place(object), make([]byte, emptyArchive), "application/x-tar")
	if err != nil {
		return night.Shard{}, nil, err
	}
	s := record(key, stored(object, sent))
	s.Unwritten = true
	h.j.log.Info().Uint64("shard", key.ID).Time("start", key.Start).Msg("shard was never written to; it is stored empty")
	return s, &tsm.Archive{}, nil
}

// filesOf says how many files of a shard a backup has.
func filesOf(m *night.Manifest, id uint64) int {
	if m == nil {
		return 0
	}
	for i := range m.Shards {
		if m.Shards[i].ID == id {
			return len(m.Shards[i].Files)
		}
	}
	return 0
}

// lookBack is how many days are looked through for an earlier backup.
const lookBack = 31

// earlierBackup finds the newest backup of the same server that is at most lookBack
// days older than the day, or its own that is to be replaced.
func (b *backup) earlierBackup(ctx context.Context, j *job, clusterID string) (*night.Manifest, error) {
	return b.earlierSuiting(ctx, j, clusterID, func(night.Day, *night.Manifest) (bool, error) { return true, nil })
}

// earlierSuiting finds the newest of these that is suitable.
func (b *backup) earlierSuiting(ctx context.Context, j *job, clusterID string, suits func(night.Day, *night.Manifest) (bool, error)) (*night.Manifest, error) {
	for back := range lookBack + 1 {
		past := *j
		past.day = j.day.Add(-back)
		m, err := b.manifest(ctx, &past, night.ManifestObject(past.day))
		if err != nil {
			return nil, fmt.Errorf("look for an earlier backup: %w", err)
		}
		if m == nil || m.Production.ClusterID != clusterID || m.Database != b.cfg.Database {
			continue
		}
		ok, err := suits(past.day, m)
		if err != nil {
			return nil, fmt.Errorf("look for an earlier backup: %w", err)
		}
		if ok {
			return m, nil
		}
	}
	return nil, nil //nolint:nilnil // no earlier backup is an answer, not an error
}
