package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// duplicateWindow is the least for which the stream remembers a
	// Nats-Msg-Id. A job of hours that ends with a lost answer publishes its
	// result again; NATS's default of two minutes would store it twice.
	duplicateWindow = 24 * time.Hour
	newWindow       = 2 * duplicateWindow
	// replicasNotSupported is the server's JSStreamReplicasNotSupportedErr: more
	// than one replica was asked of a server without a cluster.
	replicasNotSupported jetstream.ErrorCode = 10074
	// inProcess is JSStreamDuplicateMessageConflict: the leader has an event of
	// this id, and not yet the word of the other servers.
	inProcess jetstream.ErrorCode = 10158
)

// errStream says that a stream of our name was made for something else.
var errStream = errors.New("the stream cannot be used")

// errNoJetStream explains the two ways in which JetStream can be off.
var errNoJetStream = errors.New("JetStream is not enabled: start nats-server with -js, or enable it for the account")

// ensureStreamPatiently retries what a server that has just started may refuse.
func (b *Bus) ensureStreamPatiently(ctx context.Context) error {
	for {
		err := b.ensureStream(ctx)
		if err == nil || !transient(err) || errors.Is(err, errNoJetStream) || ctx.Err() != nil {
			return err
		}
		if pause(ctx, reconnectWait) != nil {
			return err
		}
	}
}

// ensureStream loads first and changes only what is needed: services that start
// together must not race each other with updates.
func (b *Bus) ensureStream(ctx context.Context) error {
	stream, err := b.loadStream(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = b.createStream(ctx)
	}
	if err != nil {
		return err
	}
	have := stream.CachedInfo().Config
	if have.Retention != jetstream.LimitsPolicy {
		return fmt.Errorf("%w: %s has retention %s, but every subscriber needs its own copy of the events: "+
			"remove the stream or set NIGHTSHARD_SUBJECT_PREFIX", errStream, b.stream, have.Retention)
	}
	if other, ok := b.otherPrefix(have.Subjects); ok {
		return fmt.Errorf("%w: %s is that of the subject prefix %q: choose a NIGHTSHARD_SUBJECT_PREFIX that differs in letters or digits, whatever their case",
			errStream, b.stream, other)
	}
	want, changed := b.merge(have)
	if !changed {
		return nil
	}
	return b.updateStream(ctx, want)
}

func (b *Bus) loadStream(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := b.call(ctx, b.api("STREAM.INFO"))
	defer cancel()
	stream, err := b.js.Stream(ctx, b.stream)
	if err != nil {
		return nil, fmt.Errorf("load stream %s: %w", b.stream, explainCall(ctx, err))
	}
	return stream, nil
}

func (b *Bus) createStream(ctx context.Context) (jetstream.Stream, error) {
	bounded, cancel := b.call(ctx, b.api("STREAM.CREATE"))
	defer cancel()
	stream, err := b.js.CreateStream(bounded, b.streamConfig())
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		// Another service was faster, with other settings.
		return b.loadStream(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("create stream %s: %w", b.stream, explainCall(bounded, err))
	}
	return stream, nil
}

func (b *Bus) updateStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	ctx, cancel := b.call(ctx, b.api("STREAM.UPDATE"))
	defer cancel()
	_, err := b.js.UpdateStream(ctx, cfg)
	if err = explainCall(ctx, err); errors.Is(err, ErrDenied) {
		return fmt.Errorf("update stream %s (subjects %s; replicas %d): %w; services may not change the stream: as operators "+
			"run nightshard status, or nats stream edit %s for another number of replicas",
			b.stream, strings.Join(cfg.Subjects, " "), cfg.Replicas, err, b.stream)
	}
	if err != nil {
		return fmt.Errorf("update stream %s: %w", b.stream, err)
	}
	b.log.Info().Str("stream", b.stream).Strs("subjects", cfg.Subjects).
		Int("replicas", cfg.Replicas).Msg("updated the stream")
	return nil
}

func (b *Bus) streamConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        b.stream,
		Description: "The events of Nightshard's nights",
		// One by one, so that a mistyped subject is an error for whoever
		// publishes it with an acknowledgement.
		Subjects: b.fullSubjects(Subjects()),
		// Limits: any number of subscribers, and history for new ones.
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Replicas:    max(b.cfg.Replicas, 1),
		Duplicates:  newWindow,
		AllowDirect: true,
	}
}

// merge adds to an existing configuration what it lacks and keeps the rest, so
// that an operator's own limits and subjects stay.
func (b *Bus) merge(have jetstream.StreamConfig) (jetstream.StreamConfig, bool) {
	want, changed := have, false
	want.Subjects = slices.Clone(have.Subjects)
	for _, subject := range b.fullSubjects(Subjects()) {
		if !slices.ContainsFunc(have.Subjects, func(pattern string) bool { return covers(pattern, subject) }) {
			want.Subjects, changed = append(want.Subjects, subject), true
		}
	}
	window := duplicateWindow
	if have.MaxAge > 0 {
		// The server refuses a window longer than the age of a message.
		window = min(window, have.MaxAge)
	}
	if have.Duplicates < window {
		want.Duplicates, changed = window, true
	}
	if !have.AllowDirect {
		// The services read single events this way; the other way takes more
		// rights than they have.
		want.AllowDirect, changed = true, true
	}
	// Never fewer: one service without the setting would take the copies away
	// that the others rely on.
	if b.cfg.Replicas > have.Replicas {
		want.Replicas, changed = b.cfg.Replicas, true
	}
	return want, changed
}

// otherPrefix finds the subjects of another prefix in a stream: site-1 and SITE_1
// have one stream name, and would take each other's events.
func (b *Bus) otherPrefix(subjects []string) (prefix string, ok bool) {
	for _, subject := range subjects {
		prefix, ok := strings.CutSuffix(subject, BackupRequested)
		if ok && prefix != b.prefix && !strings.ContainsAny(prefix, "*>") {
			return strings.TrimSuffix(prefix, "."), true
		}
	}
	return "", false
}

// covers reports whether a subject matches a pattern with * and >.
func covers(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		if token == ">" {
			return i < len(s)
		}
		if i >= len(s) || (token != "*" && token != s[i]) {
			return false
		}
	}
	return len(p) == len(s)
}

func (b *Bus) fullSubjects(subjects []string) []string {
	full := make([]string, len(subjects))
	for i, subject := range subjects {
		full[i] = b.prefix + subject
	}
	return full
}

// errAway replaces the client's own words for a message that it cannot send.
var errAway = errors.New("NATS is not connected")

// errUnconfirmed explains a message without an answer. The server says nothing
// to a client whose message it cannot write.
var errUnconfirmed = errors.New("NATS took the message and did not confirm it: look at the log of nats-server, " +
	"and whether its disk is full; after a write error it must be restarted")

func explain(err error) error {
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		return fmt.Errorf("%w (%w)", errAway, err)
	}
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) ||
		errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("%w (%w)", errNoJetStream, err)
	}
	return err
}

// transient reports whether an error of NATS may pass by itself.
func transient(err error) bool {
	for _, lasting := range []error{
		nats.ErrConnectionClosed, nats.ErrMaxPayload, nats.ErrBadSubject, nats.ErrInvalidConnection,
		jetstream.ErrNotPullConsumer, ErrUnknownSubject, ErrDenied, errSettings, errStream,
	} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	var api jetstream.JetStreamError
	if !errors.As(err, &api) || api.APIError() == nil {
		return true
	}
	code := api.APIError().ErrorCode
	return code == inProcess || api.APIError().Code >= 500 && code != replicasNotSupported
}

// pause waits, or returns the error of ctx.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
