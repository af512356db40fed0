package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/cenkalti/backoff/v5"

	"nightshard/shared/influx"
	"nightshard/shared/meter"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/proof"
	"nightshard/shared/readahead"
	"nightshard/shared/tsm"
)

const (
	// shardTries bounds how often a shard is read that was not read whole.
	shardTries = 5
	// steadyTries is how often at most a shard is read in the hope that no
	// point of it is deleted and written again meanwhile.
	steadyTries = 2
)

// shard stores one shard: as it is in Swift already, if it is unchanged. One that
// is not whole is read again a few times, if production still has it.
func (h *haul) shard(ctx context.Context, key night.ShardKey) (night.Shard, error) {
	if s, ok := h.carrier.carry(ctx, key); ok {
		return s, nil
	}
	var had int64 // values in it when it was first looked at
	tries := 0
	store := func() (night.Shard, error) {
		tries++
		s, err := h.whole(ctx, key, &had, tries > steadyTries)
		if err != nil && h.deleted(ctx, key) {
			return night.Shard{}, backoff.Permanent(errDeleted)
		}
		return s, err
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = time.Second
	s, err := backoff.Retry(ctx, store, backoff.WithBackOff(wait), backoff.WithMaxTries(shardTries),
		backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, d time.Duration) {
			h.j.log.Warn().Err(err).Uint64("shard", key.ID).Dur("wait", d).Msg("shard is read again")
		}))
	if err != nil {
		return night.Shard{}, fmt.Errorf("store shard %d: %w", key.ID, err)
	}
	return s, nil
}

// whole stores a shard between two counts of it; of one that nobody touched
// meanwhile the first says what the second would. Six things together say that
// the archive is whole: production's cache was on disk before it was asked for;
// the archive's own structure and checksums; two readings of each file agree,
// this one or one by the backup before; the shard was still in service
// when its stream had ended; the archive holds as many values as were counted;
// and at the end of the backup production still lists the shard.
//
// had keeps the most values that any try counted. With restless, counts that
// changed meanwhile prove nothing.
func (h *haul) whole(ctx context.Context, key night.ShardKey, had *int64, restless bool) (night.Shard, error) {
	before, err := h.count(ctx, key, h.cutoff, h.counters)
	if err != nil {
		return night.Shard{}, err
	}
	*had = max(*had, before.Sum())
	s, archive, err := h.archive(ctx, key, *had)
	if err != nil {
		return night.Shard{}, err
	}
	after := before
	if !h.quiet(ctx, key) {
		if after, err = h.count(ctx, key, h.cutoff, h.counters); err != nil {
			return night.Shard{}, err
		}
	}
	s.Counts = night.NewFingerprint(before, after)
	if err := holds(archive, s, restless); err != nil {
		return night.Shard{}, err
	}
	widen(s.Counts, archive, !reflect.DeepEqual(before, after))
	return s, nil
}

// clockCoarse is by how much a file's time may lie before the server's clock: the
// kernel's is some milliseconds behind.
const clockCoarse = time.Second

// quiet says that nothing in the shard changed since the backup began: what
// production holds of it in memory is in files, and no file is newer. Then it
// need not be counted again, which costs more than all the rest.
func (h *haul) quiet(ctx context.Context, key night.ShardKey) bool {
	if err := h.snapshot.Flush(ctx, key.ID); err != nil {
		h.j.log.Debug().Err(err).Uint64("shard", key.ID).Msg("shard is counted again")
		return false
	}
	newer, err := h.snapshot.Newer(ctx, key.ID, h.cutoff.Add(-clockCoarse))
	if err != nil {
		h.j.log.Debug().Err(err).Uint64("shard", key.ID).Msg("shard is counted again")
	}
	return err == nil && !newer
}

