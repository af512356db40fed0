package events

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
)

// Publish stores an event and returns its sequence number in the stream. The
// subject is one of [Subjects], and msg of the type that belongs to it. With an
// id (Nats-Msg-Id) the stream drops a repetition, and the sequence number is
// that of the first. While NATS is away it tries again until ctx ends, for
// AckWait at most; without an id only as long as nothing was sent.
func (b *Bus) Publish(ctx context.Context, subject string, msg proto.Message, id string) (uint64, error) {
	if want, ok := SubjectOf(msg); !ok || want != subject {
		return 0, fmt.Errorf("publish %T on %q: %w", msg, subject, ErrUnknownSubject)
	}
	body, err := Encode(msg)
	if err != nil {
		return 0, fmt.Errorf("publish %s: %w", subject, err)
	}
	var seq uint64
	err = b.patiently(ctx, func(ctx context.Context) (bool, error) {
		ack, err := b.send(ctx, subject, body, id)
		if err != nil {
			return transient(err) && (id != "" || unsent(err)), err
		}
		seq = ack.Sequence
		return false, nil
	})
	if err != nil {
		return 0, fmt.Errorf("publish %s: %w", subject, b.unconfirmed(err))
	}
	return seq, nil
}

func (b *Bus) send(ctx context.Context, subject string, body []byte, id string) (*jetstream.PubAck, error) {
	msg := nats.NewMsg(b.prefix + subject)
	msg.Data = body
	opts := []jetstream.PublishOpt{jetstream.WithExpectStream(b.stream)}
	if id != "" {
		opts = append(opts, jetstream.WithMsgID(id))
	}
	ctx, end := b.heed(ctx, msg.Subject)
	defer end()
	ack, err := b.js.PublishMsg(ctx, msg, opts...)
	if err != nil {
		return nil, explainCall(ctx, err)
	}
	return ack, nil
}

// unconfirmed tells a server that does not confirm from one that is away.
func (b *Bus) unconfirmed(err error) error {
	if errors.Is(err, context.DeadlineExceeded) && b.conn.IsConnected() {
		return fmt.Errorf("%w (%w)", errUnconfirmed, err)
	}
	return err
}

// unsent reports errors that come before the first byte leaves.
func unsent(err error) bool {
	return errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrConnectionReconnecting)
}

// patiently calls try until it says that trying again is no use, for AckWait at
// most. Each call has a deadline. It returns the last error.
func (b *Bus) patiently(ctx context.Context, try func(context.Context) (again bool, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.AckWait)
	defer cancel()
	for {
		bounded, done := call(ctx)
		again, err := try(bounded)
		done()
		if err == nil || !again {
			return err
		}
		if b.conn.IsClosed() {
			return fmt.Errorf("%w: %w", ErrClosed, err)
		}
		if pause(ctx, b.retryPause()) != nil {
			return err
		}
	}
}

// retryPause is how soon an operation is tried again while NATS is away.
func (b *Bus) retryPause() time.Duration {
	return min(b.cfg.AckWait/10, time.Second)
}

// publishResult publishes what answers a delivery. Its id is made of the
// delivery's, so that it is stored once however often the event is redelivered,
// and again for another event about the same day.
func (b *Bus) publishResult(ctx context.Context, d *Delivery, msg proto.Message) error {
	subject, ok := SubjectOf(msg)
	if !ok {
		return fmt.Errorf("publish result %T: %w", msg, ErrUnknownSubject)
	}
	_, err := b.Publish(ctx, subject, msg, resultID(subject, d.ID, msg))
	return err
}

// resultID is SUBJECT/DAY/DELIVERY or SUBJECT/DAY/MEASUREMENT/DELIVERY. Day and
// measurement come from outside, and a header must not hold a line break.
func resultID(subject, delivery string, msg proto.Message) string {
	parts := []string{subject, ""}
	if day := stringField(msg, "day"); day != "" {
		parts[1] = Slug(day)
	}
	if measurement := stringField(msg, "measurement"); measurement != "" {
		parts = append(parts, Slug(measurement))
	}
	return strings.Join(append(parts, delivery), "/")
}
