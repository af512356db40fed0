// Package connect opens what every program of the project talks to, from its
// settings: the bus, the store, the health page. It holds no rule of its own.
package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"nightshard/shared/events"
	"nightshard/shared/metrics"
	"nightshard/shared/objstore"
	"nightshard/shared/objstore/retry"
	"nightshard/shared/objstore/swift"
	"nightshard/shared/service"
	"nightshard/shared/trust"
)

// patience bounds the first connection of a service: it may be started before
// the servers that it needs.
const patience = 2 * time.Minute

// Store opens Swift as vars say (ST_* or OS_*), with retries around it. Of c it
// heeds the limits; zero ones are the store's own. told hear of each call that is
// tried again.
func Store(ctx context.Context, vars map[string]string, c service.Common, log zerolog.Logger, told ...func(operation string)) (objstore.Account, error) {
	cfg, err := SwiftConfig(vars)
	if err != nil {
		return nil, err
	}
	cfg.IdleTimeout, cfg.SegmentBytes = c.IdleTimeout, c.SegmentBytes
	policy := retry.Policy{OnRetry: func(op, name string, err error, wait time.Duration) {
		log.Warn().Err(err).Str("operation", op).Str("object", name).Dur("wait", wait).Msg("Swift is asked again")
		for _, tell := range told {
			tell(op)
		}
	}}
	open, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var inner *swift.Store
	err = retry.Do(open, policy, "open", "", func() error {
		inner, err = swift.Open(open, cfg)
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return nil, fmt.Errorf("open Swift: %w", Advised(err))
	}
	return retry.New(inner, policy), nil
}

// Advised adds what to do to the error of a Swift that cannot be opened. One that
// refuses the login or the certificates says it itself.
func Advised(err error) error {
	if errors.Is(err, objstore.ErrCredentials) || trust.Is(err) {
		return err
	}
	return fmt.Errorf("%w: check that it runs and that ST_* or OS_* name it", err)
}

// SwiftConfig reads Swift's settings from vars: ST_* or OS_*, the secrets of them
// perhaps from files. Its error is a *service.ConfigError.
func SwiftConfig(vars map[string]string) (swift.Config, error) {
	vars, problems := service.Secrets(vars)
	cfg, err := swift.ConfigFromEnv(vars)
	if err != nil && len(problems) == 0 {
		problems = append(problems, err.Error())
	}
	if len(problems) > 0 {
		return swift.Config{}, &service.ConfigError{Problems: problems}
	}
	return cfg, nil
}

// busConfig takes the settings of NATS. Its error is a *service.ConfigError.
func busConfig(c service.Common, name string, log zerolog.Logger) (events.Config, error) {
	cfg := events.Config{
		URL: c.URL, Creds: c.Creds, User: c.User, Password: c.Password, Token: c.Token, NKey: c.NKey,
		CA: c.CA, Cert: c.Cert, Key: c.Key,
		Name: "nightshard-" + name, InboxPrefix: events.InboxPrefix(name), Prefix: c.SubjectPrefix,
		Database: c.Database, Replicas: c.Replicas, AckWait: c.AckWait, Log: log,
	}
	if problems := cfg.Problems(); len(problems) > 0 {
		return cfg, &service.ConfigError{Problems: problems}
	}
	return cfg, nil
}

// Bus connects to NATS and sees to the stream.
func Bus(ctx context.Context, c service.Common, name string, log zerolog.Logger) (*events.Bus, error) {
	cfg, err := busConfig(c, name, log)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	bus, err := events.Connect(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open bus: %w", err)
	}
	return bus, nil
}

// Close ends the connection to NATS, letting what was sent arrive. It works
// after ctx has ended, and says so when it could not.
func Close(ctx context.Context, bus *events.Bus, log zerolog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := bus.Close(ctx); err != nil {
		log.Warn().Err(err).Msg("connection to NATS not closed properly")
	}
}

// Options say what a service needs opened.
type Options struct {
	// Name is the service's short name.
	Name   string
	Common service.Common
	// Listen is the address of the health page.
	Listen string
	// Vars are the process environment, for the Swift settings.
	Vars map[string]string
	// Logs is where the log goes.
	Logs io.Writer
	// Measurements are those that a dumper dumps each night.
	Measurements []string
	// Heartbeat is asked after each good night; empty: nothing is.
	Heartbeat string
	// Consumers is how many the service runs: with the last of them it is ready
	// in the eyes of a service manager. 0 means one.
	Consumers int
}

// Parts are what every service works with.
type Parts struct {
	Log   zerolog.Logger
	Store objstore.Account
	Bus   *events.Bus
}

// Open opens all of it: the log, the store, the bus, the health page. The
// function that it returns closes what must be closed.
func Open(ctx context.Context, o Options) (*Parts, func(), error) {
	log, err := service.NewLogger(o.Logs, o.Name, o.Common.LogLevel, o.Common.LogFormat)
	if err != nil {
		return nil, nil, &service.ConfigError{Problems: []string{err.Error()}}
	}
	build := service.ThisBuild()
	log.Info().Str("version", build.Version).Str("revision", build.Revision).Str("go", build.Go).Msg("starting")
	// A wrong setting must not show only after Swift was waited for.
	if _, err := busConfig(o.Common, o.Name, log); err != nil {
		return nil, nil, err
	}
	reg := service.NewRegistry()
	set := metrics.New(reg, metrics.Options{
		Service: o.Name, Database: o.Common.Database, Location: o.Common.Location(), Measurements: o.Measurements, Now: time.Now,
	})
	store, err := Store(ctx, o.Vars, o.Common, log, set.Retried)
	if err != nil {
		return nil, nil, err
	}
	bus, err := Bus(ctx, o.Common, o.Name, log)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(announce(bus, o), health(ctx, o.Listen, reg, bus, log)); err != nil {
		Close(ctx, bus, log)
		return nil, nil, err
	}
	bus.WhenWorking(max(o.Consumers, 1), service.Supervise(ctx, bus.Alive, log).Ready)
	end := tell(ctx, o, set, store, bus, log)
	return &Parts{Log: log, Store: store, Bus: bus}, func() {
		end()
		Close(ctx, bus, log)
	}, nil
}

// announce makes the service known to `nats service ls`.
func announce(bus *events.Bus, o Options) error {
	err := bus.Announce(events.Announcement{
		Name: o.Name, Version: service.Version(), Database: o.Common.Database,
		About: fmt.Sprintf("Nightshard's %s service for InfluxDB database %q", o.Name, o.Common.Database),
	})
	if err != nil {
		return fmt.Errorf("open bus: %w", err)
	}
	return nil
}

// health serves the health page and the metrics until ctx ends. The service is
// ready while NATS answers.
func health(ctx context.Context, addr string, reg *prometheus.Registry, bus *events.Bus, log zerolog.Logger) error {
	ready := func() error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return bus.Check(ctx)
	}
	got, err := service.Serve(ctx, addr, reg, ready, log)
	if err != nil {
		return fmt.Errorf("serve health: %w", err)
	}
	log.Debug().Str("address", got).Msg("health page and metrics are served")
	return nil
}
