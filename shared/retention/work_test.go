package retention_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/retention"
	"nightshard/shared/testbed"
)

// patience bounds every wait of a test. It is no measurement.
const patience = 60 * time.Second

// desk is a bus with services whose work does not end.
type desk struct {
	t   *testing.T
	bus *events.Bus
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	server := testbed.NATS(t, testbed.NATSOptions{})
	bus, err := events.Connect(t.Context(), events.Config{URL: server.URL, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close(context.WithoutCancel(t.Context())) })
	return &desk{t: t, bus: bus}
}

// serve starts a durable; stop ends it. It is busy with each event until then if
// busy is true, else done at once.
func (d *desk) serve(durable string, busy bool, subjects ...string) (stop func()) {
	ctx, cancel := context.WithCancel(d.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := d.bus.Consume(ctx, events.Consumer{
			Durable: durable, Subjects: subjects, Deliver: events.DeliverLast,
			Failed: func(*events.Delivery, error) proto.Message { return &pb.BackupFailed{} },
			Handler: func(ctx context.Context, _ *events.Delivery) ([]proto.Message, error) {
				if busy {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return nil, nil
			},
		})
		if err != nil {
			d.t.Errorf("consume %s: %v", durable, err)
		}
	}()
	stop = func() { cancel(); <-ended }
	d.t.Cleanup(stop)
	testbed.Eventually(d.t, patience, "durable "+durable, func() bool {
		states, err := d.bus.Consumers(d.t.Context())
		return err == nil && slices.ContainsFunc(states, func(s events.ConsumerState) bool { return s.Name == durable })
	})
	return stop
}

func (d *desk) publish(messages ...proto.Message) {
	d.t.Helper()
	for _, m := range messages {
		subject, _ := events.SubjectOf(m)
		if _, err := d.bus.Publish(d.t.Context(), subject, m, ""); err != nil {
			d.t.Fatal(err)
		}
	}
}

// busy waits until the days that are worked on are these.
func (d *desk) busy(want string) {
	d.t.Helper()
	var got string
	testbed.Eventually(d.t, patience, "busy days "+want, func() bool {
		days, err := retention.Work(d.bus)(d.t.Context())
		if err != nil {
			d.t.Fatal(err)
		}
		var all []string
		for day, who := range days {
			if who == "" {
				d.t.Errorf("nobody is said to work on %s", day)
			}
			all = append(all, day.String())
		}
		slices.Sort(all)
		if now := strings.Join(all, " "); now != got {
			d.t.Logf("busy: %s", now)
			got = now
		}
		return got == want
	})
}

func TestDaysOfEventsThatAreNotDoneAreBusy(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.publish(&pb.RestoreRequested{Day: "2015-01-01"}) // long done by the time a durable begins with the last
	d.publish(&pb.RestoreRequested{Day: "2016-06-01"})
	stop := d.serve("restore", true, events.RestoreRequested, events.BackupCompleted)
	d.busy("2016-06-01")
	d.publish(&pb.BackupCompleted{Day: "2016-06-09"}, &pb.BackupRequested{Day: "2016-06-08"})
	d.busy("2016-06-01 2016-06-09")
	d.serve("backup", true, events.BackupRequested)
	d.busy("2016-06-01 2016-06-08 2016-06-09")
	stop()
	d.serve("restore", false, events.RestoreRequested, events.BackupCompleted)
	d.busy("2016-06-08")
}

func TestADumpersDaysReachBackAWeek(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.serve("dumper-cpu", true, events.RestoreCompleted)
	d.publish(&pb.RestoreCompleted{Day: "2016-06-09"})
	d.busy("2016-06-02 2016-06-03 2016-06-04 2016-06-05 2016-06-06 2016-06-07 2016-06-08 2016-06-09")
}

func TestARetiredDumperHoldsNoDaysButTheNewest(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	stop := d.serve("dumper-cpu", false, events.RestoreCompleted)
	stop()
	d.publish(&pb.RestoreCompleted{Day: "2015-01-09"}, &pb.RestoreCompleted{Day: "2016-06-09"})
	d.busy("2016-06-02 2016-06-03 2016-06-04 2016-06-05 2016-06-06 2016-06-07 2016-06-08 2016-06-09")
}

func TestRequestedDumpsAreBusyAndStrangersAreNot(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.serve("dumper", true, events.DumpRequested)
	d.serve("somebody-else", true, events.BackupCompleted)
	d.publish(&pb.BackupCompleted{Day: "2016-01-01"}, &pb.DumpRequested{Measurement: "cpu", From: "2016-06-01", To: "2016-06-02"})
	d.busy("2016-06-01 2016-06-02")
	d.publish(&pb.DumpRequested{Measurement: "cpu", From: "2016-06-05"}, &pb.DumpRequested{Measurement: "cpu", From: "2016-06-32"})
	d.busy("2016-06-01 2016-06-02 2016-06-05")
}
