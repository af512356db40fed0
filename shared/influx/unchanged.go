package influx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Reading says what a shard's files were when they were read.
type Reading struct {
	// Since is an instant of the server's own clock. No file that was read is
	// later, and every file that is made after the reading is.
	Since time.Time
	FilesState
}

// Changed says why shards of a database may no longer hold what was read of
// them; those that it does not name hold just that. Three answers together say
// so, asked in this order: nothing of the shard is in memory only; no file is
// later than the reading; and all files are there. The last is asked last: points
// that were deleted leave a later file until they are compacted away, and then
// fewer files, or smaller ones. At most parallel connections are open at once.
func Changed(ctx context.Context, c *Client, s *Snapshot, database string, read map[uint64]Reading, parallel int) (map[uint64]error, error) {
	if len(read) == 0 {
		return nil, nil
	}
	written, err := c.written(ctx, database)
	if err != nil {
		return nil, err
	}
	changed := map[uint64]error{}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for id, r := range read {
		g.Go(func() error {
			if err := s.noNewFile(gctx, id, r.Since, written[id]); err != nil {
				mu.Lock()
				defer mu.Unlock()
				changed[id] = err
			}
			return gctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	now, err := c.Files(ctx, database)
	if err != nil {
		return nil, err
	}
	for id, r := range read {
		if f, ok := now[id]; !ok || f != r.FilesState {
			changed[id] = fmt.Errorf("%d bytes in %d files, were %d in %d", f.Bytes, f.Files, r.Bytes, r.Files)
		}
	}
	return changed, nil
}

// errNewFile says that a shard was written to.
var errNewFile = errors.New("it has files that are newer than its reading")

// noNewFile says that the server made no file of a shard after an instant, and,
// if that is not known yet, has nothing to write.
func (s *Snapshot) noNewFile(ctx context.Context, id uint64, since time.Time, written bool) error {
	if !written {
		if err := s.Flush(ctx, id); err != nil {
			return err
		}
	}
	newer, err := s.Newer(ctx, id, since)
	if err == nil && newer {
		err = errNewFile
	}
	return err
}

// emptyArchive is the size of an archive without any file, all zero.
const emptyArchive = 1024

// Newer says whether the server made a file of a shard after an instant. It reads
// no more than it needs for that. What the server holds in memory it does not
// see.
func (s *Snapshot) Newer(ctx context.Context, id uint64, since time.Time) (bool, error) {
	body, err := s.Shard(ctx, id, since)
	if err != nil {
		return false, err
	}
	defer func() { _ = body.Close() }()
	head, err := io.ReadAll(io.LimitReader(body, emptyArchive+1))
	if err != nil {
		return false, err //nolint:wrapcheck // it names the shard
	}
	return !bytes.Equal(head, make([]byte, emptyArchive)), nil
}

// written names the shards of a database of which the server holds nothing that
// is not in a file: their write-ahead logs are empty, and so are their caches.
// A point is acknowledged only when it stands in the log, and leaves it only for
// a file. A server of 1.6 keeps its log until the next write, so that most of its
// shards are not named.
func (c *Client) written(ctx context.Context, database string) (map[uint64]bool, error) {
	answers, err := c.queries(ctx, "", []string{"SHOW STATS FOR 'tsm1_wal'", "SHOW STATS FOR 'tsm1_cache'"})
	if err != nil {
		return nil, fmt.Errorf("ask what of database %q is in memory: %w", database, err)
	}
	logs := shardNumbers(answers[0], database)
	out := map[uint64]bool{}
	for id, cache := range shardNumbers(answers[1], database) {
		out[id] = zero(logs[id], "currentSegmentDiskBytes", "oldSegmentsDiskBytes") && zero(cache, "memBytes", "diskBytes")
	}
	return out, nil
}

// zero says that each of some statistics is there, and is nought.
func zero(found map[string]int64, names ...string) bool {
	for _, name := range names {
		if n, ok := found[name]; !ok || n != 0 {
			return false
		}
	}
	return true
}

// shardNumbers are the statistics of each shard of a database, by its id.
func shardNumbers(series []Series, database string) map[uint64]map[string]int64 {
	out := map[uint64]map[string]int64{}
	for _, s := range series {
		if id, err := strconv.ParseUint(s.Tags["id"], 10, 64); err == nil && s.Tags["database"] == database {
			out[id] = numbers(s)
		}
	}
	return out
}

// FilesState is what a server says of a shard's files.
type FilesState struct {
	// Bytes is their size in all.
	Bytes int64
	// Files is how many there are.
	Files int64
}

// Files asks for the state of the files of each shard of a database.
func (c *Client) Files(ctx context.Context, database string) (map[uint64]FilesState, error) {
	series, err := c.Query(ctx, "", "SHOW STATS FOR 'tsm1_filestore'")
	if err != nil {
		return nil, fmt.Errorf("ask for files of database %q: %w", database, err)
	}
	out := map[uint64]FilesState{}
	for id, found := range shardNumbers(series, database) {
		size, ok := found["diskBytes"]
		files, also := found["numFiles"]
		if ok && also {
			out[id] = FilesState{Bytes: size, Files: files}
		}
	}
	return out, nil
}

// Clock asks for the server's clock, to the nanosecond. The time of a file is that
// of its kernel's clock, which is some milliseconds behind, never ahead.
func (c *Client) Clock(ctx context.Context) (time.Time, error) {
	series, err := c.Query(ctx, "", "SHOW DIAGNOSTICS FOR 'system'")
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for the server's clock: %w", err)
	}
	for _, s := range series {
		for i, column := range s.Columns {
			if column != "currentTime" || len(s.Values) == 0 {
				continue
			}
			return moment(s.Values[0][i])
		}
	}
	return time.Time{}, errors.New("ask for the server's clock: it says nothing of it")
}
