package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"nightshard/shared/connect"
	"nightshard/shared/events"
	"nightshard/shared/objstore"
	"nightshard/shared/objstore/retry"
	"nightshard/shared/objstore/swift"
	"nightshard/shared/service"
)

// settings reads those of the environment that the command shares with the
// services. Every problem is listed at once.
func (a *app) settings() (service.Common, error) {
	e, problems := service.Secrets(a.env)
	c := service.Common{
		NATS: service.NATS{
			URL: e["NATS_URL"], Creds: e["NATS_CREDS"], User: e["NATS_USER"], Password: e["NATS_PASSWORD"],
			Token: e["NATS_TOKEN"], NKey: e["NATS_NKEY"], CA: e["NATS_CA"], Cert: e["NATS_CERT"], Key: e["NATS_KEY"],
		},
		Database: e["NIGHTSHARD_DATABASE"], TimeZone: e["NIGHTSHARD_TIMEZONE"],
		SubjectPrefix: e["NIGHTSHARD_SUBJECT_PREFIX"], Replicas: 1, LogLevel: "warn",
	}
	problems = append(problems, c.Problems()...)
	for name := range e {
		if strings.HasPrefix(name, "NIGHTSHARD_") && !service.Known(name) {
			problems = append(problems, name+" is set, but nothing reads it: correct the name or unset it")
		}
	}
	if len(problems) > 0 {
		slices.Sort(problems)
		return c, &service.ConfigError{Problems: problems}
	}
	// The services decide on the stream's replicas.
	c.Replicas = 0
	return c, nil
}

// bus connects to NATS. note is told when the connection is lost later on.
func (a *app) bus(ctx context.Context, c service.Common, note func(string)) (*events.Bus, error) {
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	log := &noteWriter{}
	bus, err := connect.Bus(ctx, c, "cli", zerolog.New(log).Level(zerolog.WarnLevel))
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the server and what to check
	}
	log.set(note)
	return bus, nil
}

// openSwift opens Swift with the patience of a person. The second result is its
// address without secrets.
func (a *app) openSwift(ctx context.Context) (objstore.Account, string, error) {
	cfg, err := connect.SwiftConfig(a.env)
	if err != nil {
		return nil, "", err //nolint:wrapcheck // it lists the settings
	}
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	inner, err := swift.Open(ctx, cfg)
	if err != nil {
		return nil, "", fmt.Errorf("open Swift: %w", connect.Advised(err))
	}
	policy := retry.Policy{Attempts: 4, GiveUpAfter: 30 * time.Second, OnRetry: func(op, name string, err error, _ time.Duration) {
		a.errs.printf("nightshard: Swift is asked again to %s %s: %v\n", op, name, err)
	}}
	return retry.New(inner, policy), inner.Endpoint(), nil
}

// noteWriter hands the bus's warnings on as one line of text each. Before set it
// drops them: an error then says the same.
type noteWriter struct {
	mu   sync.Mutex
	note func(string)
}

func (w *noteWriter) set(note func(string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note = note
}

// Write takes one JSON line of zerolog.
func (w *noteWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var line struct{ Message, Error string }
	if err := json.Unmarshal(p, &line); err != nil || w.note == nil {
		return len(p), nil // a note that cannot be read must not fail the bus
	}
	if line.Error != "" {
		line.Message += ": " + line.Error
	}
	w.note(line.Message)
	return len(p), nil
}
