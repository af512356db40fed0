package events

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Requested reports whether an event with this Nats-Msg-Id was stored on a
// subject at the given time or later. The stream's own memory of ids ends with
// its duplicate window; this looks at the events.
//
// It takes them one by one, since it is for a few. A consumer of its own would
// take the right to make consumers of any name, and with it that to change those
// of the other services.
func (b *Bus) Requested(ctx context.Context, subject, id string, since time.Time) (bool, error) {
	found, err := b.requested(ctx, subject, id, since)
	if err != nil {
		return false, fmt.Errorf("look for request %s: %w", id, err)
	}
	return found, nil
}

func (b *Bus) requested(ctx context.Context, subject, id string, since time.Time) (bool, error) {
	stream, err := b.loadStream(ctx)
	if err != nil {
		return false, err
	}
	seq, err := b.firstSince(ctx, stream, subject, since)
	for err == nil {
		var msg *jetstream.RawStreamMsg
		if msg, err = b.following(ctx, stream, subject, seq); msg == nil {
			break
		}
		if msg.Header.Get(jetstream.MsgIDHeader) == id {
			return true, nil
		}
		seq = msg.Sequence + 1
	}
	return false, err
}

// EventsFrom calls fn for the events of some subjects that the stream holds now, in
// order, from the one with this sequence number on. It is for a few of them, and
// for a service: unlike [Bus.History] it needs no consumer.
func (b *Bus) EventsFrom(ctx context.Context, seq uint64, fn func(Event) error, subjects ...string) error {
	stream, err := b.loadStream(ctx)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	heads := make([]*jetstream.RawStreamMsg, len(subjects))
	for i, subject := range subjects {
		if heads[i], err = b.following(ctx, stream, subject, seq); err != nil {
			return fmt.Errorf("read events: %w", err)
		}
	}
	for {
		first := -1
		for i, msg := range heads {
			if msg != nil && (first < 0 || msg.Sequence < heads[first].Sequence) {
				first = i
			}
		}
		if first < 0 {
			return nil
		}
		msg := heads[first]
		if err := fn(b.stored(msg)); err != nil {
			return err
		}
		if heads[first], err = b.following(ctx, stream, subjects[first], msg.Sequence+1); err != nil {
			return fmt.Errorf("read events: %w", err)
		}
	}
}

// stored is an event as a single read gives it.
func (b *Bus) stored(msg *jetstream.RawStreamMsg) Event {
	event := Event{
		Seq: msg.Sequence, Time: msg.Time.UTC(), Subject: strings.TrimPrefix(msg.Subject, b.prefix),
		ID: msg.Header.Get(jetstream.MsgIDHeader), Data: msg.Data,
	}
	event.decode()
	return event
}

// firstSince is a sequence number at or behind which the events of a subject are
// those of since and later. Times grow with the numbers, so halving finds it.
func (b *Bus) firstSince(ctx context.Context, stream jetstream.Stream, subject string, since time.Time) (uint64, error) {
	state := stream.CachedInfo().State
	low, high := max(state.FirstSeq, 1), state.LastSeq+1
	for low < high {
		middle := low + (high-low)/2
		msg, err := b.following(ctx, stream, subject, middle)
		switch {
		case err != nil:
			return 0, err
		case msg == nil || !msg.Time.Before(since):
			high = middle
		default:
			low = msg.Sequence + 1
		}
	}
	return low, nil
}

// reads are the subjects on which single events are asked for.
func (b *Bus) reads() []string {
	return []string{b.api("DIRECT.GET"), b.api("STREAM.MSG.GET")}
}

// following is the first event of a subject with this sequence number or a later
// one, nil if there is none.
func (b *Bus) following(ctx context.Context, stream jetstream.Stream, subject string, seq uint64) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := b.call(ctx, b.reads()...)
	defer cancel()
	msg, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(b.prefix+subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s from event %d on: %w", subject, seq, explainCall(ctx, err))
	}
	return msg, nil
}
