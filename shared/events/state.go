package events

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamCreated returns when the stream was made, in UTC: nothing was asked for
// before that.
func (b *Bus) StreamCreated(ctx context.Context) (time.Time, error) {
	stream, err := b.loadStream(ctx)
	if err != nil {
		return time.Time{}, err
	}
	return stream.CachedInfo().Created.UTC(), nil
}

// ConsumerState is how far a durable consumer is.
type ConsumerState struct {
	// Name of the durable.
	Name string
	// Filter lists its subjects without the prefix.
	Filter []string
	// Pending events were not delivered yet.
	Pending uint64
	// AckPending events are at work, or wait for their next attempt.
	AckPending int
	// Waiting is the number of processes that ask for an event right now; one
	// that is at work does not.
	Waiting int
	// Redelivered events were delivered more than once and are not done.
	Redelivered int
	// Delivered and AckFloor are the sequence numbers in the stream of the last
	// event delivered, and of the one up to which all is done.
	Delivered, AckFloor uint64
	// LastDelivered and LastAck are the times of the last delivery and of the
	// last event done, in UTC, zero if there was none.
	LastDelivered, LastAck time.Time
	// Created is when the durable was made, in UTC.
	Created time.Time
}

// Consumers lists the durable consumers of the stream, sorted by name. That the
// state of one of the services' own is not known is [ErrUnanswered].
func (b *Bus) Consumers(ctx context.Context) ([]ConsumerState, error) {
	infos, err := b.durables(ctx)
	if err != nil {
		return nil, fmt.Errorf("list consumers of %s: %w", b.stream, err)
	}
	var states []ConsumerState
	for _, info := range infos {
		states = append(states, b.consumerState(info))
	}
	slices.SortFunc(states, func(x, y ConsumerState) int { return strings.Compare(x.Name, y.Name) })
	return states, nil
}

func (b *Bus) consumerState(info *jetstream.ConsumerInfo) ConsumerState {
	state := ConsumerState{
		Name: info.Name, Pending: info.NumPending, AckPending: info.NumAckPending, Waiting: info.NumWaiting,
		Redelivered: info.NumRedelivered, Delivered: info.Delivered.Stream, AckFloor: info.AckFloor.Stream,
		Created: info.Created.UTC(), LastDelivered: lastTime(info.Delivered), LastAck: lastTime(info.AckFloor),
	}
	for _, subject := range filters(info.Config) {
		state.Filter = append(state.Filter, strings.TrimPrefix(subject, b.prefix))
	}
	return state
}

func lastTime(at jetstream.SequenceInfo) time.Time {
	if at.Last == nil {
		return time.Time{}
	}
	return at.Last.UTC()
}
