package main

import (
	"context"
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/service"
)

// asker asks for the nightly backups. Every replica runs one; the message id
// names the day, so that the stream takes one request a night.
type asker struct {
	schedule cron.Schedule
	loc      *time.Location
	rule     night.Rule
	bus      bus
	now      func() time.Time
	log      zerolog.Logger
}

// bus is what the asker needs of the events.
type bus interface {
	Publish(ctx context.Context, subject string, msg proto.Message, id string) (uint64, error)
	Requested(ctx context.Context, subject, id string, since time.Time) (bool, error)
	StreamCreated(ctx context.Context) (time.Time, error)
}

// askTimeout bounds one try to ask; NATS may be away.
const askTimeout = 30 * time.Second

// run asks at each due time until ctx ends. First it asks for the night that
// came due while no replica ran, if there was one.
func (a *asker) run(ctx context.Context) error {
	if a.schedule == nil {
		<-ctx.Done()
		return nil
	}
	if due := a.lastDue(a.now()); !due.IsZero() {
		a.insist(ctx, func(ctx context.Context) error { return a.catchUp(ctx, due) })
	}
	for {
		due := a.schedule.Next(a.now().In(a.loc))
		if err := a.until(ctx, due); err != nil {
			return nil //nolint:nilerr // the end of ctx is the regular end
		}
		a.insist(ctx, func(ctx context.Context) error { return a.ask(ctx, due, "schedule") })
	}
}

// until waits for the instant due by the wall clock. It looks again each
// minute: a timer alone would be late after the machine slept or its clock was
// set.
func (a *asker) until(ctx context.Context, due time.Time) error {
	for {
		left := due.Sub(a.now())
		if left <= 0 {
			return nil
		}
		if err := service.Pause(ctx, min(left, time.Minute)); err != nil {
			return err
		}
	}
}

// insist tries until ask succeeds or ctx ends: a night must not be lost because
// NATS was away for a moment.
func (a *asker) insist(ctx context.Context, ask func(context.Context) error) {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		tctx, cancel := context.WithTimeout(ctx, askTimeout)
		err := ask(tctx)
		cancel()
		if err == nil || ctx.Err() != nil {
			return
		}
		a.log.Error().Err(err).Dur("wait", wait).Msg("nightly backup could not be asked for; trying again")
		if service.Pause(ctx, wait) != nil {
			return
		}
	}
}

// catchUp asks for the night that was due last, unless it was asked for, or the
// stream is younger than that: then there was no Nightshard to miss it.
func (a *asker) catchUp(ctx context.Context, due time.Time) error {
	created, err := a.bus.StreamCreated(ctx)
	if err != nil {
		return fmt.Errorf("look for a missed night: %w", err)
	}
	if created.After(due) {
		return nil
	}
	// The clocks of two machines differ: look a little further back.
	asked, err := a.bus.Requested(ctx, events.BackupRequested, a.id(due), due.Add(-time.Hour))
	if err != nil {
		return fmt.Errorf("look for a missed night: %w", err)
	}
	if asked {
		return nil
	}
	return a.ask(ctx, due, "missed: no replica ran when it came due")
}

// ask publishes the request of the night that came due then.
func (a *asker) ask(ctx context.Context, due time.Time, reason string) error {
	day := a.rule.Day(due, a.loc)
	seq, err := a.bus.Publish(ctx, events.BackupRequested, &pb.BackupRequested{Day: day.String(), Reason: reason}, a.id(due))
	if err != nil {
		return fmt.Errorf("ask for %s: %w", day, err)
	}
	a.log.Info().Str("day", day.String()).Str("reason", reason).Uint64("seq", seq).Msg("nightly backup asked for")
	return nil
}

// id names the night, so that several replicas ask once.
func (a *asker) id(due time.Time) string {
	return "nightly/" + a.rule.Day(due, a.loc).String()
}

// lastDue is the latest due time up to now, zero if there was none within the
// last month.
func (a *asker) lastDue(now time.Time) time.Time {
	now = now.In(a.loc)
	// Schedules are daily as a rule; a wider look costs only loop steps.
	for _, back := range []time.Duration{25 * time.Hour, 8 * 24 * time.Hour, 32 * 24 * time.Hour} {
		var last time.Time
		for t := a.schedule.Next(now.Add(-back)); !t.IsZero() && !t.After(now); t = a.schedule.Next(t) {
			last = t
		}
		if !last.IsZero() {
			return last
		}
	}
	return time.Time{}
}
