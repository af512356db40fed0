package events_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	nightshardv1 "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

// backups is a consumer of backup requests.
func backups(handler events.Handler) events.Consumer {
	return events.Consumer{
		Durable: "backup", Subjects: []string{events.BackupRequested}, Retry: at(10 * time.Millisecond),
		Failed: backupFailed, Handler: handler,
	}
}

func TestResultIsPublishedUnderTheDeliverysID(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	seen := make(chan *events.Delivery, 1)
	consume(t, bus, backups(events.Handle(func(_ context.Context, d *events.Delivery, in *nightshardv1.BackupRequested) ([]proto.Message, error) {
		seen <- d
		return completed(in.GetDay()), nil
	})))
	seq := publish(t, bus, &nightshardv1.BackupRequested{Day: "2026-11-22"}, "nightly/2026-11-22")
	d := receive(t, "delivery", seen)
	if d.Attempt != 1 || d.MsgID != "nightly/2026-11-22" || !strings.HasPrefix(d.ID, fmt.Sprintf("%d@%d", seq, d.Time.UnixNano())) {
		t.Errorf("delivery %+v", d)
	}
	result := awaitEvents(t, bus, events.BackupCompleted, 1)[0]
	if want := "backup.completed/2026-11-22/" + d.ID; result.ID != want {
		t.Errorf("id %q, want %q", result.ID, want)
	}
	if request := history(t, bus, events.BackupRequested)[0]; request.DeliveryID() != d.ID {
		t.Errorf("the request's delivery id is %q, want %q", request.DeliveryID(), d.ID)
	}
}

func TestResultIDsHoldNoForeignCharacters(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	consume(t, bus, events.Consumer{
		Durable: "dumper", Subjects: []string{events.DumpRequested},
		Handler: func(context.Context, *events.Delivery) ([]proto.Message, error) {
			return []proto.Message{
				&nightshardv1.DumpCompleted{Day: "2026-11-22", Measurement: "cpu\r\nX: y"},
				&nightshardv1.DumpCompleted{Day: "2026-11-22", Measurement: "cpu"},
			}, nil
		},
	})
	publish(t, bus, &nightshardv1.DumpRequested{}, "")
	for i, event := range awaitEvents(t, bus, events.DumpCompleted, 2) {
		want := []string{"dump.completed/2026-11-22/cpu__X__y-", "dump.completed/2026-11-22/cpu/"}[i]
		if !strings.HasPrefix(event.ID, want) || strings.ContainsAny(event.ID, "\r\n") {
			t.Errorf("id %q, want %q", event.ID, want)
		}
	}
}

func TestForeignPublisherAndSubscriberTakePart(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus := connect(t, srv.URL)
	consume(t, bus, backups(func(context.Context, *events.Delivery) ([]proto.Message, error) { return completed("2026-11-22"), nil }))
	foreign := plain(t, srv.URL)
	seen := make(chan *nats.Msg, 10)
	if _, err := foreign.ChanSubscribe("backup.>", seen); err != nil {
		t.Fatal(err)
	}
	if _, err := foreign.Request("backup.requested", []byte(`{}`), patience); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"backup.requested", "backup.completed"} {
		if msg := receive(t, want, seen); msg.Subject != want {
			t.Errorf("got %s, want %s", msg.Subject, want)
		}
	}
}

func TestFailedAttemptIsRepeatedUntilItSucceeds(t *testing.T) {
	t.Parallel()
	var out logs
	bus := connect(t, startNATS(t).URL, logTo(&out))
	attempts := make(chan int, 10)
	consume(t, bus, backups(func(_ context.Context, d *events.Delivery) ([]proto.Message, error) {
		attempts <- d.Attempt
		if d.Attempt < 3 {
			return nil, events.Step("stream shards", errors.New("broken pipe"))
		}
		return completed("2026-11-22"), nil
	}))
	publish(t, bus, &nightshardv1.BackupRequested{}, "")
	for want := 1; want <= 3; want++ {
		if got := receive(t, "attempt", attempts); got != want {
			t.Errorf("attempt %d, want %d", got, want)
		}
	}
	awaitIdle(t, bus, "backup")
	if n := len(history(t, bus, events.BackupFailed)); n != 0 {
		t.Errorf("%d failed events", n)
	}
	eventually(t, "log of the outcome", func() bool { return out.count(`"message":"event done"`) == 1 })
	if out.count(`"step":"stream shards"`) != 2 || out.count(`"level":"warn"`) != 2 {
		t.Errorf("log: %s", out.String())
	}
}