// archive stores the archive of a shard.
func (h *haul) archive(ctx context.Context, key night.ShardKey, had int64) (night.Shard, *tsm.Archive, error) {
	switch err := h.flush(ctx, key); {
	case errors.Is(err, errNotLoaded):
		return h.unwritten(ctx, key, had)
	case err != nil:
		return night.Shard{}, nil, err
	}
	s, archive, err := h.stream(ctx, key)
	if err != nil {
		return night.Shard{}, nil, err
	}
	// DROP SHARD takes the files away before the shard leaves the lists, and an
	// archive that lacks them looks whole.
	if err := h.snapshot.Answers(ctx, key.ID); err != nil {
		return night.Shard{}, nil, fmt.Errorf("ask whether the shard is still there: %w", err)
	}
	return s, archive, nil
}

const (
	// flushWait bounds how long production may need until what it holds of a
	// shard in memory is in files. After a DELETE an idle shard gives nothing
	// for up to ten seconds. A slow disk may take half a minute for one part of
	// a large cache.
	flushWait = 3 * time.Minute
	// flushPause lies between two questions.
	flushPause = 500 * time.Millisecond
)

// flush has production write what it holds of a shard in memory: under load it
// silently leaves that out of an archive. A server that is too busy to say in
// time that it did is watched until it must have done it.
func (h *haul) flush(ctx context.Context, key night.ShardKey) error {
	var watch influx.CacheWatch
	flush := func() (struct{}, error) {
		err := h.snapshot.Flush(ctx, key.ID)
		switch {
		case errors.Is(err, influx.ErrNoData):
			loaded, listErr := h.snapshot.Loaded(ctx, h.cfg.Database)
			if listErr == nil && !loaded[key.ID] {
				return struct{}{}, backoff.Permanent(errNotLoaded)
			}
		case err != nil && !errors.Is(err, influx.ErrBusy):
			return struct{}{}, backoff.Permanent(err)
		}
		if err == nil || h.drained(ctx, key, &watch) {
			return struct{}{}, nil
		}
		return struct{}{}, err //nolint:wrapcheck // it names the shard
	}
	_, err := backoff.Retry(ctx, flush, backoff.WithBackOff(backoff.NewConstantBackOff(flushPause)),
		backoff.WithMaxElapsedTime(flushWait), backoff.WithNotify(func(err error, _ time.Duration) {
			h.j.log.Debug().Err(err).Uint64("shard", key.ID).Msg("shard is flushed again")
		}))
	return err //nolint:wrapcheck // it names the shard
}

// drained says whether the state of the shard's cache proves by now what a
// flush could not.
func (h *haul) drained(ctx context.Context, key night.ShardKey, watch *influx.CacheWatch) bool {
	state, err := h.http.Cache(ctx, h.cfg.Database, key.ID)
	if err != nil {
		h.j.log.Debug().Err(err).Msg("the cache's state is not known")
		return false
	}
	return watch.See(state)
}

// stream passes one shard from production to Swift, verifying it on the way.
func (h *haul) stream(ctx context.Context, key night.ShardKey) (night.Shard, *tsm.Archive, error) {
	name := night.ShardName{Database: h.cfg.Database, RetentionPolicy: key.RetentionPolicy, ID: key.ID}
	var last *tsm.Reader
	source := func(ctx context.Context) (io.ReadCloser, error) {
		body, err := h.snapshot.Shard(ctx, key.ID, time.Time{})
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the server and the shard
		}
		last = tsm.NewReader(body, h.archiveOptions(name))
		// It is verified beside being hashed and sent.
		return readahead.New(verified{Reader: &meter.Reader{Reader: last, Passed: func(n int64) { h.bytes.Add(n) }}, Closer: body}), nil
	}
	object := name.Object(h.j.day)
	sent, err := h.store.Put(ctx, h.j.container(), h.place(object), source, objstore.PutOptions{ContentType: "application/x-tar"})
	if err != nil {
		return night.Shard{}, nil, fmt.Errorf("stream to %s: %w", h.place(object), err)
	}
	archive := last.Archive()
	s := record(key, stored(object, sent))
	s.Files = proof.Files(archive)
	if len(s.Files) > 0 && (archive.Database != name.Database || archive.RetentionPolicy != key.RetentionPolicy || archive.Shard != key.ID) {
		return s, nil, fmt.Errorf("check shard %d: the server sent shard %d of %q.%q", key.ID, archive.Shard, archive.Database, archive.RetentionPolicy)
	}
	if err := h.agree(ctx, key, s.Files); err != nil {
		return s, nil, err
	}
	h.j.log.Debug().Uint64("shard", key.ID).Int64("bytes", s.Bytes).Msg("shard stored")
	return s, archive, nil
}

