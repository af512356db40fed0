package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nightshard/shared/events"
)

// startServices starts one process of each service, as a supervisor would, and
// waits until each asks for its events: the hand-over from step to step is
// measured, and must not include a start.
func (h *house) startServices(ctx context.Context) error {
	if err := h.openBus(ctx); err != nil {
		return err
	}
	if _, err := h.dir.sub("logs"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for i, name := range []string{"backup", "restore", "dumper"} {
		if err := h.startService(ctx, name, 19421+i); err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
	}
	h.show.line("the three services wait for events; their logs are in %s", h.logs())
	h.show.line("health pages: %s", strings.Join(h.pages, " "))
	return nil
}

func (h *house) startService(ctx context.Context, name string, preferred int) error {
	return withPorts(name, func(free func(int) (int, error)) error {
		port, err := free(preferred)
		if err != nil {
			return err
		}
		env, err := h.serviceEnv(name, loopback(port))
		if err != nil {
			return err
		}
		p, err := start(spec{
			name: name, path: h.bin(name), env: env,
			log: filepath.Join(h.logs(), fmt.Sprintf("%s-%d.log", name, port)), line: h.listen(name),
		})
		if err != nil {
			return err
		}
		if err := h.awaitService(ctx, p, name); err != nil {
			return errors.Join(err, p.stop(5*time.Second))
		}
		h.watchOver(p)
		h.services = append(h.services, p)
		h.pages = append(h.pages, "http://"+loopback(port)+"/readyz")
		return nil
	})
}

// serviceEnv is the environment of one service. Nothing of ours reaches it but
// what it needs: no setting for another NATS, no password that is not its own.
func (h *house) serviceEnv(name, listen string) (map[string]string, error) {
	env := map[string]string{}
	for key, value := range h.set.env {
		if !isSetting(key) {
			env[key] = value
		}
	}
	maps.Copy(env, h.swift)
	maps.Copy(env, h.set.services)
	env["NATS_URL"], env["NIGHTSHARD_DATABASE"], env["NIGHTSHARD_LISTEN"] = h.natsURL, h.set.database, listen
	env["NIGHTSHARD_LOG_FORMAT"] = "json"
	switch name {
	case "backup":
		env["NIGHTSHARD_SCHEDULE"] = "off" // the demonstration asks
		env["NIGHTSHARD_PRODUCTION_URL"], env["NIGHTSHARD_PRODUCTION_SNAPSHOT"] = h.production.URL, h.production.Snapshot
		env["NIGHTSHARD_PRODUCTION_USER"], env["NIGHTSHARD_PRODUCTION_PASSWORD"] = h.production.User, h.production.Password
		own := h.production.TLS
		env["NIGHTSHARD_PRODUCTION_CA"], env["NIGHTSHARD_PRODUCTION_CERT"], env["NIGHTSHARD_PRODUCTION_KEY"] = own.CA, own.Cert, own.Key
	case "restore":
		env["NIGHTSHARD_INTERMEDIARY_URL"], env["NIGHTSHARD_INTERMEDIARY_SNAPSHOT"] = h.intermediary.URL, h.intermediary.Snapshot
	case "dumper":
		names, err := json.Marshal(h.set.measurements)
		if err != nil {
			return nil, fmt.Errorf("list measurements: %w", err)
		}
		env["NIGHTSHARD_INTERMEDIARY_URL"], env["NIGHTSHARD_MEASUREMENTS"] = h.intermediary.URL, string(names)
	}
	return env, nil
}

// isSetting says that a variable is a setting of the project, of NATS or of
// Swift.
func isSetting(name string) bool {
	return slices.ContainsFunc([]string{"NIGHTSHARD_", "NATS_", "ST_", "OS_"}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}

// listen shows what a service warns of, such as an attempt that failed and is
// made again. Its lines are JSON objects.
func (h *house) listen(name string) func(string) {
	return func(line string) {
		var l struct{ Level, Message, Error string }
		if json.Unmarshal([]byte(line), &l) != nil || (l.Level != "warn" && l.Level != "error") {
			return
		}
		if l.Error != "" {
			l.Message += ": " + l.Error
		}
		h.show.line("%s warns: %s", name, l.Message)
	}
}

// durables are the consumers that a service has once it is ready.
func (h *house) durables(name string) []string {
	out := []string{name}
	if name == "dumper" {
		for _, m := range h.set.measurements {
			out = append(out, "dumper-"+events.Slug(m))
		}
	}
	return out
}

// awaitService waits until the service asks for events.
func (h *house) awaitService(ctx context.Context, p *process, name string) error {
	want := h.durables(name)
	err := poll(ctx, 20*time.Millisecond, func() (bool, error) {
		if p.portTaken() {
			return false, errPortTaken
		}
		if !p.alive() {
			return false, p.lastWords()
		}
		states, err := h.bus.Consumers(ctx)
		if err != nil {
			return false, fmt.Errorf("ask for consumers: %w", err)
		}
		return !slices.ContainsFunc(want, func(durable string) bool { return !asks(states, durable) }), nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("wait for %s: %w; the end of its log:\n%s", name, err, tail(p.log, 15))
	}
	return err
}

// asks says that a durable exists and somebody takes events from it, or is at
// work on one.
func asks(states []events.ConsumerState, durable string) bool {
	return slices.ContainsFunc(states, func(s events.ConsumerState) bool {
		return s.Name == durable && (s.Waiting > 0 || s.AckPending > 0)
	})
}
