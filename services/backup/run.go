package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"nightshard/shared/connect"
	"nightshard/shared/events"
	"nightshard/shared/influx"
	"nightshard/shared/night"
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
		Name: events.Backup, Common: e.cfg.Common, Listen: e.cfg.Listen, Vars: e.vars, Logs: e.logs,
	})
	if err != nil {
		return err //nolint:wrapcheck // it names what could not be opened
	}
	defer end()
	b, err := newBackup(e.cfg, parts.Bus)
	if err != nil {
		return err
	}
	b.store, b.log = parts.Store, parts.Log
	return b.serve(ctx, parts.Bus)
}

// newBackup makes the worker from the settings, which Problems has checked.
func newBackup(cfg *config, bus *events.Bus) (*backup, error) {
	http, err := influx.NewClient(influx.ClientConfig{
		URL: cfg.URL, User: cfg.User, Password: cfg.Password, TLS: cfg.tls(), Timeout: cfg.IdleTimeout, TotalTimeout: cfg.WorkTimeout,
	})
	if err != nil {
		return nil, &service.ConfigError{Problems: []string{fmt.Sprintf("NIGHTSHARD_PRODUCTION_URL: %v", err)}}
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("ask for the host's name: %w", err)
	}
	return &backup{
		cfg: cfg, loc: cfg.Location(), rule: night.Rule(cfg.Day), host: host, http: http,
		snapshot: influx.NewSnapshot(influx.SnapshotConfig{Addr: cfg.Snapshot, IdleTimeout: cfg.IdleTimeout}),
		progress: bus.Progress, now: time.Now, nights: make(chan struct{}, 1),
	}, nil
}

// serve asks for the nightly backups and answers requests until ctx ends.
func (b *backup) serve(ctx context.Context, bus *events.Bus) error {
	schedule, err := parseSchedule(b.cfg.Schedule)
	if err != nil {
		return err
	}
	keep, err := night.ParseKeep(b.cfg.Keep)
	if err != nil {
		return err //nolint:wrapcheck // it names the rules
	}
	a := &asker{schedule: schedule, loc: b.loc, rule: b.rule, bus: bus, now: b.now, log: b.log}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.run(gctx) })
	g.Go(func() error { return (&keeper{backup: b, keep: keep, bus: bus}).run(gctx) })
	g.Go(func() error {
		return bus.Consume(gctx, events.Consumer{
			Durable: events.BackupDurable, Subjects: []string{events.BackupRequested}, Deliver: events.DeliverLast,
			Handler: connect.Login(login, b.handle), Failed: b.failed, Retry: events.RetryAfter(b.cfg.RetryWait),
		})
	})
	b.log.Info().Str("database", b.cfg.Database).Str("production", b.cfg.Snapshot).
		Str("schedule", b.cfg.Schedule).Msg("waiting for requests")
	return g.Wait()
}
