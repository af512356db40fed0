package events

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
)

// watchHeartbeat is how often the server of a watcher shows that it is there.
const watchHeartbeat = 5 * time.Second

// Event is one event as the stream keeps it.
type Event struct {
	// Seq is its sequence number in the stream.
	Seq uint64
	// Time is when it was stored, in UTC.
	Time time.Time
	// Subject without the prefix.
	Subject string
	// Message is the body, nil if it cannot be read; of one with a newer schema
	// what this version understands.
	Message proto.Message
	// ID is the Nats-Msg-Id, empty if the publisher gave none.
	ID string
	// Data is the body as it was published.
	Data []byte
	// Pending is how many events followed in the stream when this one was sent.
	Pending uint64
}

// DeliveryID returns the Delivery.ID that a handler sees for this event. The
// Nats-Msg-Id of each event that answers it ends with it.
func (e Event) DeliveryID() string { return deliveryID(e.Seq, e.Time) }

// Start is where Watch and History begin.
type Start struct {
	policy jetstream.DeliverPolicy
	seq    uint64
	time   time.Time
}

// FromFirst begins with the oldest event that the stream holds.
func FromFirst() Start { return Start{policy: jetstream.DeliverAllPolicy} }

// FromSeq begins with the event of this sequence number, or the next one that
// the stream holds.
func FromSeq(seq uint64) Start {
	return Start{policy: jetstream.DeliverByStartSequencePolicy, seq: max(seq, 1)}
}

// FromTime begins with the first event stored at this time or later.
func FromTime(at time.Time) Start {
	return Start{policy: jetstream.DeliverByStartTimePolicy, time: at}
}

// FromNow begins with the next event.
func FromNow() Start { return Start{policy: jetstream.DeliverNewPolicy} }

// FromLast begins with the newest event of each subject.
func FromLast() Start { return Start{policy: jetstream.DeliverLastPerSubjectPolicy} }

// Watch calls fn for every event of the stream, in order, from start until ctx
// ends, and then returns nil. An error of fn ends it and is returned, and so does
// [ErrDenied]. It outlives restarts of NATS without missing or repeating an event.
func (b *Bus) Watch(ctx context.Context, start Start, fn func(Event) error) error {
	for ctx.Err() == nil {
		next, err := b.walk(ctx, b.ordered(start, Subjects()...), false, b.eventCall(fn))
		var fromFn *callError
		switch {
		case errors.As(err, &fromFn):
			return fromFn.err
		case b.conn.IsClosed():
			return fmt.Errorf("watch events: %w", ErrClosed)
		case errors.Is(err, ErrDenied):
			return fmt.Errorf("watch events: %w", err)
		case next > 0:
			start = FromSeq(next)
		}
		_ = pause(ctx, b.retryPause())
	}
	return nil
}

// History calls fn for the events that the stream holds now, in order, from
// start. subjects limits it; none means all. An error of fn ends it and is
// returned.
func (b *Bus) History(ctx context.Context, start Start, fn func(Event) error, subjects ...string) error {
	if len(subjects) == 0 {
		subjects = Subjects()
	}
	_, err := b.walk(ctx, b.ordered(start, subjects...), true, b.eventCall(fn))
	if fromFn, ok := errors.AsType[*callError](err); ok {
		return fromFn.err
	}
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	return nil
}

// callError is an error of the caller's own function.
type callError struct{ err error }

func (e *callError) Error() string { return e.err.Error() }
func (e *callError) Unwrap() error { return e.err }

func (b *Bus) eventCall(fn func(Event) error) func(jetstream.Msg, *jetstream.MsgMetadata) error {
	return func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		event := Event{
			Seq: meta.Sequence.Stream, Time: meta.Timestamp.UTC(), Pending: meta.NumPending,
			Subject: strings.TrimPrefix(msg.Subject(), b.prefix),
			ID:      msg.Headers().Get(jetstream.MsgIDHeader), Data: msg.Data(),
		}
		event.decode()
		if err := fn(event); err != nil {
			return &callError{err: err}
		}
		return nil
	}
}

// decode reads the body, if it can be read.
func (e *Event) decode() {
	if decoded, err := Decode(e.Subject, e.Data); err == nil || errors.Is(err, ErrNewer) {
		e.Message = decoded
	}
}

func (b *Bus) ordered(start Start, subjects ...string) jetstream.OrderedConsumerConfig {
	cfg := jetstream.OrderedConsumerConfig{
		FilterSubjects: b.fullSubjects(subjects), DeliverPolicy: start.policy, OptStartSeq: start.seq,
		// The client would try again for ever under one name. If a server of a
		// cluster is lost, and the name was given to it, that lasts until it is
		// back. Watch begins anew, under another name.
		MaxResetAttempts: 1,
	}
	if start.policy == jetstream.DeliverByStartTimePolicy {
		cfg.OptStartTime = &start.time
	}
	return cfg
}

// walk reads events in order. With untilEnd it stops after the last that the
// stream held, otherwise it goes on until ctx ends. next is the sequence number
// to continue with, 0 if nothing is known of the place yet.
func (b *Bus) walk(ctx context.Context, cfg jetstream.OrderedConsumerConfig, untilEnd bool,
	fn func(jetstream.Msg, *jetstream.MsgMetadata) error,
) (next uint64, err error) {
	cons, info, err := b.openOrdered(ctx, cfg)
	if err != nil {
		return 0, err
	}
	if cfg.DeliverPolicy == jetstream.DeliverNewPolicy {
		next = info.Delivered.Stream + 1
	}
	if untilEnd && info.NumPending == 0 {
		return next, nil
	}
	messages, err := cons.Messages(jetstream.PullHeartbeat(watchHeartbeat))
	if err != nil {
		return next, fmt.Errorf("read stream %s: %w", b.stream, err)
	}
	defer messages.Stop()
	ctx, end := b.heed(ctx, b.api("CONSUMER.MSG.NEXT"))
	defer end()
	for {
		msg, meta, err := nextMessage(ctx, messages)
		if err != nil {
			return next, fmt.Errorf("read stream %s: %w", b.stream, explainCall(ctx, err))
		}
		if err := fn(msg, meta); err != nil {
			return next, err
		}
		next = meta.Sequence.Stream + 1
		if untilEnd && meta.NumPending == 0 {
			return next, nil
		}
	}
}

func nextMessage(ctx context.Context, messages jetstream.MessagesContext) (jetstream.Msg, *jetstream.MsgMetadata, error) {
	msg, err := messages.Next(jetstream.NextContext(ctx))
	if err != nil {
		return nil, nil, fmt.Errorf("next event: %w", err)
	}
	meta, err := msg.Metadata()
	if err != nil {
		return nil, nil, fmt.Errorf("read metadata: %w", err)
	}
	return msg, meta, nil
}

func (b *Bus) openOrdered(ctx context.Context, cfg jetstream.OrderedConsumerConfig) (jetstream.Consumer, *jetstream.ConsumerInfo, error) {
	ctx, cancel := b.call(ctx, b.api("CONSUMER.CREATE"))
	defer cancel()
	cons, err := b.js.OrderedConsumer(ctx, b.stream, cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("open stream %s: %w", b.stream, explainCall(ctx, err))
	}
	info := cons.CachedInfo()
	if info == nil {
		return nil, nil, fmt.Errorf("open stream %s: no consumer info", b.stream)
	}
	return cons, info, nil
}