// record is a shard as the manifest lists it.
func record(key night.ShardKey, s night.Stored) night.Shard {
	return night.Shard{
		Stored: s, ID: key.ID, RetentionPolicy: key.RetentionPolicy,
		Start: key.Start.UTC(), End: key.End.UTC(), Files: []night.File{},
	}
}

// errTooFew says that an archive holds fewer values than the server counted
// before and after it was read.
var errTooFew = errors.New("the archive holds fewer values than production has")

// errTooMany says that it holds more: points were deleted after it was read.
var errTooMany = errors.New("the archive holds more values than production has")

// holds checks the values counted in the archive's blocks against the counts
// taken before and after it was read. It is the second line: what the archive
// holds may be too high, where blocks overlap. Points deleted meanwhile make it
// hold more than is counted after, so the least of both counts is what it must
// reach. Only where points are deleted and written anew at the same time may a
// whole archive have less, or more than both: with restless, a field that shows
// it is passed over.
func holds(a *tsm.Archive, s night.Shard, restless bool) error {
	for m, fields := range s.Counts {
		for field, want := range fields {
			got := a.Counts[tsm.FieldKey{Measurement: m, Field: field}]
			if moved := want.Min != want.Max; got < want.Min && (!restless || !moved) {
				return fmt.Errorf("check shard %d, %q field %q: %d of %d values: %w", s.ID, m, field, got, want.Min, errTooFew)
			}
		}
	}
	for key, least := range a.Least {
		if want := s.Counts[key.Measurement][key.Field]; least > want.Max && !restless {
			return fmt.Errorf("check shard %d, %q field %q: %d values, production has %d: %w", s.ID, key.Measurement, key.Field, least, want.Max, errTooMany)
		}
	}
	return nil
}

// widen lets a fingerprint allow for what the archive holds, where production's
// counts changed while it was read: where points are deleted and written again
// the archive may have more, or fewer, than both counts. moved says that any
// count changed.
func widen(counts night.Fingerprint, a *tsm.Archive, moved bool) {
	for key, most := range a.Counts {
		fields := counts[key.Measurement]
		want, ok := fields[key.Field]
		if least := a.Least[key]; least <= want.Max && (ok && want.Min == want.Max || !moved) {
			continue
		}
		if fields == nil {
			fields = map[string]night.Range{}
			counts[key.Measurement] = fields
		}
		fields[key.Field] = night.Range{Min: min(want.Min, a.Least[key]), Max: max(want.Max, most)}
	}
	for m, fields := range counts {
		for field, want := range fields {
			if a.Counts[tsm.FieldKey{Measurement: m, Field: field}] == 0 && want.Min != want.Max {
				fields[field] = night.Range{Max: want.Max}
			}
		}
	}
}

// archiveOptions store a plain archive as it came, byte by byte, and give one
// that plain `influxd restore` would misplace the entry paths that lead it
// right.
func (h *haul) archiveOptions(name night.ShardName) tsm.Options {
	opts := tsm.Options{Count: true, Until: h.cutoff}
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

func stored(object string, sent objstore.Object) night.Stored {
	s := night.Stored{Object: object, Bytes: sent.Size, MD5: sent.MD5}
	if sent.Listed != sent.MD5 {
		s.Listed = sent.Listed
	}
	return s
}
