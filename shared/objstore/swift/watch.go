package swift

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nightshard/shared/objstore"
)

// watch ends a call when the server does nothing for the idle time. The time
// that the other side takes, a source or a read function, does not count.
type watch struct {
	ctx    context.Context //nolint:containedctx // the call's own, it lives as long
	parent context.Context //nolint:containedctx // to tell who ended the call
	cancel context.CancelCauseFunc
	timer  *time.Timer
	idle   time.Duration
}

func newWatch(ctx context.Context, idle time.Duration) *watch {
	inner, cancel := context.WithCancelCause(ctx)
	w := &watch{ctx: inner, parent: ctx, cancel: cancel, idle: idle}
	w.timer = time.AfterFunc(idle, func() {
		cancel(fmt.Errorf("%w: nothing for %v", objstore.ErrStalled, idle))
	})
	return w
}

// kick says that the server has done something, or that it is its turn.
func (w *watch) kick() { w.timer.Reset(w.idle) }

// allow gives the server longer for what comes next.
func (w *watch) allow(d time.Duration) { w.timer.Reset(d) }

// pause stops the clock while it is not the server's turn.
func (w *watch) pause() { w.timer.Stop() }

// stop ends the call.
func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(context.Canceled)
}

// explain says why the call ended, where err only says that it was cancelled.
func (w *watch) explain(err error) error {
	if w.parent.Err() != nil {
		return w.parent.Err()
	}
	if cause := context.Cause(w.ctx); errors.Is(cause, objstore.ErrStalled) {
		return cause
	}
	return err
}
