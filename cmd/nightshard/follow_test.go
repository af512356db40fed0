package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// actor plays one service on a real bus: the ids and the order of events are
// the bus's own.
type actor struct {
	durable string
	takes   []string
	plays   func(d *events.Delivery) ([]proto.Message, error)
	fails   proto.Message
	// attempts is how often it tries, once when 0.
	attempts int
}

// play runs actors until the test ends.
func play(t *testing.T, bus *events.Bus, actors ...actor) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{}, len(actors))
	t.Cleanup(func() {
		cancel()
		for range actors {
			<-done
		}
	})
	for _, a := range actors {
		go func() {
			defer func() { done <- struct{}{} }()
			err := bus.Consume(ctx, events.Consumer{
				Durable: a.durable, Subjects: a.takes, Attempts: max(a.attempts, 1),
				Handler: func(_ context.Context, d *events.Delivery) ([]proto.Message, error) { return a.plays(d) },
				Failed:  func(*events.Delivery, error) proto.Message { return proto.Clone(a.fails) },
			})
			if err != nil {
				t.Error(err)
			}
		}()
	}
	testbed.Eventually(t, patience, "the durables", func() bool {
		states, err := bus.Consumers(t.Context())
		return err == nil && !slices.ContainsFunc(actors, func(a actor) bool {
			return !slices.ContainsFunc(states, func(s events.ConsumerState) bool { return s.Name == a.durable && s.Waiting > 0 })
		})
	})
}

func says(msgs ...proto.Message) func(*events.Delivery) ([]proto.Message, error) {
	return func(*events.Delivery) ([]proto.Message, error) { return msgs, nil }
}

func breaks(text string) func(*events.Delivery) ([]proto.Message, error) {
	return func(*events.Delivery) ([]proto.Message, error) {
		return nil, events.Permanent(events.Step("guard", errors.New(text)))
	}
}

// backupActor tells of its progress while it works.
func backupActor(bus *events.Bus) actor {
	return actor{durable: "backup", takes: []string{events.BackupRequested}, plays: func(*events.Delivery) ([]proto.Message, error) {
		for done := range int64(3) {
			bus.Progress(&pb.Progress{Service: "backup", Day: chainDay, Step: "shards", Unit: "shards", Done: done, Total: 2, Bytes: done * 500})
			time.Sleep(300 * time.Millisecond)
		}
		return []proto.Message{&pb.BackupCompleted{Day: chainDay, Shards: 2, Bytes: 1000}}, nil
	}}
}

func restoreActor() actor {
	return actor{
		durable: "restore", takes: []string{events.BackupCompleted, events.RestoreRequested},
		plays: says(&pb.RestoreCompleted{Day: chainDay, Shards: 2, Bytes: 1000, Verdict: &pb.Verdict{Compared: 4}}),
	}
}

func dumperActor(measurement string) actor {
	return actor{
		durable: dumperPrefix + events.Slug(measurement), takes: []string{events.RestoreCompleted},
		plays: says(
			&pb.DumpCompleted{Day: "2016-05-31", Measurement: measurement, Object: "x", Records: 7, Complete: true},
			&pb.DumpCompleted{Day: chainDay, Measurement: measurement, Object: "y", Records: 8},
		),
	}
}

func TestFollowShowsTheWholeNight(t *testing.T) {
	t.Parallel()
	bus, env := startBus(t, "site1")
	play(t, bus, backupActor(bus), restoreActor(), dumperActor("cpu"), dumperActor("disk/free"))
	r := cli{env: env}.run(t, "request", "backup", "--follow").done(t)
	r.shows(t,
		"requested: site1.backup.requested is event 1 of stream NIGHTSHARD_SITE1\n", "backup: waiting\n", "backup: shards, ",
		"backup 2016-06-01: completed: 2 shards, 1.0 kB, 0 carried forward\n", "restore 2016-06-01: waiting\n",
		"restore 2016-06-01: completed: 2 shards, 1.0 kB, 4 counts compared, no difference\n",
		"dump cpu 2016-05-31: completed: 7 records", "dump cpu 2016-06-01: completed: 8 records",
		"dump disk/free 2016-06-01: completed: 8 records, 0 B; the day's last minutes are not in this backup",
	)
	if !strings.HasSuffix(r.out, "\ndone\n") || strings.Contains(r.out, "\x1b") || r.err != "" {
		t.Errorf("output %q\n%s", r.out, r.err)
	}
}

