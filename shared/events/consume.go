package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// fetchWait is how long one request for an event stays at the server. It is
// short because once in some hundred test runs a redelivery did not come for
// the 30 seconds of the request that was used then. The cause was not found; a
// new request makes the server look again.
func (b *Bus) fetchWait() time.Duration {
	return min(max(b.cfg.AckWait/6, time.Second), 10*time.Second)
}

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
	for ctx.Err() == nil {
		cons, err := w.ready(ctx)
		if err != nil {
			return fmt.Errorf("consume %s: %w", c.Durable, err)
		}
		if cons != nil {
			w.serve(ctx, cons)
		}
	}
	return nil
}

// ready waits until the durable is there. It returns nil when ctx ended.
func (w *worker) ready(ctx context.Context) (jetstream.Consumer, error) {
	for warned := false; ctx.Err() == nil; {
		cons, err := w.ensure(ctx)
		switch {
		case err == nil:
			return cons, nil
		case w.bus.conn.IsClosed():
			return nil, fmt.Errorf("%w: %w", ErrClosed, err)
		case !transient(err):
			return nil, err
		case !warned && ctx.Err() == nil && w.bus.conn.IsConnected():
			// While the connection is lost, that was logged already.
			w.bus.log.Warn().Err(err).Str("durable", w.Durable).Msg("cannot take events, trying again")
			warned = true
		}
		_ = pause(ctx, w.bus.retryPause())
	}
	return nil, nil
}

// serve takes events until something is wrong with the durable or ctx ends.
func (w *worker) serve(ctx context.Context, cons jetstream.Consumer) {
	for ctx.Err() == nil {
		msg, err := w.fetch(ctx, cons)
		if err == nil {
			w.handle(ctx, msg)
			continue
		}
		if noEvent(err) {
			err = w.refresh(ctx, cons)
		}
		if err != nil && ctx.Err() == nil {
			w.bus.log.Debug().Err(err).Str("durable", w.Durable).Msg("fetch ended")
			_ = pause(ctx, w.bus.retryPause())
			return
		}
	}
}

// fetch asks for one event. Nothing is fetched ahead: what waits in this
// process would be redelivered.
func (w *worker) fetch(ctx context.Context, cons jetstream.Consumer) (jetstream.Msg, error) {
	wait := w.bus.fetchWait()
	bounded, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	// The server's sign of life shows that it still knows the request, which it
	// forgets when it restarts.
	msg, err := cons.Next(jetstream.FetchContext(bounded), jetstream.FetchHeartbeat(wait/4))
	if err != nil {
		return nil, fmt.Errorf("fetch from %s: %w", w.Durable, err)
	}
	return msg, nil
}

// noEvent reports that there is nothing to do yet.
func noEvent(err error) bool {
	return errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoMessages) || errors.Is(err, context.DeadlineExceeded)
}

// refresh notes how far the replicas have come together.
func (w *worker) refresh(ctx context.Context, cons jetstream.Consumer) error {
	ctx, cancel := call(ctx)
	defer cancel()
	info, err := cons.Info(ctx)
	if err != nil {
		return fmt.Errorf("inspect durable %s: %w", w.Durable, err)
	}
	w.remember(info)
	return nil
}
