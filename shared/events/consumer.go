package events

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
)

const (
	defaultAttempts = 5
	// databaseKey is where the settings of a durable say whose events it takes.
	databaseKey = "nightshard-database"
)

// errSettings says that a consumer cannot work as it is described.
var errSettings = errors.New("wrong consumer settings")

// Deliver says where a durable consumer begins that does not exist yet.
type Deliver int

const (
	// DeliverNew begins with the events published from now on.
	DeliverNew Deliver = iota
	// DeliverLast begins with the newest event on the first of the consumer's
	// subjects that has any, or with the next one if there is none at all.
	// Events on the other subjects are delivered if they are newer than that
	// one.
	DeliverLast
)

// Delivery is one event given to a handler.
type Delivery struct {
	// Subject without the prefix.
	Subject string
	// Message is the body, of the type that belongs to the subject. It is empty
	// if the body could not be read, and what this version understands of a newer
	// one: only Consumer.Failed gets to see these.
	Message proto.Message
	// ID is SEQUENCE@UNIXNANOS of the event in the stream: the same for each
	// delivery of an event, another for another event.
	ID string
	// MsgID is the Nats-Msg-Id with which the event was published.
	MsgID string
	// Attempt counts the deliveries of the event, from 1. One that a stopped or
	// killed process did not finish counts too.
	Attempt int
	// Time is when the event was stored, in UTC.
	Time time.Time
}

// Handler does the work that an event asks for and returns the events that it
// led to. ctx ends with the service, and when the bus can no longer be sure
// that the event is this process's. It must return soon after that.
type Handler func(ctx context.Context, d *Delivery) ([]proto.Message, error)

// Handle makes a Handler of a function for one type of message. Another type is
// a permanent error.
func Handle[In proto.Message](work func(ctx context.Context, d *Delivery, in In) ([]proto.Message, error)) Handler {
	return func(ctx context.Context, d *Delivery) ([]proto.Message, error) {
		in, ok := d.Message.(In)
		if !ok {
			return nil, Permanent(fmt.Errorf("handle %s: no handler for %T", d.Subject, d.Message))
		}
		return work(ctx, d, in)
	}
}

// Consumer describes a durable consumer. Processes that use the same Durable
// share its events, and one event at a time is worked on among all of them.
type Consumer struct {
	// Durable is the name in NATS, of [A-Za-z0-9_-].
	Durable string
	// Subjects without the prefix, at least one.
	Subjects []string
	// Deliver is where a new durable begins.
	Deliver Deliver
	// Attempts is how often an event is given to the handler. 0: five.
	Attempts int
	// Retry is how long to wait after a failed attempt, counted from 1. Nil:
	// [RetryAfter] with [DefaultRetryWait].
	Retry func(attempt int) time.Duration
	// Handler does the work.
	Handler Handler
	// Failed builds the event that says that d was given up because of err. The
	// bus sets attempts and final, and error and step unless Failed has. Nil,
	// or a nil message: nothing is published.
	Failed func(d *Delivery, err error) proto.Message
}

func (c Consumer) withDefaults() (Consumer, error) {
	if c.Attempts <= 0 {
		c.Attempts = defaultAttempts
	}
	if c.Retry == nil {
		c.Retry = RetryAfter(DefaultRetryWait)
	}
	switch {
	case !isSlug(c.Durable):
		return c, fmt.Errorf("%w: durable name %q: use A-Z a-z 0-9 _ -", errSettings, c.Durable)
	case c.Handler == nil:
		return c, fmt.Errorf("%w: no handler", errSettings)
	case len(c.Subjects) == 0:
		return c, fmt.Errorf("%w: no subjects", errSettings)
	}
	for _, subject := range c.Subjects {
		if NewMessage(subject) == nil {
			return c, fmt.Errorf("%w: %q: %w", errSettings, subject, ErrUnknownSubject)
		}
	}
	return c, nil
}

// worker is one running Consume.
type worker struct {
	bus *Bus
	Consumer
	// resume is the first sequence number that the durable has not finished, as
	// far as this process knows; 0 before the durable was first seen. If someone
	// removes the durable, the new one begins here, so that no event is lost.
	resume uint64
	// told is the last reason that was logged for not taking events.
	told  string
	begun bool // see begin
}

// ensure loads the durable, or creates it.
func (w *worker) ensure(ctx context.Context) (jetstream.Consumer, error) {
	cons, err := w.load(ctx)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		cons, err = w.create(ctx)
	}
	if err != nil {
		return nil, err
	}
	if cons, err = w.adapt(ctx, cons); err != nil {
		return nil, err
	}
	w.remember(cons.CachedInfo())
	return cons, nil
}

func (w *worker) load(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := w.bus.call(ctx, w.bus.api("CONSUMER.INFO", w.Durable))
	defer cancel()
	cons, err := w.bus.js.Consumer(ctx, w.bus.stream, w.Durable)
	if err != nil {
		return nil, fmt.Errorf("load durable %s: %w", w.Durable, explainCall(ctx, err))
	}
	return cons, nil
}