func TestExhaustedAttemptsPublishOneFailedEventAndTheNextIsServed(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	var calls atomic.Int32
	c := backups(func(_ context.Context, d *events.Delivery) ([]proto.Message, error) {
		if in, ok := d.Message.(*nightshardv1.BackupRequested); ok && in.GetDay() == "good" {
			return completed("good"), nil
		}
		calls.Add(1)
		return nil, events.Step("check", errors.New("size differs"))
	})
	c.Attempts = 3
	consume(t, bus, c)
	publish(t, bus, &nightshardv1.BackupRequested{Day: "bad"}, "")
	publish(t, bus, &nightshardv1.BackupRequested{Day: "good"}, "")
	awaitEvents(t, bus, events.BackupCompleted, 1)
	failed, ok := awaitEvents(t, bus, events.BackupFailed, 1)[0].Message.(*nightshardv1.BackupFailed)
	want := &nightshardv1.BackupFailed{Day: "bad", Error: "size differs", Step: "check", Attempts: 3, Final: true, Schema: events.Schema}
	if !ok || !proto.Equal(failed, want) {
		t.Errorf("got %v, want %v", failed, want)
	}
	if calls.Load() != 3 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestPermanentErrorIsNotRepeated(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	var calls atomic.Int32
	consume(t, bus, backups(func(context.Context, *events.Delivery) ([]proto.Message, error) {
		calls.Add(1)
		return nil, events.Permanent(errors.New("unknown database \xff" + strings.Repeat("ä", 5000)))
	}))
	publish(t, bus, &nightshardv1.BackupRequested{}, "")
	failed, _ := awaitEvents(t, bus, events.BackupFailed, 1)[0].Message.(*nightshardv1.BackupFailed)
	if failed.GetAttempts() != 1 || !failed.GetFinal() || !strings.HasPrefix(failed.GetError(), "unknown database") || len(failed.GetError()) > 4100 {
		t.Errorf("failed event %v", failed)
	}
	awaitIdle(t, bus, "backup")
	if calls.Load() != 1 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestUnreadableBodyFailsWithoutTheHandler(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus := connect(t, srv.URL)
	consume(t, bus, backups(func(_ context.Context, d *events.Delivery) ([]proto.Message, error) {
		t.Errorf("handler called with %v", d.Message)
		return nil, nil
	}))
	if _, err := plain(t, srv.URL).Request("backup.requested", []byte(`{"day":`), patience); err != nil {
		t.Fatal(err)
	}
	failed, _ := awaitEvents(t, bus, events.BackupFailed, 1)[0].Message.(*nightshardv1.BackupFailed)
	if failed.GetStep() != "read event" || !failed.GetFinal() || failed.GetAttempts() != 1 || failed.GetError() == "" {
		t.Errorf("failed event %v", failed)
	}
	awaitIdle(t, bus, "backup")
}

func TestUnknownFieldsOfANewerServiceAreIgnored(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus := connect(t, srv.URL)
	consume(t, bus, backups(events.Handle(func(_ context.Context, _ *events.Delivery, in *nightshardv1.BackupRequested) ([]proto.Message, error) {
		return completed(in.GetDay()), nil
	})))
	if _, err := plain(t, srv.URL).Request("backup.requested", []byte(`{"day":"2026-11-22","colour":"red"}`), patience); err != nil {
		t.Fatal(err)
	}
	awaitEvents(t, bus, events.BackupCompleted, 1)
}

func TestPanicIsAnErrorWithItsStackInTheLog(t *testing.T) {
	t.Parallel()
	var out logs
	bus := connect(t, startNATS(t).URL, logTo(&out))
	c := backups(func(context.Context, *events.Delivery) ([]proto.Message, error) { panic("index out of range") })
	c.Attempts = 2
	consume(t, bus, c)
	publish(t, bus, &nightshardv1.BackupRequested{}, "")
	failed, _ := awaitEvents(t, bus, events.BackupFailed, 1)[0].Message.(*nightshardv1.BackupFailed)
	if failed.GetError() != "panic: index out of range" || failed.GetAttempts() != 2 {
		t.Errorf("failed event %v", failed)
	}
	eventually(t, "stack in the log", func() bool { return out.count("job_test.go") >= 2 })
}

func TestPanicWhileBuildingTheFailedEventDoesNotBlockTheNext(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	c := backups(events.Handle(func(_ context.Context, _ *events.Delivery, in *nightshardv1.BackupRequested) ([]proto.Message, error) {
		if in.GetDay() == "bad" {
			return nil, events.Permanent(errors.New("bad"))
		}
		return completed(in.GetDay()), nil
	}))
	c.Failed = func(*events.Delivery, error) proto.Message { panic("oops") }
	consume(t, bus, c)
	publish(t, bus, &nightshardv1.BackupRequested{Day: "bad"}, "")
	publish(t, bus, &nightshardv1.BackupRequested{Day: "good"}, "")
	awaitEvents(t, bus, events.BackupCompleted, 1)
}

func TestResultThatIsNoEventIsReportedAsFailure(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	c := backups(func(context.Context, *events.Delivery) ([]proto.Message, error) {
		return []proto.Message{&nightshardv1.Progress{}}, nil
	})
	c.Attempts = 2
	consume(t, bus, c)
	publish(t, bus, &nightshardv1.BackupRequested{}, "")
	awaitEvents(t, bus, events.BackupFailed, 1)
}

func TestRepeatedPublishIsDroppedButASecondRunIsNot(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	consume(t, bus, backups(func(context.Context, *events.Delivery) ([]proto.Message, error) { return completed("2026-11-22"), nil }))
	first := publish(t, bus, &nightshardv1.BackupRequested{Day: "2026-11-22"}, "nightly/2026-11-22")
	if again := publish(t, bus, &nightshardv1.BackupRequested{Day: "2026-11-22"}, "nightly/2026-11-22"); again != first {
		t.Errorf("repetition stored as %d, first %d", again, first)
	}
	awaitEvents(t, bus, events.BackupCompleted, 1)
	publish(t, bus, &nightshardv1.BackupRequested{Day: "2026-11-22"}, "")
	awaitEvents(t, bus, events.BackupCompleted, 2)
	if n := len(history(t, bus, events.BackupRequested)); n != 2 {
		t.Errorf("%d requests stored", n)
	}
}

func TestPublishRefusesTheWrongSubject(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	if _, err := bus.Publish(t.Context(), events.BackupFailed, &nightshardv1.BackupRequested{}, ""); !errors.Is(err, events.ErrUnknownSubject) {
		t.Errorf("%v", err)
	}
}

func TestWrongConsumersAreRefused(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	good := backups(func(context.Context, *events.Delivery) ([]proto.Message, error) { return nil, nil })
	for name, change := range map[string]func(*events.Consumer){
		"name":     func(c *events.Consumer) { c.Durable = "a.b" },
		"handler":  func(c *events.Consumer) { c.Handler = nil },
		"subjects": func(c *events.Consumer) { c.Subjects = nil },
		"unknown":  func(c *events.Consumer) { c.Subjects = []string{"backup.wished"} },
	} {
		c := good
		change(&c)
		if err := bus.Consume(t.Context(), c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
