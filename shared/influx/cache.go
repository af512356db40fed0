package influx

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// CacheState is what a server says of a shard's cache, the points that it holds
// in memory.
type CacheState struct {
	// Taken is how many bytes were taken out of the cache to be written, since
	// the server's start.
	Taken int64
	// Writing is how many bytes of these are not yet in a file.
	Writing int64
}

// errNoState says that the server has no such shard, or says nothing of it.
var errNoState = errors.New("the server says nothing of the shard's cache")

// Cache asks for the state of a shard's cache.
func (c *Client) Cache(ctx context.Context, database string, id uint64) (CacheState, error) {
	series, err := c.Query(ctx, "", "SHOW STATS FOR 'tsm1_cache'")
	if err != nil {
		return CacheState{}, fmt.Errorf("ask for cache of shard %d: %w", id, err)
	}
	for _, s := range series {
		if s.Tags["database"] == database && s.Tags["id"] == strconv.FormatUint(id, 10) {
			return cacheState(s)
		}
	}
	return CacheState{}, fmt.Errorf("ask for cache of shard %d: %w", id, errNoState)
}

// numbers are the statistics of a series by their names.
func numbers(s Series) map[string]int64 {
	found := map[string]int64{}
	for _, row := range s.Values {
		for i, column := range s.Columns {
			if n, err := integer(row[i]); err == nil {
				found[column] = n
			}
		}
	}
	return found
}

func cacheState(s Series) (CacheState, error) {
	found := numbers(s)
	taken, ok := found["cachedBytes"]
	writing, also := found["diskBytes"]
	if !ok || !also {
		return CacheState{}, errNoState
	}
	return CacheState{Taken: taken, Writing: writing}, nil
}

// CacheWatch tells from one state of a cache after the other that all of what was
// in it at the first is in files. The zero value has seen nothing.
type CacheWatch struct {
	seen  bool
	taken int64
	rises int
}

// See looks at the next state, and says whether it proves that everything which
// was acknowledged before the first one is in files. A server takes the next
// part out of a cache only when the last one is written, so when it has twice
// begun anew since the first look, what was in the cache then is in files. Once
// is enough when nothing is being written at a later look.
func (w *CacheWatch) See(s CacheState) bool {
	switch {
	case !w.seen || s.Taken < w.taken: // the first look, or the server was restarted
		*w = CacheWatch{seen: true, taken: s.Taken}
		return false
	case w.rises > 0 && s.Writing == 0:
		return true
	case s.Taken > w.taken:
		w.taken = s.Taken
		w.rises++
	}
	return w.rises >= 2
}
