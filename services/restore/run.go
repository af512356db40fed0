package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

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
	// addr is told the address of the health page; nil in production.
	addr func(string)
}

// run wires the service and works until ctx ends.
func run(ctx context.Context, e env) error {
	log, err := service.NewLogger(e.logs, "restore", e.cfg.LogLevel, e.cfg.LogFormat)
	if err != nil {
		return &service.ConfigError{Problems: []string{err.Error()}}
	}
	store, err := connect.Store(ctx, e.vars, log)
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	bus, err := connect.Bus(ctx, e.cfg.Common, "restore", e.cfg.AckWait, log)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	defer connect.Close(ctx, bus, log)
	r, err := newRestore(e.cfg, bus)
	if err != nil {
		return err
	}
	r.store, r.log = store, log
	if err := connect.Health(ctx, e.cfg.Listen, bus, log, e.addr); err != nil {
		return fmt.Errorf("serve health: %w", err)
	}
	log.Info().Str("database", e.cfg.Database).Str("intermediary", e.cfg.URL).Str("mode", e.cfg.Mode).Msg("waiting for events")
	return bus.Consume(ctx, events.Consumer{ //nolint:wrapcheck // it names the consumer
		Durable: "restore", Subjects: []string{events.BackupCompleted, events.RestoreRequested}, Deliver: events.DeliverLast,
		Handler: r.handle, Failed: r.failed,
	})
}

// newRestore makes the worker from the settings, which Problems has checked.
func newRestore(cfg *config, bus *events.Bus) (*restore, error) {
	http, err := influx.NewClient(influx.ClientConfig{
		URL: cfg.URL, User: cfg.User, Password: cfg.Password, Timeout: cfg.IdleTimeout,
	})
	if err != nil {
		return nil, &service.ConfigError{Problems: []string{fmt.Sprintf("NIGHTSHARD_INTERMEDIARY_URL: %v", err)}}
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("ask for the host's name: %w", err)
	}
	return &restore{
		cfg: cfg, host: host, http: http,
		snapshot: influx.NewSnapshot(influx.SnapshotConfig{Addr: cfg.Snapshot, IdleTimeout: cfg.IdleTimeout}),
		dumpers:  bus.Consumers, progress: bus.Progress, now: time.Now,
	}, nil
}
