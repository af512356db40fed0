package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"nightshard/shared/night"
	"nightshard/shared/proof"
	"nightshard/shared/tsm"
)

// witness knows the content of files that were read from production before: in
// this run, or by the night before. The index of a .tsm file has no checksum, and
// a bit of it that changed on the way gives a tag another value, or a point
// another time. So a file is believed when two readings of it agree. Files never
// change, and most were read the night before: only what is new since then is
// read twice.
type witness struct {
	// since is production's clock of the night before; zero if there is none.
	since time.Time

	mu   sync.Mutex
	seen map[reading]bool
}

// reading is a file as one reading of a shard showed it.
type reading struct {
	shard uint64
	file  night.File
}

// clockSlack is how much earlier than the backup before a file may have been
// written, by its own clock, and still count as new.
const clockSlack = time.Hour

// newWitness takes what the backup before says of production's files. It helps
// to read less; a night does not fail for want of it.
func (h *haul) newWitness() *witness {
	w := &witness{seen: map[reading]bool{}}
	m, err := h.earlier()
	if err != nil {
		h.j.log.Warn().Err(err).Msg("the backup before cannot be looked at: all is read twice")
	}
	if m == nil || err != nil {
		return w
	}
	w.since = m.Cutoff.Add(-clockSlack)
	for _, s := range m.Shards {
		w.add(s.ID, s.Files)
	}
	return w
}

func (w *witness) add(shard uint64, files []night.File) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range files {
		w.seen[reading{shard, f}] = true
	}
}

// unseen gives the files that no other reading showed.
func (w *witness) unseen(shard uint64, files []night.File) []night.File {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []night.File
	for _, f := range files {
		if !w.seen[reading{shard, f}] {
			out = append(out, f)
		}
	}
	return out
}

// errDiffer says that two readings of a shard do not agree.
var errDiffer = errors.New("two readings differ: a bit changed on the way, or the server compacted the shard in between")

// agree reads what nobody has seen before a second time. What was read now
// counts for the next try, if it comes to one.
func (h *haul) agree(ctx context.Context, key night.ShardKey, files []night.File) error {
	w := h.witness
	doubtful := w.unseen(key.ID, files)
	defer w.add(key.ID, files)
	times := []time.Time{w.since, {}}
	if w.since.IsZero() {
		times = times[1:]
	}
	for _, since := range times {
		if len(doubtful) == 0 {
			return nil
		}
		again, err := h.readAgain(ctx, key, since)
		if err != nil {
			return fmt.Errorf("read shard %d a second time: %w", key.ID, err)
		}
		w.add(key.ID, again)
		doubtful = w.unseen(key.ID, files)
	}
	if len(doubtful) > 0 {
		return fmt.Errorf("compare shard %d: %s: %w", key.ID, doubtful[0].Name, errDiffer)
	}
	return nil
}

// readAgain reads the files of a shard that changed after an instant, and keeps
// nothing but their hashes.
func (b *backup) readAgain(ctx context.Context, key night.ShardKey, since time.Time) ([]night.File, error) {
	body, err := b.snapshot.Shard(ctx, key.ID, since)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the server and the shard
	}
	defer func() { _ = body.Close() }()
	archive, err := tsm.Verify(body, tsm.Options{})
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what is wrong
	}
	return proof.Files(archive), nil
}