func TestFollowAsJSONIsOneObjectALine(t *testing.T) {
	t.Parallel()
	bus, env := startBus(t, "")
	play(t, bus, backupActor(bus), restoreActor(), dumperActor("cpu"))
	r := cli{env: env}.run(t, "request", "backup", "--follow", "--json").done(t)
	var types, subjects []string
	for line := range strings.Lines(r.out) {
		var l jsonLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if !slices.Contains(types, l.Type) {
			types = append(types, l.Type)
		}
		if l.Type == "event" {
			subjects = append(subjects, l.Subject)
		}
		if l.Type == "end" && (l.OK == nil || !*l.OK) {
			t.Errorf("end %s", line)
		}
	}
	if got := strings.Join(types, " "); got != "requested progress event end" {
		t.Errorf("types %s", got)
	}
	if got := strings.Join(subjects, " "); got != "backup.completed restore.completed dump.completed dump.completed" {
		t.Errorf("events %s", got)
	}
}

func TestFollowFailsAtOnceWithTheServicesWords(t *testing.T) {
	t.Parallel()
	bus, env := startBus(t, "")
	play(t, bus, actor{
		durable: "backup", takes: []string{events.BackupRequested}, plays: breaks("unknown database \"x\""), fails: &pb.BackupFailed{Day: chainDay},
	})
	r := cli{env: env}.run(t, "request", "backup", "--day", chainDay, "--follow")
	if r.code != service.ExitFailed {
		t.Errorf("exit code %d", r.code)
	}
	r.shows(t, "backup 2016-06-01: FAILED at step guard after 1 attempt: unknown database \"x\"\n", "\nfailed\n")
}

func TestFollowOfARestoreEndsWithTheDumpThatFailed(t *testing.T) {
	t.Parallel()
	bus, env := startBus(t, "")
	play(t, bus, restoreActor(), dumperActor("cpu"), actor{
		durable: "dumper-mem", takes: []string{events.RestoreCompleted}, plays: breaks("superseded"), fails: &pb.DumpFailed{Day: chainDay, Measurement: "mem"},
	})
	r := cli{env: env}.run(t, "request", "restore", chainDay, "--follow")
	if r.code != service.ExitFailed {
		t.Errorf("exit code %d", r.code)
	}
	r.shows(t, "dump mem 2016-06-01: FAILED", "dump cpu 2016-06-01: completed")
}

func TestFollowOfRequestedDumps(t *testing.T) {
	t.Parallel()
	bus, env := startBus(t, "")
	play(t, bus, actor{durable: "dumper", takes: []string{events.DumpRequested}, plays: says(
		&pb.DumpCompleted{Day: "2016-06-01", Measurement: "cpu", Object: "x", Records: 7, Complete: true},
		&pb.DumpCompleted{Day: "2016-06-02", Measurement: "cpu"},
	)})
	cli{env: env}.run(t, "request", "dump", "--measurement", "cpu", "--from", "2016-06-01", "--to", "2016-06-02", "--follow").done(t).shows(t,
		"dump cpu 2016-06-01: completed: 7 records", "dump cpu 2016-06-02: completed: no records, no object")
}

