package influx

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// idleReader ends a request whose body stays silent for too long. Before its
// first byte the server works on the answer, which may take longer.
type idleReader struct {
	body    io.Reader
	timeout time.Duration // of the next silence
	rest    time.Duration // of all silences after the first byte
	timer   *time.Timer
	stalled atomic.Bool
}

// newIdleReader watches body; cancel ends its request.
func newIdleReader(body io.Reader, first, rest time.Duration, cancel func()) *idleReader {
	r := &idleReader{body: body, timeout: first, rest: rest}
	r.timer = time.AfterFunc(first, func() {
		r.stalled.Store(true)
		cancel()
	})
	// It runs only while a Read waits.
	r.timer.Stop()
	return r
}

// Read implements io.Reader.
func (r *idleReader) Read(p []byte) (int, error) {
	r.timer.Reset(r.timeout)
	n, err := r.body.Read(p)
	r.timer.Stop()
	if err != nil && r.stalled.Load() {
		return n, fmt.Errorf("no byte came for %s: %w", r.timeout, ErrStalled)
	}
	if n > 0 {
		r.timeout = r.rest
	}
	return n, err //nolint:wrapcheck // io.EOF must pass as it is
}
