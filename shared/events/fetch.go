package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

var (
	// errNoEvent says that there is nothing to do yet.
	errNoEvent = errors.New("no event")
	// errSilent says that the server does not know our request any more, as
	// after its restart.
	errSilent = errors.New("no sign of life from the server")
)

// pull is a request for events, as the server reads it.
type pull struct {
	Batch     int           `json:"batch"`
	Expires   time.Duration `json:"expires"`
	Heartbeat time.Duration `json:"idle_heartbeat"`
}

// fetchWait is how long one request for an event stays at the server. Each one
// costs both sides some work, for every durable that waits. It is bounded, so that
// a request that the server has lost is not waited for.
func (b *Bus) fetchWait() time.Duration {
	return min(max(b.cfg.AckWait/2, time.Second), 30*time.Second)
}

// fetch asks for one event. Nothing is fetched ahead: what waits in this
// process would be redelivered.
//
// The client's own Next gives up when its context ends, and an event that is on
// its way then is lost until AckWait is over. Here whoever gives up looks
// whether one came.
func (w *worker) fetch(ctx context.Context) (*nats.Msg, error) {
	msg, err := w.ask(ctx)
	if err != nil {
		return nil, fmt.Errorf("fetch from %s: %w", w.Durable, err)
	}
	return msg, nil
}

func (w *worker) ask(ctx context.Context) (*nats.Msg, error) {
	conn, wait := w.bus.conn, w.bus.fetchWait()
	body, err := json.Marshal(pull{Batch: 1, Expires: wait, Heartbeat: wait / 4})
	if err != nil {
		return nil, err //nolint:wrapcheck // fetch names the durable
	}
	subject := w.bus.api("CONSUMER.MSG.NEXT", w.Durable)
	ctx, end := w.bus.heed(ctx, subject)
	defer end()
	arrived := make(chan *nats.Msg, 16) // an event and some signs of life
	inbox := conn.NewInbox()
	sub, err := conn.ChanSubscribe(inbox, arrived)
	if err != nil {
		return nil, err //nolint:wrapcheck // fetch names the durable
	}
	if err := conn.PublishRequest(subject, inbox, body); err != nil {
		_ = sub.Unsubscribe()
		return nil, err //nolint:wrapcheck // fetch names the durable
	}
	// A server that we lost has lost the request, too.
	restored := conn.StatusChanged(nats.CONNECTED)
	defer conn.RemoveStatusListener(restored)
	msg, open, err := next(ctx, arrived, restored, wait/2)
	if !open {
		_ = sub.Unsubscribe()
		return msg, err
	}
	late := w.withdraw(sub, arrived)
	if late != nil && ctx.Err() == nil {
		return late, nil
	}
	if late != nil {
		w.handOn(late)
	}
	return nil, err
}

// next waits for the event. open says that the server may still answer the
// request.
func next(ctx context.Context, arrived <-chan *nats.Msg, restored <-chan nats.Status, silence time.Duration) (msg *nats.Msg, open bool, err error) {
	for {
		timer := time.NewTimer(silence)
		select {
		case msg := <-arrived:
			timer.Stop()
			switch err := status(msg); {
			case err != nil:
				return nil, false, err
			case isEvent(msg):
				return msg, false, nil
			}
		case <-restored:
			timer.Stop()
			return nil, true, errSilent
		case <-timer.C:
			return nil, true, errSilent
		case <-ctx.Done():
			timer.Stop()
			return nil, true, explainCall(ctx, ctx.Err())
		}
	}
}

// isEvent tells an event from what the server itself says about a request.
func isEvent(msg *nats.Msg) bool { return len(msg.Data) > 0 || msg.Header.Get("Status") == "" }

// status is how the server ended the request; nil for an event and for a sign
// of life.
func status(msg *nats.Msg) error {
	switch code := msg.Header.Get("Status"); {
	case isEvent(msg) || code == "100":
		return nil
	case code == "404" || code == "408":
		return errNoEvent
	case code == "503":
		return nats.ErrNoResponders
	}
	return errors.New(msg.Header.Get("Description"))
}

// withdraw ends a request that the server may be answering just now, and gives
// the event if one came. Behind the server's answer to a flush nothing follows.
func (w *worker) withdraw(sub *nats.Subscription, arrived <-chan *nats.Msg) *nats.Msg {
	// Unsubscribe would throw away what is on its way.
	if !w.bus.conn.IsConnected() || sub.Drain() != nil {
		_ = sub.Unsubscribe()
		return nil
	}
	ctx, cancel := call(context.Background())
	defer cancel()
	_ = w.bus.conn.FlushWithContext(ctx) // what came before an error counts all the same
	for {
		select {
		case msg := <-arrived:
			if isEvent(msg) {
				return msg
			}
		default:
			return nil
		}
	}
}

// handOn gives an event that came too late to another replica at once.
func (w *worker) handOn(msg *nats.Msg) {
	ctx, cancel := call(context.Background())
	defer cancel()
	err := w.bus.answer(ctx, msg.Reply, answerAgain)
	w.bus.log.Info().Err(err).Str("durable", w.Durable).Msg("event handed on, it came while the service stops")
}
