package influx

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// watch ends a call whose server does nothing else either. A server may work on
// an answer for long, and is silent then; one that hangs does not answer check.
// The call's context ends with the reason. stop is called when the answer
// begins.
func watch(ctx context.Context, every time.Duration, check func(context.Context) error) (watched context.Context, stop func()) {
	watched, cancel := context.WithCancelCause(ctx)
	checking, stop := context.WithCancel(watched)
	go func() {
		defer stop()
		for {
			select {
			case <-checking.Done():
				return
			case <-time.After(every):
			}
			if err := check(checking); errors.Is(err, ErrStalled) && checking.Err() == nil {
				cancel(fmt.Errorf("no answer, and none to a simple question either: %w", err))
				return
			}
		}
	}()
	return watched, stop
}

// alive asks for the least that a server can answer.
func (c *Client) alive(ctx context.Context) error {
	_, _, err := c.Ping(ctx)
	return err
}

// alive does the same on the snapshot port.
func (s *Snapshot) alive(ctx context.Context) error {
	_, err := s.Metastore(ctx)
	return err
}
