package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// watched runs watch until its output holds each text, and interrupts it.
func watched(t *testing.T, env map[string]string, act func(), texts []string, args ...string) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out, errs buffer
	code := make(chan int, 1)
	go func() { code <- cli{env: env}.start(ctx, &out, &errs, append([]string{"watch"}, args...)) }()
	act()
	testbed.Eventually(t, patience, "the output", func() bool {
		for _, text := range texts {
			if !strings.Contains(out.String(), text) {
				return false
			}
		}
		return true
	})
	stop()
	if got := <-code; got != service.ExitDone || errs.String() != "" {
		t.Errorf("exit code %d, said %q", got, errs.String())
	}
	return out.String()
}

func publish(t *testing.T, bus *events.Bus, msgs ...proto.Message) {
	t.Helper()
	for _, msg := range msgs {
		subject, _ := events.SubjectOf(msg)
		if _, err := bus.Publish(t.Context(), subject, msg, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// nightOfEvents is what a watcher may see of one.
func nightOfEvents() []proto.Message {
	return []proto.Message{
		&pb.BackupRequested{Day: chainDay, Force: true, Reason: "disk\nreplaced"},
		&pb.BackupCompleted{Day: chainDay, Shards: 2, Bytes: 1000},
		&pb.RestoreFailed{Day: chainDay, Step: "drill", Attempts: 5, Error: "compare counts"},
		&pb.DumpRequested{Measurement: "cpu", From: "2016-06-01", To: "2016-06-03"},
	}
}

func TestWatchShowsPastAndPresentEvents(t *testing.T) {
	t.Parallel()
	bus, env := startBus(t, "site1")
	env["NIGHTSHARD_TIMEZONE"] = "Europe/Berlin"
	publish(t, bus, nightOfEvents()...)
	out := watched(t, env, func() {
		publish(t, bus, &pb.DumpCompleted{Day: "2016-06-02", Measurement: "cpu", Object: "x", Records: 7, Complete: true})
	}, []string{
		"  backup 2016-06-01: requested with force, disk replaced\n", "  backup 2016-06-01: completed: 2 shards, 1.0 kB",
		"  restore 2016-06-01: FAILED at step drill after 5 attempts: compare counts\n",
		"  dump cpu: requested for 2016-06-01 to 2016-06-03\n", "  dump cpu 2016-06-02: completed: 7 records",
	}, "--since", "1h")
	if n := strings.Count(out, "\n"); n != 5 {
		t.Errorf("%d lines:\n%s", n, out)
	}
	out = watched(t, env, func() {}, []string{"FAILED"}, "--since", "1h", "--failed")
	if n := strings.Count(out, "\n"); n != 1 {
		t.Errorf("%d lines:\n%s", n, out)
	}
}

func TestWatchShowsProgressAsJSON(t *testing.T) {
	t.Parallel()
	bus, env := startBus(t, "")
	publish(t, bus, nightOfEvents()...)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan struct{})
	out := watched(t, env, func() {
		go func() {
			defer close(done)
			// A watcher sees only what is told after it began.
			for again := time.NewTicker(50 * time.Millisecond); ctx.Err() == nil; <-again.C {
				bus.Progress(&pb.Progress{Service: "backup", Day: chainDay, Step: "shards", Unit: "shards", Done: 1, Total: 2})
			}
		}()
	}, []string{`"type":"progress"`, `"subject":"dump.requested"`}, "--json", "--since", "1h")
	stop()
	<-done
	for line := range strings.Lines(out) {
		var l jsonLine
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Type != "event" && l.Type != "progress" || len(l.Message) == 0 {
			t.Errorf("line %q: %v", line, err)
		}
	}
}

func TestWatchMisused(t *testing.T) {
	t.Parallel()
	if r := (cli{}).run(t, "watch", "--since", "-1h"); r.code != service.ExitMisuse {
		t.Errorf("exit code %d, %s", r.code, r.err)
	}
	if r := (cli{}).run(t, "watch"); r.code != service.ExitFailed || !strings.Contains(r.err, nobody) {
		t.Errorf("without NATS: exit code %d, %s", r.code, r.err)
	}
}
