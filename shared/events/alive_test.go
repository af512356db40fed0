package events_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	nightshardv1 "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

// An hour without a sign of life is too long for anything but a job.
func inAnHour(bus *events.Bus) error { return bus.AliveAt(time.Now().Add(time.Hour)) }

func TestLongJobIsAliveAndIdleWorkerMustBeHeardOf(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	began, end := make(chan struct{}, 1), make(chan struct{})
	stop := consume(t, bus, backups(func(context.Context, *events.Delivery) ([]proto.Message, error) {
		began <- struct{}{}
		<-end
		return completed("2026-11-22"), nil
	}))
	if err := bus.Alive(); err != nil {
		t.Errorf("idle: %v", err)
	}
	if err := inAnHour(bus); err == nil || !strings.Contains(err.Error(), "consumer backup") {
		t.Errorf("a consumer that does not ask for events for an hour: %v", err)
	}
	publish(t, bus, &nightshardv1.BackupRequested{}, "")
	receive(t, "job", began)
	if err := inAnHour(bus); err != nil {
		t.Errorf("at work: %v", err)
	}
	close(end)
	awaitIdle(t, bus, "backup")
	stop()
	if err := inAnHour(bus); err != nil {
		t.Errorf("ended: %v", err)
	}
}

// The handler has lost its event and goes on all the same: nothing but the end
// of the process helps.
func TestHandlerThatDoesNotReturnWhenItMustIsNotAlive(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	cable := newWire(t, srv.URL)
	bus := connect(t, cable.URL())
	began, end := make(chan struct{}, 1), make(chan struct{})
	stop := consume(t, bus, backups(func(context.Context, *events.Delivery) ([]proto.Message, error) {
		began <- struct{}{}
		<-end
		return nil, nil
	}))
	publish(t, bus, &nightshardv1.BackupRequested{}, "")
	receive(t, "job", began)
	if err := inAnHour(bus); err != nil {
		t.Errorf("at work: %v", err)
	}
	cable.Cut()
	eventually(t, "word of the handler that hangs", func() bool { return inAnHour(bus) != nil })
	if err := bus.Alive(); err != nil {
		t.Errorf("it may need a moment to return: %v", err)
	}
	close(end)
	stop()
}

func TestWorkingIsToldOnceAllConsumersHaveTheirDurables(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	told := make(chan struct{}, 2)
	bus.WhenWorking(2, func() { told <- struct{}{} })
	consume(t, bus, dumper("dumper-cpu", make(chan string, 1)))
	select {
	case <-told:
		t.Error("told after the first of two")
	default:
	}
	stop := consume(t, bus, dumper("dumper-mem", make(chan string, 1)))
	receive(t, "word that both work", told)
	stop()
	consume(t, bus, dumper("dumper-mem", make(chan string, 1)))
	if len(told) != 0 {
		t.Error("told twice")
	}
}
