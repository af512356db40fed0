package influx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"time"
)

// ErrBusy says that it could not be shown that the server's memory is in its
// files.
var ErrBusy = errors.New("the server did not say in time that its cache is on disk")

const (
	// surelyFlushed is how quick an answer must be to prove that the cache was
	// written before it. A server of 1.8 that is at work on an earlier part of
	// its cache waits 1, 32 and 1,024 ms for it and then answers without the
	// cache. It says so only in its log. Older versions answer nothing.
	surelyFlushed = 900 * time.Millisecond
	// flushTries bounds how often Flush asks. The first answer may be slow
	// because there is much to write; the next ones are not.
	flushTries = 6
)

// never is later than any file was changed.
func never() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

// Flush has the server write what it holds of a shard in memory, its cache, to
// files. When it returns without an error, every point that the server had
// acknowledged before the call is in the shard's files, and so in every archive
// that is asked for later. An archive alone does not say so: see [Snapshot.Shard].
//
// Each request for an archive begins with a flush. Asked for no file at all, it
// is nothing else. Two of them must have succeeded: after a flush that failed,
// as it does beside a DELETE, the next one writes only what that one had taken,
// and leaves what came since.
//
// ErrBusy says that nothing was proved, ErrNoData that the server said nothing:
// it does not have the shard, or a flush is not possible now. The caller may ask
// again.
func (s *Snapshot) Flush(ctx context.Context, id uint64) error {
	sure := 0
	for range flushTries {
		begin := time.Now()
		if err := s.Answers(ctx, id); err != nil {
			return err
		}
		if time.Since(begin) < surelyFlushed {
			sure++
		}
		if sure == 2 {
			return nil
		}
	}
	return fmt.Errorf("flush shard %d of %s: %w", id, s.cfg.Addr, ErrBusy)
}

// Answers asks for an archive of a shard without any file. ErrNoData says that
// the server does not have the shard, or cannot give it now. A shard is taken
// out of service before its files are deleted: one that answers after a stream
// was whole when that ended.
func (s *Snapshot) Answers(ctx context.Context, id uint64) error {
	body, err := s.Shard(ctx, id, never())
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // all of it was read
	_, err = io.Copy(io.Discard, body)
	return err //nolint:wrapcheck // it names the shard
}

// Loaded gives the ids of the shards of a database that the server has at hand.
// A shard that it lists elsewhere and not here was never written to, could not
// be opened when the server started, or is being deleted.
func (s *Snapshot) Loaded(ctx context.Context, database string) (map[uint64]bool, error) {
	c, err := s.send(ctx, request{Type: typeDatabaseInfo, BackupDatabase: database})
	if err != nil {
		return nil, fmt.Errorf("ask for database %q: %w", database, err)
	}
	defer c.finish()
	answer, err := io.ReadAll(io.LimitReader(c, maxMetastore))
	if err == nil && len(answer) == 0 {
		err = ErrNoData
	}
	if err != nil {
		return nil, fmt.Errorf("read shards of database %q at %s: %w", database, s.cfg.Addr, err)
	}
	return parseLoaded(answer)
}

// parseLoaded reads the paths of shards, which end in their ids.
func parseLoaded(answer []byte) (map[uint64]bool, error) {
	var info struct{ Paths []string }
	if err := json.Unmarshal(answer, &info); err != nil {
		return nil, fmt.Errorf("read list of shards: %w", err)
	}
	ids := make(map[uint64]bool, len(info.Paths))
	for _, p := range info.Paths {
		id, err := strconv.ParseUint(path.Base(p), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read list of shards: path %q ends in no id", p)
		}
		ids[id] = true
	}
	return ids, nil
}
