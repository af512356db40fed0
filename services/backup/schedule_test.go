package main

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
)

// askedBus records what is asked for. The real bus is tried in the whole
// nights; here the clock is what matters.
type askedBus struct {
	mu      sync.Mutex
	created time.Time
	asked   map[string]*pb.BackupRequested
	tries   int
	fail    int // how many calls fail first
}

func (b *askedBus) Publish(_ context.Context, subject string, msg proto.Message, id string) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries++
	if b.fail > 0 {
		b.fail--
		return 0, errors.New("NATS is away")
	}
	if _, ok := b.asked[id]; !ok && subject == events.BackupRequested {
		b.asked[id] = msg.(*pb.BackupRequested)
	}
	return uint64(len(b.asked)), nil
}

func (b *askedBus) Requested(_ context.Context, _, id string, _ time.Time) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.asked[id]
	return ok, nil
}

func (b *askedBus) StreamCreated(context.Context) (time.Time, error) { return b.created, nil }

func newAsker(t *testing.T, spec, zone string, rule night.Rule, bus bus) *asker {
	t.Helper()
	schedule, err := parseSchedule(spec)
	if err != nil {
		t.Fatal(err)
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return &asker{schedule: schedule, loc: loc, rule: rule, bus: bus, now: time.Now, log: zerolog.Nop()}
}

// runFor runs the asker in the bubble's clock for d, then ends it.
func runFor(t *testing.T, a *asker, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.run(ctx) }()
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The bubble's clock begins at 2000-01-01 00:00 UTC.

func TestEachNightIsAskedForOnceByEachOfTwoReplicas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus := &askedBus{created: time.Now(), asked: map[string]*pb.BackupRequested{}}
		a := newAsker(t, "55 23 * * *", "UTC", night.Today, bus)
		b := newAsker(t, "55 23 * * *", "UTC", night.Today, bus)
		go runFor(t, b, 72*time.Hour-time.Minute)
		runFor(t, a, 72*time.Hour-time.Minute)
		synctest.Wait()
		if len(bus.asked) != 3 || bus.asked["nightly/2000-01-01"].GetDay() != "2000-01-01" || bus.asked["nightly/2000-01-03"] == nil {
			t.Errorf("asked for %v", bus.asked)
		}
		if bus.tries != 6 {
			t.Errorf("%d publishes, want 6", bus.tries)
		}
	})
}

func TestADayIsNamedInTheConfiguredZone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus := &askedBus{created: time.Now(), asked: map[string]*pb.BackupRequested{}}
		runFor(t, newAsker(t, "10 0 * * *", "Asia/Tokyo", night.Yesterday, bus), 20*time.Hour)
		// 00:10 on the 2nd in Tokyo is 15:10 UTC on the 1st.
		if len(bus.asked) != 1 || bus.asked["nightly/2000-01-01"] == nil {
			t.Errorf("asked for %v", bus.asked)
		}
	})
}

func TestAMissedNightIsAskedForAtStartOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus := &askedBus{created: time.Now().AddDate(0, 0, -3), asked: map[string]*pb.BackupRequested{}}
		for range 2 {
			runFor(t, newAsker(t, "55 23 * * *", "UTC", night.Today, bus), time.Hour)
		}
		if req := bus.asked["nightly/1999-12-31"]; len(bus.asked) != 1 || req == nil || req.GetReason() == "schedule" {
			t.Errorf("asked for %v", bus.asked)
		}
		if bus.tries != 1 {
			t.Errorf("published %d times, want once", bus.tries)
		}
	})
}

func TestANewInstallationHasMissedNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus := &askedBus{created: time.Now(), asked: map[string]*pb.BackupRequested{}}
		runFor(t, newAsker(t, "55 23 * * *", "UTC", night.Today, bus), time.Hour)
		if len(bus.asked) != 0 {
			t.Errorf("asked for %v", bus.asked)
		}
	})
}

func TestANightIsNotLostWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus := &askedBus{created: time.Now(), asked: map[string]*pb.BackupRequested{}, fail: 10}
		runFor(t, newAsker(t, "55 23 * * *", "UTC", night.Today, bus), 25*time.Hour)
		if bus.asked["nightly/2000-01-01"] == nil {
			t.Errorf("asked for %v after %d tries", bus.asked, bus.tries)
		}
	})
}

func TestScheduleOffAsksForNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus := &askedBus{created: time.Now().AddDate(0, 0, -3), asked: map[string]*pb.BackupRequested{}}
		runFor(t, newAsker(t, "off", "UTC", night.Today, bus), 48*time.Hour)
		if bus.tries != 0 {
			t.Errorf("asked %d times", bus.tries)
		}
	})
}

func TestLastDueFindsWeeklySchedules(t *testing.T) {
	t.Parallel()
	a := newAsker(t, "0 3 * * 0", "Europe/Berlin", night.Today, nil)
	now := time.Date(2016, 6, 8, 12, 0, 0, 0, time.UTC) // a Wednesday
	if got := a.lastDue(now); !got.Equal(time.Date(2016, 6, 5, 1, 0, 0, 0, time.UTC)) {
		t.Errorf("last due %s", got)
	}
}