func (w *worker) create(ctx context.Context) (jetstream.Consumer, error) {
	// The stream goes too when a server comes back with an empty store.
	if err := w.bus.ensureStream(ctx); err != nil {
		return nil, err
	}
	cfg, err := w.startAt(ctx, w.settings())
	if err != nil {
		return nil, err
	}
	bounded, cancel := w.bus.call(ctx, w.bus.api("CONSUMER.CREATE", w.Durable))
	defer cancel()
	cons, err := w.bus.js.CreateConsumer(bounded, w.bus.stream, cfg)
	if errors.Is(err, jetstream.ErrConsumerExists) {
		// Another replica was faster, and began one event earlier or later.
		return w.load(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("create durable %s: %w", w.Durable, explainCall(bounded, err))
	}
	return cons, nil
}

// settings of the durable. MaxDeliver is unlimited since the bus counts: a
// server that gives up would do so without a failed event. There is no BackOff,
// which would override AckWait.
func (w *worker) settings() jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		Durable:       w.Durable,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       w.bus.cfg.AckWait,
		MaxAckPending: 1,
		MaxDeliver:    -1,
		DeliverPolicy: jetstream.DeliverNewPolicy,
	}
	if w.bus.cfg.Database != "" {
		cfg.Metadata = map[string]string{databaseKey: w.bus.cfg.Database}
	}
	if subjects := w.bus.fullSubjects(w.Subjects); len(subjects) == 1 {
		cfg.FilterSubject = subjects[0]
	} else {
		cfg.FilterSubjects = subjects
	}
	return cfg
}

// startAt decides where a durable begins that does not exist.
func (w *worker) startAt(ctx context.Context, cfg jetstream.ConsumerConfig) (jetstream.ConsumerConfig, error) {
	stream, err := w.bus.loadStream(ctx)
	if err != nil {
		return cfg, err
	}
	start, last := w.resume, stream.CachedInfo().State.LastSeq
	if start > last+1 {
		start = 1 // another stream than the one that was counted in
	}
	if start == 0 && w.Deliver == DeliverLast {
		// DeliverLast of NATS takes the newest of all subjects together, its
		// last-per-subject an old request too. The first subject with an event
		// leads here.
		if start, err = w.newest(ctx, stream); err != nil {
			return cfg, err
		}
	}
	if start == 0 && w.Deliver == DeliverLast {
		// Nothing to begin with, but something may come before the durable is
		// there: it begins behind what the stream held before the look.
		start = last + 1
	}
	if start > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, start
	}
	return cfg, nil
}

func (w *worker) newest(ctx context.Context, stream jetstream.Stream) (uint64, error) {
	ctx, cancel := w.bus.call(ctx, w.bus.reads()...)
	defer cancel()
	for _, subject := range w.Subjects {
		msg, err := stream.GetLastMsgForSubject(ctx, w.bus.prefix+subject)
		switch {
		case err == nil:
			return msg.Sequence, nil
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return 0, fmt.Errorf("find newest %s: %w", subject, explainCall(ctx, err))
		}
	}
	return 0, nil
}

// adapt brings a durable that another version made to today's settings, where
// NATS allows that.
func (w *worker) adapt(ctx context.Context, cons jetstream.Consumer) (jetstream.Consumer, error) {
	have, want := cons.CachedInfo().Config, w.settings()
	if have.AckPolicy != jetstream.AckExplicitPolicy {
		return nil, fmt.Errorf("%w: durable %s exists without explicit acknowledgement: remove it", errSettings, w.Durable)
	}
	if theirs, ours := have.Metadata[databaseKey], want.Metadata[databaseKey]; theirs != "" && ours != "" && theirs != ours {
		return nil, fmt.Errorf("%w: durable %s of stream %s takes the events of database %q, this service works for %q: "+
			"set a NIGHTSHARD_SUBJECT_PREFIX for each database, or remove the durable if that one is no more (nats consumer rm %s %s)",
			errSettings, w.Durable, w.bus.stream, theirs, ours, w.bus.stream, w.Durable)
	}
	if sameSettings(have, want) {
		return cons, nil
	}
	have.Metadata = maps.Clone(have.Metadata)
	if have.Metadata == nil {
		have.Metadata = map[string]string{}
	}
	maps.Copy(have.Metadata, want.Metadata)
	have.AckWait, have.MaxAckPending, have.MaxDeliver, have.BackOff = want.AckWait, want.MaxAckPending, want.MaxDeliver, nil
	have.FilterSubject, have.FilterSubjects = want.FilterSubject, want.FilterSubjects
	ctx, cancel := w.bus.call(ctx, w.bus.api("CONSUMER.CREATE", w.Durable))
	defer cancel()
	cons, err := w.bus.js.UpdateConsumer(ctx, w.bus.stream, have)
	if err != nil {
		return nil, fmt.Errorf("update durable %s: %w", w.Durable, explainCall(ctx, err))
	}
	return cons, nil
}

// sameSettings says that a durable has what is wanted of it.
func sameSettings(a, b jetstream.ConsumerConfig) bool {
	named := b.Metadata[databaseKey] == "" || a.Metadata[databaseKey] == b.Metadata[databaseKey]
	return named && a.AckWait == b.AckWait && a.MaxAckPending == b.MaxAckPending && a.MaxDeliver == b.MaxDeliver &&
		len(a.BackOff) == 0 && slices.Equal(filters(a), filters(b))
}

func filters(cfg jetstream.ConsumerConfig) []string {
	if cfg.FilterSubject != "" {
		return []string{cfg.FilterSubject}
	}
	return slices.Sorted(slices.Values(cfg.FilterSubjects))
}

func (w *worker) remember(info *jetstream.ConsumerInfo) {
	w.resume = info.AckFloor.Stream + 1
}
