package influx

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// idleReader ends a request whose body stays silent for too long.
type idleReader struct {
	body    io.Reader
	timeout time.Duration
	timer   *time.Timer
	stalled atomic.Bool
}

// newIdleReader watches body; cancel ends its request.
func newIdleReader(body io.Reader, timeout time.Duration, cancel func()) *idleReader {
	r := &idleReader{body: body, timeout: timeout}
	r.timer = time.AfterFunc(timeout, func() {
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
	return n, err //nolint:wrapcheck // io.EOF must pass as it is
}
