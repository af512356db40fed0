package events

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/rs/zerolog"
)

// Bus is a connection to NATS whose stream exists. It is safe for concurrent
// use. It reconnects by itself, for ever.
type Bus struct {
	cfg      Config
	log      zerolog.Logger
	url      string // without secrets
	prefix   string // empty, or ends with a dot
	stream   string
	conn     *nats.Conn
	js       jetstream.JetStream
	failures chan error // why the last connection attempt failed
	away     atomic.Bool
	// certAsked says that the server wanted a client certificate just now, and
	// untrusted that a connection without trust was logged.
	certAsked, untrusted atomic.Bool
	closed               chan struct{}
	progress             *progressSender
	denials              denials
	pulses               pulses
	onEnding             func(Ending)
	board                board
	service              micro.Service // nil before Announce
	stop                 sync.Once
}

// Connect waits for the server and makes sure of the stream. ctx bounds both;
// the connection outlives it. Wrong settings, refused credentials and a server
// without JetStream are errors at once. No error holds a secret.
func Connect(ctx context.Context, cfg Config) (*Bus, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("check NATS settings: %w", err)
	}
	b := newBus(cfg)
	if err := b.dial(); err != nil {
		return nil, err
	}
	if err := b.start(ctx); err != nil {
		b.conn.Close()
		return nil, err
	}
	b.progress = newProgressSender(b.conn, b.prefix)
	return b, nil
}

func newBus(cfg Config) *Bus {
	b := &Bus{
		cfg:      cfg,
		log:      cfg.Log,
		stream:   cfg.streamName(),
		failures: make(chan error, 1),
		closed:   make(chan struct{}),
		denials:  newDenials(),
	}
	// check has parsed it already.
	b.url, _ = redact(cfg.URL)
	if cfg.Prefix != "" {
		b.prefix = cfg.Prefix + "."
	}
	return b
}

func (b *Bus) start(ctx context.Context) error {
	if err := b.awaitConnection(ctx); err != nil {
		return fmt.Errorf("connect to NATS at %s: %w", b.url, err)
	}
	js, err := jetstream.New(b.conn, jetstream.WithDefaultTimeout(callTimeout))
	if err != nil {
		return fmt.Errorf("use JetStream at %s: %w", b.url, err)
	}
	b.js = js
	if err := b.ensureStreamPatiently(ctx); err != nil {
		return fmt.Errorf("prepare stream %s at %s: %w", b.stream, b.url, err)
	}
	return nil
}

// URL returns the addresses of the server without user, password and token.
func (b *Bus) URL() string { return b.url }

// StreamName returns the name of the stream.
func (b *Bus) StreamName() string { return b.stream }

// Check asks the server for the stream, for a health check. It reports a lost
// connection at once.
func (b *Bus) Check(ctx context.Context) error {
	if !b.conn.IsConnected() {
		return fmt.Errorf("reach NATS at %s: %w", b.url, nats.ErrDisconnected)
	}
	_, err := b.loadStream(ctx)
	return err
}

// Close lets what was sent arrive and ends the connection. Consume and Watch
// must have ended before. ctx bounds the wait; the connection ends in any case.
func (b *Bus) Close(ctx context.Context) error {
	b.stop.Do(b.progress.stop)
	defer b.conn.Close()
	if !b.conn.IsConnected() {
		return nil
	}
	if b.service != nil {
		if err := b.service.Stop(); err != nil {
			b.log.Debug().Err(err).Msg("service not signed off")
		}
	}
	if err := b.conn.Drain(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("drain NATS connection: %w", err)
	}
	select {
	case <-b.closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain NATS connection: %w", ctx.Err())
	}
}

// call bounds one request to the server.
func call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTimeout)
}
