package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/influx"
	"nightshard/shared/intermediary"
	"nightshard/shared/meter"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/proof"
	"nightshard/shared/readahead"
	"nightshard/shared/tsm"
)

// loadOnline drops the database, makes it anew from the backup's metastore and
// streams each shard into the running server.
func (r *restore) loadOnline(ctx context.Context, j *job, src *source, c *counting) error {
	if err := r.drop(ctx); err != nil {
		return err
	}
	blob, err := influx.RestoreBlob(src.raw, r.cfg.Database)
	if err != nil {
		return fmt.Errorf("edit metastore: %w", err)
	}
	ids, err := r.create(ctx, blob, len(src.shards))
	if err != nil {
		return err
	}
	if err := r.checkPlaces(ctx, src, ids); err != nil {
		return fmt.Errorf("check database %q: %w", r.cfg.Database, err)
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	return r.upload(ctx, j, src.shards, ids, c)
}

// upload streams shards into their places, a few at a time. Each may be counted
// as soon as it is there.
func (r *restore) upload(ctx context.Context, j *job, shards []night.Shard, ids map[uint64]uint64, c *counting) error {
	var bytes, done atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.cfg.Parallel)
	for _, s := range shards {
		g.Go(func() error {
			id, ok := ids[s.ID]
			if !ok {
				return fmt.Errorf("restore shard %d: the server made no place for it", s.ID)
			}
			if err := r.uploadShard(gctx, j, s, id, &bytes); err != nil {
				return err
			}
			c.stands(s)
			r.progress(&pb.Progress{
				Service: "restore", Day: j.day.String(), Step: "shards", Unit: "shards",
				Done: done.Add(1), Total: int64(len(shards)), Bytes: bytes.Load(),
			})
			return nil
		})
	}
	return g.Wait()
}

// drop removes the database from the intermediary.
func (r *restore) drop(ctx context.Context) error {
	if err := r.http.Exec(ctx, "", "DROP DATABASE "+influx.QuoteIdent(r.cfg.Database)); err != nil {
		return fmt.Errorf("drop database %q: %w", r.cfg.Database, err)
	}
	return nil
}

// create makes the database with its retention policies and shards. The answer
// maps production's shard ids to the new ones.
func (r *restore) create(ctx context.Context, blob []byte, shards int) (map[uint64]uint64, error) {
	ids, err := r.snapshot.UpdateMetastore(ctx, blob, r.cfg.Database)
	if err == nil {
		return ids, nil
	}
	// A database without shards gives no pairs, which looks like a refusal.
	if shards == 0 {
		if names, listErr := r.http.Databases(ctx); listErr == nil && slices.Contains(names, r.cfg.Database) {
			return ids, nil
		}
	}
	return nil, fmt.Errorf("create database %q: %w", r.cfg.Database, err)
}

// uploadShard streams one shard from Swift into the server. It is tried again
// when a connection breaks: the same files once more do no harm.
func (r *restore) uploadShard(ctx context.Context, j *job, s night.Shard, id uint64, bytes *atomic.Int64) error {
	upload := func() (intermediary.Held, error) {
		held := intermediary.Held{RestoreID: j.id, Shard: s.ID, Place: id, MD5: s.MD5, Archive: s.Bytes}
		sent, err := r.shardBody(ctx, j, s, tsm.Options{
			Rename:     tsm.RenameInto(fmt.Sprintf("%s/%s/%d", r.cfg.Database, s.RetentionPolicy, id)),
			Tombstones: true, Memory: heldFile, Spool: r.spool, Count: true,
		}, func(body io.Reader) error {
			return r.snapshot.UploadShard(ctx, id, &meter.Reader{Reader: body, Passed: func(n int64) { bytes.Add(n) }})
		})
		if err != nil {
			return held, err
		}
		if r.cfg.Mode == modeIncremental {
			if held.Clock, err = r.http.Clock(ctx); err != nil {
				return held, err //nolint:wrapcheck // it says what was asked
			}
		}
		same, err := r.arrived(ctx, j, id, sent)
		if !same {
			held.Clock = time.Time{}
		}
		for _, f := range sent.Sent {
			held.Files++
			held.Bytes += f.Size
		}
		return held, err
	}
	held, err := backoff.Retry(ctx, upload, backoff.WithMaxTries(3), backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, d time.Duration) {
			j.log.Warn().Err(err).Uint64("shard", s.ID).Dur("wait", d).Msg("shard is restored again")
		}))
	if err != nil {
		return fmt.Errorf("restore shard %d: %w", s.ID, final(err))
	}
	j.hold(held)
	return nil
}

