package events_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	nightshardv1 "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

func TestHeartbeatKeepsALongJobWithOneReplica(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	one, two := connect(t, srv.URL), connect(t, srv.URL)
	var calls, busy atomic.Int32
	handler := func(ctx context.Context, _ *events.Delivery) ([]proto.Message, error) {
		calls.Add(1)
		if busy.Add(1) > 1 {
			t.Error("two replicas at work")
		}
		defer busy.Add(-1)
		select {
		case <-time.After(3 * ackWait):
		case <-ctx.Done():
			t.Error("job cancelled")
		}
		return completed("2026-11-22"), nil
	}
	consume(t, one, backups(handler))
	consume(t, two, backups(handler))
	publish(t, one, &nightshardv1.BackupRequested{Day: "1"}, "")
	publish(t, two, &nightshardv1.BackupRequested{Day: "2"}, "")
	awaitEvents(t, one, events.BackupCompleted, 2)
	awaitIdle(t, one, "backup")
	if calls.Load() != 2 {
		t.Errorf("%d calls for 2 events", calls.Load())
	}
}

func TestEventOfACutReplicaGoesToTheOtherOneAndTheFirstStaysSilent(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	line := newWire(t, srv.URL)
	var out logs
	cut, other := connect(t, line.URL(), logTo(&out)), connect(t, srv.URL)
	started, ended := make(chan bool, 1), make(chan error, 1)
	stop := consume(t, cut, backups(func(ctx context.Context, _ *events.Delivery) ([]proto.Message, error) {
		started <- true
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return completed("from the cut one"), nil
	}))
	publish(t, other, &nightshardv1.BackupRequested{}, "")
	receive(t, "first attempt", started)
	line.Cut()
	attempts := make(chan int, 1)
	consume(t, other, backups(func(_ context.Context, d *events.Delivery) ([]proto.Message, error) {
		attempts <- d.Attempt
		return completed("from the other"), nil
	}))
	if got := receive(t, "second attempt", attempts); got != 2 {
		t.Errorf("attempt %d", got)
	}
	if err := receive(t, "end of the cut job", ended); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("cause %v", err)
	}
	result, _ := awaitEvents(t, other, events.BackupCompleted, 1)[0].Message.(*nightshardv1.BackupCompleted)
	if result.GetDay() != "from the other" {
		t.Errorf("result %v", result)
	}
	stop()
	if out.count("event lost while at work") != 1 {
		t.Errorf("log: %s", out.String())
	}
}

func TestProcessThatDiesInEveryAttemptIsAFailureWithoutAnotherCall(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus := connect(t, srv.URL)
	c := backups(func(context.Context, *events.Delivery) ([]proto.Message, error) {
		t.Error("called beyond its attempts")
		return nil, nil
	})
	c.Attempts = 2
	js := plainJS(t, srv.URL)
	raw, err := js.CreateConsumer(t.Context(), "NIGHTSHARD", jetstream.ConsumerConfig{
		Durable: "backup", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: events.BackupRequested,
	})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, bus, &nightshardv1.BackupRequested{Day: "2026-11-22"}, "")
	for range c.Attempts { // each delivery is dropped, as by a process that dies
		msg, err := raw.Next()
		if err != nil {
			t.Fatal(err)
		}
		_ = msg.Nak()
	}
	consume(t, bus, c)
	failed, _ := awaitEvents(t, bus, events.BackupFailed, 1)[0].Message.(*nightshardv1.BackupFailed)
	if failed.GetAttempts() != 2 || failed.GetDay() != "2026-11-22" {
		t.Errorf("failed event %v", failed)
	}
}

