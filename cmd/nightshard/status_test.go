package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/objstore/memory"
	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// busyHouse has a night behind it and a backup at work.
func busyHouse(t *testing.T) map[string]string {
	t.Helper()
	bus, env := startBus(t, "")
	release := make(chan struct{})
	play(t, bus, actor{durable: "backup", takes: []string{events.BackupRequested}, plays: func(*events.Delivery) ([]proto.Message, error) {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-release:
				return nil, nil
			case <-tick.C:
				bus.Progress(&pb.Progress{Service: "backup", Day: "2016-06-05", Step: "shards", Unit: "shards", Done: 1, Total: 4, Bytes: 1500})
			}
		}
	}}, restoreActor(), dumperActor("cpu"))
	t.Cleanup(func() { close(release) })
	for _, msg := range []proto.Message{
		&pb.BackupFailed{Day: "2016-05-31", Step: "stream", Attempts: 5, Error: "read shard 9: connection reset"},
		&pb.BackupCompleted{Day: chainDay, Shards: 2, Bytes: 1000}, &pb.BackupRequested{},
	} {
		subject, _ := events.SubjectOf(msg)
		if _, err := bus.Publish(t.Context(), subject, msg, ""); err != nil {
			t.Fatal(err)
		}
	}
	testbed.Eventually(t, patience, "the night's dump and the backup's work", func() bool {
		dumped := false
		err := bus.History(t.Context(), events.FromLast(), func(events.Event) error { dumped = true; return nil }, events.DumpCompleted)
		states, listErr := bus.Consumers(t.Context())
		return err == nil && listErr == nil && dumped && states[0].AckPending == 1
	})
	return env
}

func TestStatusShowsWorkEventsAndTheNewestDay(t *testing.T) {
	t.Parallel()
	r := cli{env: busyHouse(t), store: house(t)}.run(t, "status").done(t)
	for _, want := range []string{
		`(?m)^NATS    nats://127\.0\.0\.1:\d+, stream NIGHTSHARD$`,
		`(?m)^Newest  2016-06-02, 2 shards, 1\.1 kB, \d+s old, drill: FAILED, 1 difference$`,
		`(?m)^backup +working +0 +0 +\S+ +backup\.requested$`,
		`(?m)^dumper-cpu +waiting +0 +0 +\d+s +restore\.completed$`,
		`(?m)^  backup 2016-06-05: shards, 1 of 4 shards, 1\.5 kB$`,
		`(?m)^backup\.completed +2016-06-01 +\d+s +completed: 2 shards`,
		`(?m)^backup\.failed +2016-05-31 +\d+s +FAILED at step stream after 5 attempts: read shard 9: connection reset$`,
		`(?m)^dump\.completed +2016-06-01 +\d+s +cpu completed: 8 records`,
	} {
		if !regexp.MustCompile(want).MatchString(r.out) {
			t.Errorf("no line like %s in\n%s", want, r.out)
		}
	}
}

func TestStatusAsJSON(t *testing.T) {
	t.Parallel()
	r := decode[statusReport](t, cli{env: busyHouse(t), store: house(t)}.run(t, "status", "--json").done(t))
	if r.NATS.Stream != "NIGHTSHARD" || r.Swift.Newest == nil || r.Swift.Newest.Day != "2016-06-02" {
		t.Errorf("report %+v", r)
	}
	if len(r.Consumers) != 3 || r.Consumers[0].State != consumerWorking || r.Consumers[2].State != consumerWaiting || r.Consumers[2].Processes != 1 {
		t.Errorf("consumers %+v", r.Consumers)
	}
	if len(r.Progress) != 1 || len(r.Events) != 4 {
		t.Errorf("progress %+v, events %+v", r.Progress, r.Events)
	}
}

func TestStatusOfANewHouseSaysWhatToDo(t *testing.T) {
	t.Parallel()
	_, env := startBus(t, "")
	cli{env: env, store: memory.New()}.run(t, "status").done(t).shows(t,
		"no finished day yet", "No service has been started yet", "nightshard request backup --follow")
}

func TestStatusShowsWhatItCanAndFails(t *testing.T) {
	t.Parallel()
	_, env := startBus(t, "")
	r := cli{env: env}.run(t, "status")
	if r.code != service.ExitFailed || !strings.Contains(r.out, "stream NIGHTSHARD") || !strings.Contains(r.out, "ST_AUTH") {
		t.Errorf("without Swift: exit code %d\n%s", r.code, r.out)
	}
	r = cli{store: house(t), change: hasty}.run(t, "status")
	if r.code != service.ExitFailed || !strings.Contains(r.out, "Newest  2016-06-02") || !strings.Contains(r.out, "NATS_URL") {
		t.Errorf("without NATS: exit code %d\n%s", r.code, r.out)
	}
}

func TestConsumerNobodyWorksForIsNotRunning(t *testing.T) {
	t.Parallel()
	gone := events.ConsumerState{Name: "dumper-cpu", Pending: 2}
	between := events.ConsumerState{Name: "dumper-mem"}
	seen := events.ConsumerState{Name: "dumper-mem", Waiting: 2}
	reports := consumerReports([]events.ConsumerState{gone, seen}, []events.ConsumerState{gone, between})
	if reports[0].State != consumerAbsent || reports[0].Pending != 2 {
		t.Errorf("gone: %+v", reports[0])
	}
	if reports[1].State != consumerWaiting || reports[1].Processes != 2 {
		t.Errorf("between two requests: %+v", reports[1])
	}
}
