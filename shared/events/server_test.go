package events_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	nightshardv1 "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

const (
	// ackWait of the tests: short, so that redelivery is seen soon, and long
	// enough for a busy machine.
	ackWait = time.Second
	// patience is how long a test waits for what must happen.
	patience = 30 * time.Second
)

// startNATS starts a real server that keeps what it acknowledged.
func startNATS(t *testing.T, change ...func(*server.Options)) *testbed.NATSServer {
	t.Helper()
	return testbed.NATS(t, testbed.NATSOptions{SyncAlways: true, Configure: func(o *server.Options) {
		for _, c := range change {
			c(o)
		}
	}})
}

// logs collects what a bus logs.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logs) count(text string) int { return strings.Count(l.String(), text) }

// connect returns a bus that is closed with the test.
func connect(t *testing.T, url string, change ...func(*events.Config)) *events.Bus {
	t.Helper()
	cfg := events.Config{URL: url, AckWait: ackWait, Name: t.Name(), Log: zerolog.New(zerolog.NewTestWriter(t))}
	for _, c := range change {
		c(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	bus, err := events.Connect(ctx, cfg)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := bus.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return bus
}

func logTo(l *logs) func(*events.Config) {
	return func(cfg *events.Config) { cfg.Log = zerolog.New(l) }
}

// consume runs a consumer. The returned function stops it and waits for it.
func consume(t *testing.T, bus *events.Bus, c events.Consumer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- bus.Consume(ctx, c) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("consume: %v", err)
			}
		case <-time.After(patience):
			t.Error("consume does not end")
		}
	})
	t.Cleanup(stop)
	awaitDurable(t, bus, c.Durable)
	return stop
}

// awaitDurable returns when the durable exists: a DeliverNew one would miss
// what is published before.
func awaitDurable(t *testing.T, bus *events.Bus, name string) {
	t.Helper()
	eventually(t, "durable "+name, func() bool {
		states, err := bus.Consumers(t.Context())
		if err != nil {
			return false
		}
		for _, state := range states {
			if state.Name == name {
				return true
			}
		}
		return false
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("never: %s", what)
		}
	}
}

// receive returns the next value of a channel.
func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("never: %s", what)
		panic("unreachable")
	}
}

func publish(t *testing.T, bus *events.Bus, msg proto.Message, id string) uint64 {
	t.Helper()
	subject, ok := events.SubjectOf(msg)
	if !ok {
		t.Fatalf("no subject for %T", msg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seq, err := bus.Publish(ctx, subject, msg, id)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	return seq
}

// history returns all events of some subjects that the stream holds.
func history(t *testing.T, bus *events.Bus, subjects ...string) []events.Event {
	t.Helper()
	all, err := readHistory(t, bus, subjects...)
	if err != nil {
		t.Fatalf("history: %v", err)
	}
	return all
}

func readHistory(t *testing.T, bus *events.Bus, subjects ...string) (all []events.Event, err error) {
	t.Helper()
	err = bus.History(t.Context(), events.FromFirst(), func(e events.Event) error {
		all = append(all, e)
		return nil
	}, subjects...)
	return all, err
}

// awaitEvents waits until a subject has n events and returns them.
func awaitEvents(t *testing.T, bus *events.Bus, subject string, n int) []events.Event {
	t.Helper()
	var got []events.Event
	eventually(t, fmt.Sprintf("%d events on %s", n, subject), func() bool {
		var err error
		got, err = readHistory(t, bus, subject)
		return err == nil && len(got) >= n
	})
	if len(got) != n {
		t.Fatalf("%d events on %s, want %d: %v", len(got), subject, n, got)
	}
	return got
}

// awaitIdle waits until nothing is at work or waiting for a durable.
func awaitIdle(t *testing.T, bus *events.Bus, durable string) {
	t.Helper()
	eventually(t, durable+" is idle", func() bool {
		states, err := bus.Consumers(t.Context())
		if err != nil {
			return false
		}
		for _, state := range states {
			if state.Name == durable {
				return state.Pending == 0 && state.AckPending == 0
			}
		}
		return false
	})
}

// plain is a connection without the bus, as a foreign tool has.
func plain(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatalf("plain connection: %v", err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func plainJS(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(plain(t, url))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func completed(day string) []proto.Message {
	return []proto.Message{&nightshardv1.BackupCompleted{Day: day}}
}

func backupFailed(d *events.Delivery, _ error) proto.Message {
	in, _ := d.Message.(*nightshardv1.BackupRequested)
	return &nightshardv1.BackupFailed{Day: in.GetDay()}
}

func at(wait time.Duration) func(int) time.Duration {
	return func(int) time.Duration { return wait }
}

// as connects a program with its user and inbox.
func as(program, prefix string) func(*events.Config) {
	return func(c *events.Config) {
		c.User, c.Password, c.Prefix = program, program, prefix
		c.InboxPrefix = events.InboxPrefix(program)
	}
}

// follow runs what reads on until the test ends.
func follow(t *testing.T, read func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- read(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := receive(t, "end of reading", done); err != nil {
			t.Error(err)
		}
	})
}