func TestStoppedReplicaHandsItsEventOverAtOnce(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	long := func(c *events.Config) { c.AckWait = time.Minute }
	one, two := connect(t, srv.URL, long), connect(t, srv.URL, long)
	started := make(chan bool, 1)
	stop := consume(t, one, backups(func(ctx context.Context, _ *events.Delivery) ([]proto.Message, error) {
		started <- true
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	publish(t, two, &nightshardv1.BackupRequested{}, "")
	receive(t, "start", started)
	taken := make(chan time.Time, 1)
	consume(t, two, backups(func(context.Context, *events.Delivery) ([]proto.Message, error) {
		taken <- time.Now()
		return completed("2026-11-22"), nil
	}))
	stopped := time.Now()
	stop()
	if waited := receive(t, "hand-over", taken).Sub(stopped); waited > 10*time.Second {
		t.Errorf("handed over after %v", waited)
	}
	awaitEvents(t, two, events.BackupCompleted, 1)
	if n := len(history(t, two, events.BackupFailed)); n != 0 {
		t.Errorf("%d failed events", n)
	}
}

func TestJobThatIsDoneWhenTheServiceStopsCounts(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	started := make(chan bool, 1)
	stop := consume(t, bus, backups(func(ctx context.Context, _ *events.Delivery) ([]proto.Message, error) {
		started <- true
		<-ctx.Done()
		return completed("2026-11-22"), nil
	}))
	publish(t, bus, &nightshardv1.BackupRequested{}, "")
	receive(t, "start", started)
	stop()
	awaitEvents(t, bus, events.BackupCompleted, 1)
	awaitIdle(t, bus, "backup")
}

func TestRestartOfNATSDuringAJobDoesNotDisturbIt(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	patient := func(c *events.Config) { c.AckWait = 10 * time.Second }
	bus := connect(t, srv.URL, patient)
	started, finish := make(chan bool, 1), make(chan bool)
	var calls atomic.Int32
	consume(t, bus, backups(func(ctx context.Context, _ *events.Delivery) ([]proto.Message, error) {
		calls.Add(1)
		started <- true
		select {
		case <-finish:
			return completed("2026-11-22"), nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}))
	publish(t, bus, &nightshardv1.BackupRequested{}, "")
	receive(t, "start", started)
	srv.Shutdown()
	// The job ends while NATS is away: its result must wait for NATS.
	close(finish)
	<-time.After(300 * time.Millisecond)
	srv.Start()
	awaitEvents(t, bus, events.BackupCompleted, 1)
	awaitIdle(t, bus, "backup")
	if calls.Load() != 1 {
		t.Errorf("%d calls", calls.Load())
	}
	publish(t, bus, &nightshardv1.BackupRequested{}, "")
	awaitEvents(t, bus, events.BackupCompleted, 2)
}

func TestNATSAwayForLongerThanAckWaitRepeatsTheJobOnce(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	var out logs
	bus := connect(t, srv.URL, logTo(&out))
	started := make(chan int, 10)
	consume(t, bus, backups(func(ctx context.Context, d *events.Delivery) ([]proto.Message, error) {
		started <- d.Attempt
		if d.Attempt == 1 {
			<-ctx.Done()
			return nil, events.Permanent(context.Cause(ctx))
		}
		return completed("2026-11-22"), nil
	}))
	publish(t, bus, &nightshardv1.BackupRequested{}, "")
	receive(t, "start", started)
	srv.Shutdown()
	eventually(t, "job given up", func() bool { return out.count("event lost while at work") == 1 })
	srv.Start()
	if got := receive(t, "second attempt", started); got != 2 {
		t.Errorf("attempt %d", got)
	}
	awaitEvents(t, bus, events.BackupCompleted, 1)
	if n := len(history(t, bus, events.BackupFailed)); n != 0 {
		t.Errorf("%d failed events of a lost job", n)
	}
}

func TestRestartOfNATSWhileIdleIsSurvived(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus := connect(t, srv.URL, func(c *events.Config) { c.AckWait = 10 * time.Second })
	consume(t, bus, backups(func(context.Context, *events.Delivery) ([]proto.Message, error) { return completed("2026-11-22"), nil }))
	for n := 1; n <= 2; n++ {
		srv.Shutdown()
		if err := bus.Check(t.Context()); err == nil {
			t.Error("healthy without a server")
		}
		srv.Start()
		publish(t, bus, &nightshardv1.BackupRequested{}, "")
		awaitEvents(t, bus, events.BackupCompleted, n)
	}
}

func TestRemovedDurableIsMadeAgainWithoutLosingAnEvent(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus := connect(t, srv.URL)
	publish(t, bus, &nightshardv1.BackupRequested{Day: "before the service"}, "")
	days := make(chan string, 10)
	consume(t, bus, backups(events.Handle(func(_ context.Context, _ *events.Delivery, in *nightshardv1.BackupRequested) ([]proto.Message, error) {
		days <- in.GetDay()
		return completed(in.GetDay()), nil
	})))
	publish(t, bus, &nightshardv1.BackupRequested{Day: "1"}, "")
	if day := receive(t, "first event", days); day != "1" {
		t.Errorf("got %q", day)
	}
	awaitIdle(t, bus, "backup")
	js := plainJS(t, srv.URL)
	if err := js.DeleteConsumer(t.Context(), "NIGHTSHARD", "backup"); err != nil {
		t.Fatal(err)
	}
	publish(t, bus, &nightshardv1.BackupRequested{Day: "2"}, "")
	if day := receive(t, "event after the removal", days); day != "2" {
		t.Errorf("got %q", day)
	}
	awaitEvents(t, bus, events.BackupCompleted, 2)
	awaitIdle(t, bus, "backup")
}

func TestRemovedStreamIsMadeAgain(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus := connect(t, srv.URL)
	consume(t, bus, backups(func(context.Context, *events.Delivery) ([]proto.Message, error) { return completed("2026-11-22"), nil }))
	publish(t, bus, &nightshardv1.BackupRequested{}, "")
	awaitEvents(t, bus, events.BackupCompleted, 1)
	if err := plainJS(t, srv.URL).DeleteStream(t.Context(), "NIGHTSHARD"); err != nil {
		t.Fatal(err)
	}
	awaitDurable(t, bus, "backup")
	publish(t, bus, &nightshardv1.BackupRequested{}, "")
	awaitEvents(t, bus, events.BackupCompleted, 1)
}

func TestDurableOfAnEarlierVersionIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus := connect(t, srv.URL)
	js := plainJS(t, srv.URL)
	_, err := js.CreateConsumer(t.Context(), "NIGHTSHARD", jetstream.ConsumerConfig{
		Durable: "backup", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: events.RestoreRequested,
		MaxDeliver: 5, BackOff: []time.Duration{time.Second, time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	consume(t, bus, backups(func(context.Context, *events.Delivery) ([]proto.Message, error) { return completed("2026-11-22"), nil }))
	publish(t, bus, &nightshardv1.BackupRequested{}, "")
	awaitEvents(t, bus, events.BackupCompleted, 1)
	cons, err := js.Consumer(t.Context(), "NIGHTSHARD", "backup")
	if err != nil {
		t.Fatal(err)
	}
	if cfg := cons.CachedInfo().Config; cfg.AckWait != ackWait || cfg.MaxDeliver != -1 || cfg.MaxAckPending != 1 || len(cfg.BackOff) != 0 {
		t.Errorf("durable %+v", cfg)
	}
}

func TestDurableWithoutAcknowledgementIsRefused(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus := connect(t, srv.URL)
	_, err := plainJS(t, srv.URL).CreateConsumer(t.Context(), "NIGHTSHARD", jetstream.ConsumerConfig{
		Durable: "backup", AckPolicy: jetstream.AckNonePolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	err = bus.Consume(t.Context(), backups(func(context.Context, *events.Delivery) ([]proto.Message, error) { return nil, nil }))
	if err == nil {
		t.Error("accepted")
	}
}

func TestConsumeEndsWhenTheBusIsClosed(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	bus, err := events.Connect(ctx, events.Config{URL: srv.URL, AckWait: ackWait})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- bus.Consume(ctx, backups(func(context.Context, *events.Delivery) ([]proto.Message, error) { return nil, nil }))
	}()
	awaitDurable(t, bus, "backup")
	if err := bus.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "end of Consume", done); !errors.Is(err, events.ErrClosed) {
		t.Errorf("%v", err)
	}
	if err := bus.Close(ctx); err != nil {
		t.Errorf("second close: %v", err)
	}
}

// An event that the server has sent already when the service stops must not wait
// for AckWait.
func TestEventOnItsWayToAStoppingReplicaIsHandedOnAtOnce(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	line := newWire(t, srv.URL)
	long := func(c *events.Config) { c.AckWait = time.Minute }
	stopping, other := connect(t, line.URL(), long), connect(t, srv.URL, long)
	stop := consume(t, stopping, backups(func(context.Context, *events.Delivery) ([]proto.Message, error) {
		t.Error("called although it stops")
		return nil, nil
	}))
	awaitState(t, other, "a request", func(s events.ConsumerState) bool { return s.Waiting == 1 })
	line.answers.Lock()
	publish(t, other, &nightshardv1.BackupRequested{}, "")
	awaitState(t, other, "the delivery", func(s events.ConsumerState) bool { return s.AckPending == 1 })
	listening := srv.Server().NumSubscriptions()
	stopped := make(chan bool)
	go func() { stop(); close(stopped) }()
	eventually(t, "the stop to reach the server", func() bool { return srv.Server().NumSubscriptions() < listening })
	line.answers.Unlock()
	receive(t, "the stop", stopped)
	attempts := make(chan int, 1)
	consume(t, other, backups(func(_ context.Context, d *events.Delivery) ([]proto.Message, error) {
		attempts <- d.Attempt
		return nil, nil
	}))
	if got := receive(t, "the second delivery", attempts); got != 2 {
		t.Errorf("attempt %d", got)
	}
}

// awaitState waits for a state of the durable backup.
func awaitState(t *testing.T, bus *events.Bus, what string, ok func(events.ConsumerState) bool) {
	t.Helper()
	eventually(t, what, func() bool {
		states, err := bus.Consumers(t.Context())
		return err == nil && len(states) == 1 && ok(states[0])
	})
}
