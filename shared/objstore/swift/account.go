package swift

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// AccountInfo is what Swift says of an account.
type AccountInfo struct {
	// Bytes, Objects and Containers are what it holds, which may lag a little.
	Bytes, Objects, Containers int64
	// Quota is the most bytes that it may hold, 0 when none is set.
	Quota int64
	// Clock is the server's, in full seconds; zero if it sends none.
	Clock time.Time
}

// Account asks for the state of the account.
func (s *Store) Account(ctx context.Context) (AccountInfo, error) {
	w := newWatch(ctx, s.idle)
	defer w.stop()
	h, err := s.call(w, request{method: http.MethodHead})
	if err != nil {
		return AccountInfo{}, fmt.Errorf("ask for the account: %w", err)
	}
	number := func(name string) int64 {
		n, err := strconv.ParseInt(h.Get(name), 10, 64)
		if err != nil {
			return 0 // not every server says it
		}
		return n
	}
	info := AccountInfo{
		Bytes: number("X-Account-Bytes-Used"), Objects: number("X-Account-Object-Count"),
		Containers: number("X-Account-Container-Count"), Quota: number("X-Account-Meta-Quota-Bytes"),
	}
	if at, err := http.ParseTime(h.Get("Date")); err == nil {
		info.Clock = at
	}
	return info, nil
}

// Limits are what a server says of itself in /info.
type Limits struct {
	// ObjectBytes is the most bytes of one object, 0 when it is not said.
	ObjectBytes int64
	// LargeObjects says that objects may be stored in segments.
	LargeObjects bool
	// Version is the server's.
	Version string
}

// Limits asks for the server's limits. Not every server tells them.
func (s *Store) Limits(ctx context.Context) (Limits, error) {
	info, err := s.conn.QueryInfo(ctx)
	if err != nil {
		return Limits{}, fmt.Errorf("ask for the limits: %w", s.secrets.scrub(err))
	}
	section, _ := info["swift"].(map[string]any)
	most, _ := section["max_file_size"].(float64)
	version, _ := section["version"].(string)
	_, slo := info["slo"]
	return Limits{ObjectBytes: int64(most), LargeObjects: slo, Version: version}, nil
}
