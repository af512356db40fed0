package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/tsm"
)

// maxRounds bounds how often production may gain shards while a backup runs.
const maxRounds = 20

// shards stores every shard that production lists. When all are stored it asks
// again: one that appeared meanwhile is stored too, one that retention deleted
// is taken out and named. It returns the last inventory, which the stored
// shards fit exactly.
func (b *backup) shards(ctx context.Context, j *job, inv inventory, m *night.Manifest, place func(string) string) (inventory, error) {
	begin := b.now()
	stored := map[uint64]night.Shard{}
	todo := inv.shards
	for range maxRounds {
		if err := b.round(ctx, j, m.Cutoff, todo, stored, place); err != nil {
			return inv, err
		}
		var err error
		if inv, err = b.inventory(ctx); err != nil {
			return inv, err
		}
		plan := night.Reconcile(keys(stored), inv.shards)
		for _, s := range plan.Deleted {
			delete(stored, s.ID)
			m.Deleted = append(m.Deleted, s.ID)
			j.log.Warn().Uint64("shard", s.ID).Msg("production deleted the shard while the backup ran; it is left out")
		}
		if todo = plan.Missing; len(todo) > 0 {
			continue
		}
		for _, s := range inv.shards {
			m.Shards = append(m.Shards, stored[s.ID])
		}
		j.log.Info().Int("shards", len(m.Shards)).Int64("bytes", m.Bytes()).
			Dur("duration", b.now().Sub(begin)).Msg("shards stored")
		return inv, nil
	}
	return inv, fmt.Errorf("list shards: production still gained shards after %d rounds", maxRounds)
}

// round stores the shards of todo, several at a time, and adds each to stored.
// A shard that production no longer lists when its stream fails is passed over.
func (b *backup) round(ctx context.Context, j *job, cutoff time.Time, todo []night.ShardKey, stored map[uint64]night.Shard, place func(string) string) error {
	var mu sync.Mutex
	var bytes atomic.Int64
	counters := make(chan struct{}, b.cfg.Counters)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(b.cfg.Parallel)
	for _, key := range todo {
		g.Go(func() error {
			s, err := b.shard(gctx, j, cutoff, key, counters, place, &bytes)
			if err != nil {
				return b.unlessDeleted(gctx, key, err)
			}
			mu.Lock()
			defer mu.Unlock()
			stored[key.ID] = s
			b.progress(&pb.Progress{
				Service: "backup", Day: j.day.String(), Step: "shards", Unit: "shards",
				Done: int64(len(stored)), Total: int64(max(len(todo), len(stored))), Bytes: bytes.Load(),
			})
			return nil
		})
	}
	return g.Wait()
}

// unlessDeleted drops the error of a shard that production deleted meanwhile.
func (b *backup) unlessDeleted(ctx context.Context, key night.ShardKey, cause error) error {
	inv, err := b.inventory(ctx)
	if err != nil {
		return cause
	}
	if slices.ContainsFunc(inv.shards, func(s night.ShardKey) bool { return s.ID == key.ID }) {
		return cause
	}
	return nil
}

// shard stores one shard between two counts of it. A stream that is not whole
// is asked for again a few times: a server that just took a DELETE answers with
// nothing for up to ten seconds, one under load may have left out its cache.
func (b *backup) shard(ctx context.Context, j *job, cutoff time.Time, key night.ShardKey, counters chan struct{}, place func(string) string, bytes *atomic.Int64) (night.Shard, error) {
	store := func() (night.Shard, error) {
		before, err := b.count(ctx, key, cutoff, counters)
		if err != nil {
			return night.Shard{}, err
		}
		s, archive, err := b.stream(ctx, j, key, place, bytes)
		if err != nil {
			return night.Shard{}, err
		}
		after, err := b.count(ctx, key, cutoff, counters)
		if err != nil {
			return night.Shard{}, err
		}
		s.Counts = night.NewFingerprint(before, after)
		return s, holds(archive, s)
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = time.Second
	s, err := backoff.Retry(ctx, store, backoff.WithBackOff(wait), backoff.WithMaxTries(5),
		backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, d time.Duration) {
			j.log.Warn().Err(err).Uint64("shard", key.ID).Dur("wait", d).Msg("shard is read again")
		}))
	if err != nil {
		return night.Shard{}, fmt.Errorf("store shard %d: %w", key.ID, err)
	}
	return s, nil
}

