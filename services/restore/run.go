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
}

// run wires the service and works until ctx ends.
func run(ctx context.Context, e env) error {
	parts, end, err := connect.Open(ctx, connect.Options{
		Name: events.Restore, Common: e.cfg.Common, Listen: e.cfg.Listen, Vars: e.vars, Logs: e.logs,
		Heartbeat: e.cfg.HeartbeatURL,
	})
	if err != nil {
		return err //nolint:wrapcheck // it names what could not be opened
	}
	defer end()
	r, err := newRestore(e.cfg, parts.Bus)
	if err != nil {
		return err
	}
	r.store, r.log = parts.Store, parts.Log
	parts.Log.Info().Str("database", e.cfg.Database).Str("intermediary", e.cfg.URL).Str("mode", e.cfg.Mode).Msg("waiting for events")
	return parts.Bus.Consume(ctx, events.Consumer{ //nolint:wrapcheck // it names the consumer
		Durable: events.RestoreDurable, Subjects: []string{events.BackupCompleted, events.RestoreRequested}, Deliver: events.DeliverLast,
		Handler: connect.Login(login, r.handle), Failed: r.failed, Retry: events.RetryAfter(e.cfg.RetryWait),
	})
}

// newRestore makes the worker from the settings, which Problems has checked.
func newRestore(cfg *config, bus *events.Bus) (*restore, error) {
	http, err := influx.NewClient(influx.ClientConfig{
		URL: cfg.URL, User: cfg.User, Password: cfg.Password, TLS: cfg.tls(), Timeout: cfg.IdleTimeout, TotalTimeout: cfg.WorkTimeout,
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
		snapshot: influx.NewSnapshot(influx.SnapshotConfig{Addr: cfg.Snapshot, IdleTimeout: cfg.IdleTimeout, UploadTimeout: cfg.WorkTimeout}),
		dumpers:  bus.Consumers, progress: bus.Progress, now: time.Now,
	}, nil
}
