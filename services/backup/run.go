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
	// addr is told the address of the health page; nil in production.
	addr func(string)
}

// run wires the service and works until ctx ends.
func run(ctx context.Context, e env) error {
	log, err := service.NewLogger(e.logs, "backup", e.cfg.LogLevel, e.cfg.LogFormat)
	if err != nil {
		return &service.ConfigError{Problems: []string{err.Error()}}
	}
	store, err := connect.Store(ctx, e.vars, log)
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	bus, err := connect.Bus(ctx, e.cfg.Common, "backup", e.cfg.AckWait, log)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	defer connect.Close(ctx, bus, log)
	b, err := newBackup(e.cfg, bus)
	if err != nil {
		return err
	}
	b.store, b.log = store, log
	if err := connect.Health(ctx, e.cfg.Listen, bus, log, e.addr); err != nil {
		return fmt.Errorf("serve health: %w", err)
	}
	return b.serve(ctx, bus)
}

// newBackup makes the worker from the settings, which Problems has checked.
func newBackup(cfg *config, bus *events.Bus) (*backup, error) {
	http, err := influx.NewClient(influx.ClientConfig{
		URL: cfg.URL, User: cfg.User, Password: cfg.Password, Timeout: cfg.IdleTimeout,
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
		progress: bus.Progress, now: time.Now,
	}, nil
}

// serve asks for the nightly backups and answers requests until ctx ends.
func (b *backup) serve(ctx context.Context, bus *events.Bus) error {
	schedule, err := parseSchedule(b.cfg.Schedule)
	if err != nil {
		return err
	}
	a := &asker{schedule: schedule, loc: b.loc, rule: b.rule, bus: bus, now: b.now, log: b.log}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.run(gctx) })
	g.Go(func() error {
		return bus.Consume(gctx, events.Consumer{
			Durable: "backup", Subjects: []string{events.BackupRequested}, Deliver: events.DeliverLast,
			Handler: b.handle, Failed: b.failed,
		})
	})
	b.log.Info().Str("database", b.cfg.Database).Str("production", b.cfg.Snapshot).
		Str("schedule", b.cfg.Schedule).Msg("waiting for requests")
	return g.Wait()
}
