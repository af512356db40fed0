package events

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Consume gives the events of a durable consumer to its handler, one at a time,
// until ctx ends, and then returns nil. It outlives restarts of NATS and the
// removal of the durable. When ctx ends while the handler works, it waits for
// the handler and hands the event back, so that another replica takes over at
// once. Only wrong settings and a closed bus are errors.
func (b *Bus) Consume(ctx context.Context, c Consumer) error {
	c, err := c.withDefaults()
	if err != nil {
		return fmt.Errorf("consume %s: %w", c.Durable, err)
	}
	w := &worker{bus: b, Consumer: c}
	defer w.rest()
	for ctx.Err() == nil {
		cons, err := w.ready(ctx)
		if err != nil {
			return fmt.Errorf("consume %s: %w", c.Durable, err)
		}
		if cons != nil {
			w.begin()
			w.serve(ctx, cons)
		}
	}
	return nil
}

// ready waits until the durable is there. It returns nil when ctx ended.
func (w *worker) ready(ctx context.Context) (jetstream.Consumer, error) {
	for ctx.Err() == nil {
		w.beat()
		cons, err := w.ensure(ctx)
		switch {
		case err == nil:
			return cons, nil
		case w.bus.conn.IsClosed():
			return nil, fmt.Errorf("%w: %w", ErrClosed, err)
		case !transient(err) && !errors.Is(err, ErrDenied):
			return nil, err
		default:
			w.tell(ctx, err)
		}
		_ = pause(ctx, w.bus.retryPause())
	}
	return nil, nil
}

// tell logs why no event can be taken, once. While the connection is lost, that
// was logged already. A refusal does not end the service: its other durables may
// be allowed, and an operator can mend it while the service runs.
func (w *worker) tell(ctx context.Context, err error) {
	text := err.Error()
	if ctx.Err() != nil || !w.bus.conn.IsConnected() || w.told == text {
		return
	}
	w.told = text
	w.bus.log.Warn().Err(err).Str("durable", w.Durable).Msg("cannot take events, trying again")
}

// serve takes events until something is wrong with the durable or ctx ends.
func (w *worker) serve(ctx context.Context, cons jetstream.Consumer) {
	for ctx.Err() == nil {
		w.beat()
		msg, err := w.fetch(ctx)
		if err == nil {
			w.told = ""
			w.handle(ctx, msg)
			continue
		}
		if errors.Is(err, errNoEvent) {
			w.told = ""
			err = w.refresh(ctx, cons)
		}
		if err != nil && ctx.Err() == nil {
			if errors.Is(err, ErrDenied) {
				w.tell(ctx, err)
			}
			w.bus.log.Debug().Err(err).Str("durable", w.Durable).Msg("fetch ended")
			_ = pause(ctx, w.bus.retryPause())
			return
		}
	}
}

// refresh notes how far the replicas have come together.
func (w *worker) refresh(ctx context.Context, cons jetstream.Consumer) error {
	ctx, cancel := w.bus.call(ctx, w.bus.api("CONSUMER.INFO", w.Durable))
	defer cancel()
	info, err := cons.Info(ctx)
	if err != nil {
		return fmt.Errorf("inspect durable %s: %w", w.Durable, explainCall(ctx, err))
	}
	w.remember(info)
	return nil
}
