package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"nightshard/shared/connect"
	"nightshard/shared/events"
	"nightshard/shared/influx"
	"nightshard/shared/service"
)

// env is what the service takes from outside.
type env struct {
	cfg  *config
	vars map[string]string // the process environment, for the Swift settings
	logs io.Writer
}

// run wires the service and works until ctx ends.
func run(ctx context.Context, e env) error {
	parts, end, err := connect.Open(ctx, connect.Options{
		Name: events.Dumper, Common: e.cfg.Common, Listen: e.cfg.Listen, Vars: e.vars, Logs: e.logs,
		Measurements: e.cfg.Measurements,
		Consumers:    len(e.cfg.Measurements) + 1, // one more for requests
	})
	if err != nil {
		return err //nolint:wrapcheck // it names what could not be opened
	}
	defer end()
	p, err := newDumper(e.cfg, parts.Bus)
	if err != nil {
		return err
	}
	p.store, p.log = parts.Store, parts.Log
	return p.serve(ctx, parts.Bus)
}

// newDumper makes the worker from the settings, which Problems has checked.
func newDumper(cfg *config, bus *events.Bus) (*dumper, error) {
	http, err := influx.NewClient(influx.ClientConfig{
		URL: cfg.URL, User: cfg.User, Password: cfg.Password, TLS: cfg.tls(), Timeout: cfg.IdleTimeout, TotalTimeout: cfg.WorkTimeout, ChunkSize: cfg.Records,
	})
	if err != nil {
		return nil, &service.ConfigError{Problems: []string{fmt.Sprintf("NIGHTSHARD_INTERMEDIARY_URL: %v", err)}}
	}
	return &dumper{
		cfg: cfg, loc: cfg.Location(), http: http, slots: make(chan struct{}, cfg.Parallel),
		progress: bus.Progress, now: time.Now,
	}, nil
}

// serve runs one durable consumer for each measurement and one for requests,
// until ctx ends.
func (p *dumper) serve(ctx context.Context, bus *events.Bus) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, m := range p.cfg.Measurements {
		g.Go(func() error {
			return bus.Consume(gctx, events.Consumer{
				Durable: events.MeasurementDurable(m), Subjects: []string{events.RestoreCompleted}, Deliver: events.DeliverLast,
				Handler: connect.Login(login, p.inTurn(p.onRestore(m))), Failed: p.failed(m), Retry: events.RetryAfter(p.cfg.RetryWait),
			})
		})
	}
	g.Go(func() error {
		return bus.Consume(gctx, events.Consumer{
			Durable: events.DumperDurable, Subjects: []string{events.DumpRequested}, Deliver: events.DeliverLast,
			Handler: connect.Login(login, p.inTurn(p.onRequest)), Failed: p.failed(""), Retry: events.RetryAfter(p.cfg.RetryWait),
		})
	})
	p.log.Info().Str("database", p.cfg.Database).Str("intermediary", p.cfg.URL).
		Strs("measurements", p.cfg.Measurements).Str("format", p.cfg.Format).Msg("waiting for events")
	return g.Wait()
}