// errStoredDamaged says that an archive is not the one that the manifest
// describes.
var errStoredDamaged = errors.New("it is damaged in Swift")

// final ends the restore of a day of which an archive was read several times and
// was damaged each time: it will be so at the next attempt.
func final(err error) error {
	if errors.Is(err, errNotAsSent) {
		return err // what is in Swift is good
	}
	if _, corrupt := errors.AsType[*tsm.CorruptError](err); corrupt || errors.Is(err, errStoredDamaged) {
		return events.Permanent(err)
	}
	return err
}

// heldFile is the largest file, in bytes, that is held in memory while its
// deleted points are left out. Few files have any.
const heldFile = 16 << 20

// spool gives a place for a larger file with deleted points, where a setting
// allows one.
func (r *restore) spool() (tsm.Spool, error) {
	if r.cfg.SpoolDir == "" {
		return nil, fmt.Errorf("hold a file of more than %d bytes with deleted points: set NIGHTSHARD_SPOOL_DIR to a folder with room for it", heldFile)
	}
	f, err := os.CreateTemp(r.cfg.SpoolDir, "nightshard-*")
	if err != nil {
		return nil, fmt.Errorf("hold a file with deleted points: %w", err)
	}
	// Removed at once: its room comes back with the last Close, also after a
	// crash.
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("hold a file with deleted points: %w", err), f.Close())
	}
	return f, nil
}

// shardBody gives use the shard's archive, verified as it passes: by its own
// checksums, by Swift's MD5, and file by file by the manifest's SHA-256.
func (r *restore) shardBody(ctx context.Context, j *job, s night.Shard, opts tsm.Options, use func(io.Reader) error) (*tsm.Archive, error) {
	var archive *tsm.Archive
	err := r.store.Get(ctx, j.day.String(), s.Object, func(o objstore.Object, body io.Reader) error {
		if o.Size != s.Bytes {
			return fmt.Errorf("get %s: %d bytes, the manifest says %d: %w", s.Object, o.Size, s.Bytes, errStoredDamaged)
		}
		if o.MD5 != "" && o.MD5 != s.MD5 {
			return fmt.Errorf("get %s: it is stored with MD5 %s, the manifest says %s: %w", s.Object, o.MD5, s.MD5, errStoredDamaged)
		}
		reader := tsm.NewReader(body, opts)
		defer func() { _ = reader.Close() }()        // it never fails
		ahead := readahead.New(io.NopCloser(reader)) // verified beside being sent
		defer func() { _ = ahead.Close() }()         // neither does it
		if err := use(ahead); err != nil {
			return err
		}
		archive = reader.Archive()
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", s.Object, err)
	}
	return archive, sameFiles(s, archive)
}

// sameFiles holds the files that came back against the manifest.
func sameFiles(s night.Shard, a *tsm.Archive) error {
	if s.Files == nil {
		return nil // an old script's container says nothing of its files
	}
	problems := night.CheckFiles(s, proof.Files(a))
	if len(problems) == 0 {
		return nil
	}
	texts := make([]string, 0, len(problems))
	for _, p := range problems {
		texts = append(texts, p.String())
	}
	return fmt.Errorf("check files of shard %d: %s: %w", s.ID, strings.Join(texts, "; "), errStoredDamaged)
}