func TestFollowNamesADumperThatIsNotRunning(t *testing.T) {
	t.Parallel()
	bus, env := startBus(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	retired := make(chan struct{})
	go func() {
		defer close(retired)
		_ = bus.Consume(ctx, events.Consumer{Durable: "dumper-old", Subjects: []string{events.RestoreCompleted}, Handler: idle})
	}()
	play(t, bus, restoreActor(), dumperActor("cpu"))
	testbed.Eventually(t, patience, "the old durable", func() bool {
		states, err := bus.Consumers(t.Context())
		return err == nil && slices.ContainsFunc(states, func(s events.ConsumerState) bool { return s.Name == "dumper-old" })
	})
	cancel()
	<-retired
	cli{env: env}.run(t, "request", "restore", chainDay, "--follow").done(t).shows(t,
		"dump old 2016-06-01: not running: no process works for dumper-old", "dump cpu 2016-06-01: completed", "\ndone\n")
}

func idle(context.Context, *events.Delivery) ([]proto.Message, error) { return nil, nil }

func TestFollowOfAServiceThatIsNotRunningFails(t *testing.T) {
	t.Parallel()
	_, env := startBus(t, "")
	r := cli{env: env}.run(t, "request", "backup", "--follow", "--json")
	if r.code != service.ExitFailed {
		t.Errorf("exit code %d", r.code)
	}
	r.shows(t, `"fate":"notRunning"`, "services/backup", `"ok":false`, `"notRunning":["backup"]`)
}

func TestFollowEndsWithItsTimeout(t *testing.T) {
	t.Parallel()
	bus, env := startBus(t, "")
	backup, _, release := heldBackup()
	play(t, bus, backup)
	t.Cleanup(func() { close(release) })
	r := cli{env: env}.run(t, "request", "backup", "--follow", "--timeout", "2s")
	if r.code != service.ExitFailed || !strings.Contains(r.err, "--timeout: backup not done") {
		t.Errorf("exit code %d\n%s", r.code, r.err)
	}
}

// heldBackup is a backup that ends when the test says so.
func heldBackup() (a actor, began, release chan struct{}) {
	began, release = make(chan struct{}, 9), make(chan struct{})
	return actor{durable: "backup", takes: []string{events.BackupRequested}, plays: func(*events.Delivery) ([]proto.Message, error) {
		began <- struct{}{}
		<-release
		return []proto.Message{&pb.BackupCompleted{Day: chainDay}}, nil
	}}, began, release
}

func TestFollowOutlivesARestartOfNATS(t *testing.T) {
	t.Parallel()
	server := testbed.NATS(t, testbed.NATSOptions{SyncAlways: true})
	bus, env := busAt(t, server, "")
	backup, began, release := heldBackup()
	backup.attempts = 5 // NATS may be away when the answer is published
	play(t, bus, backup, restoreActor(), dumperActor("cpu"))
	go func() {
		<-began
		server.Restart()
		close(release)
	}()
	// A durable may be without a process for as long as its client reconnects.
	patient := func(a *app) { a.grace = patience }
	cli{env: env, change: patient}.run(t, "request", "backup", "--follow").done(t).shows(t, "dump cpu 2016-06-01: completed")
}

func TestInterruptedFollowSaysThatTheWorkGoesOn(t *testing.T) {
	t.Parallel()
	bus, env := startBus(t, "")
	backup, began, release := heldBackup()
	play(t, bus, backup)
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs buffer
	go func() {
		<-began
		// The work can begin before the stream's answer is here.
		testbed.Eventually(t, time.Minute, "the request to be reported", func() bool { return strings.Contains(out.String(), "requested:") })
		cancel()
	}()
	code := cli{env: env}.start(ctx, &out, &errs, []string{"request", "backup", "--follow"})
	if code != service.ExitFailed || !strings.Contains(errs.String(), "interrupted with backup not done; the services work on") {
		t.Errorf("exit code %d\n%s", code, errs.String())
	}
}

func TestFollowOnATerminalShowsBarsAndLeavesLines(t *testing.T) {
	t.Parallel()
	bus, env := startBus(t, "")
	play(t, bus, backupActor(bus), restoreActor(), dumperActor("cpu"))
	r := cli{env: env, change: func(a *app) {
		a.out.terminal, a.out.width = true, 100
	}}.run(t, "request", "backup", "--follow").done(t)
	r.shows(t, "backup  [", "shards, 1 of 2 shards, 500 B", "backup 2016-06-01: completed: 2 shards",
		"dump cpu 2016-06-01: completed: 8 records", "requested: backup.requested is event 1")
	if !strings.HasSuffix(r.out, "done\n") {
		t.Errorf("output %q", r.out)
	}
}