// stream passes one shard from production to Swift, verifying it on the way.
func (b *backup) stream(ctx context.Context, j *job, key night.ShardKey, place func(string) string, bytes *atomic.Int64) (night.Shard, *tsm.Archive, error) {
	name := night.ShardName{Database: b.cfg.Database, RetentionPolicy: key.RetentionPolicy, ID: key.ID}
	var last *tsm.Reader
	source := func(ctx context.Context) (io.ReadCloser, error) {
		body, err := b.snapshot.Shard(ctx, key.ID, time.Time{})
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the server and the shard
		}
		last = tsm.NewReader(body, archiveOptions(name))
		return verified{Reader: &metered{Reader: last, n: bytes}, Closer: body}, nil
	}
	object := name.Object(j.day)
	sent, err := b.store.Put(ctx, j.container(), place(object), source, objstore.PutOptions{ContentType: "application/x-tar"})
	if err != nil {
		return night.Shard{}, nil, fmt.Errorf("stream to %s: %w", place(object), err)
	}
	archive := last.Archive()
	s := night.Shard{
		Stored: stored(object, sent), ID: key.ID, RetentionPolicy: key.RetentionPolicy,
		Start: key.Start.UTC(), End: key.End.UTC(), Files: []night.File{},
	}
	for _, f := range archive.Files {
		s.Files = append(s.Files, night.File{Name: f.Name, Bytes: f.Size, SHA256: f.SHA256})
	}
	j.log.Debug().Uint64("shard", key.ID).Int64("bytes", s.Bytes).Msg("shard stored")
	return s, archive, nil
}

// errCacheLeftOut says that an archive holds fewer values than the server
// counted before it was read.
var errCacheLeftOut = errors.New("the archive holds fewer values than production had before: its cache was left out")

// holds checks the values counted in the archive's blocks against the counts
// taken before: under write load a server silently leaves out what is still in
// its cache. Deletes make an archive hold more, never fewer, than is counted
// after them, so the least of both counts is what it must reach.
func holds(a *tsm.Archive, s night.Shard) error {
	for m, fields := range s.Counts {
		for field, want := range fields {
			if got := a.Counts[tsm.FieldKey{Measurement: m, Field: field}]; got < want.Min {
				return fmt.Errorf("check shard %d, %q field %q: %d of %d values: %w", s.ID, m, field, got, want.Min, errCacheLeftOut)
			}
		}
	}
	return nil
}

// archiveOptions store a plain archive as it came, byte by byte, and give one
// that plain `influxd restore` would misplace the entry paths that lead it
// right.
func archiveOptions(name night.ShardName) tsm.Options {
	opts := tsm.Options{Count: true}
	if name.Detour() {
		opts.Rename = tsm.RenameInto(name.EntryFolder())
	}
	return opts
}

// verified joins the verifying reader with the connection that it reads from.
type verified struct {
	io.Reader
	io.Closer
}

// metered adds what is read to a counter.
type metered struct {
	io.Reader
	n *atomic.Int64
}

// Read implements io.Reader.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	m.n.Add(int64(n))
	return n, err //nolint:wrapcheck // io.EOF must pass as it is
}

func stored(object string, sent objstore.Object) night.Stored {
	s := night.Stored{Object: object, Bytes: sent.Size, MD5: sent.MD5}
	if sent.Listed != sent.MD5 {
		s.Listed = sent.Listed
	}
	return s
}

func keys(shards map[uint64]night.Shard) []night.ShardKey {
	var out []night.ShardKey
	for _, s := range shards {
		out = append(out, night.ShardKey{ID: s.ID, RetentionPolicy: s.RetentionPolicy, Start: s.Start, End: s.End})
	}
	return out
}
