package events_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	nightshardv1 "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

// dumper collects the days and measurements that a dumper is given.
func dumper(durable string, seen chan<- string) events.Consumer {
	return events.Consumer{
		Durable: durable, Deliver: events.DeliverLast, Subjects: []string{events.RestoreCompleted, events.DumpRequested},
		Handler: func(_ context.Context, d *events.Delivery) ([]proto.Message, error) {
			switch in := d.Message.(type) {
			case *nightshardv1.RestoreCompleted:
				seen <- in.GetDay()
			case *nightshardv1.DumpRequested:
				seen <- in.GetMeasurement()
			}
			return nil, nil
		},
	}
}

func TestNewDumperBeginsWithTheNewestRestoreOnly(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	for _, msg := range []proto.Message{
		&nightshardv1.DumpRequested{Measurement: "older request"},
		&nightshardv1.RestoreCompleted{Day: "1"},
		&nightshardv1.RestoreCompleted{Day: "2"},
		&nightshardv1.BackupRequested{},
		&nightshardv1.DumpRequested{Measurement: "newer request"},
		&nightshardv1.BackupCompleted{},
	} {
		publish(t, bus, msg, "")
	}
	seen := make(chan string, 10)
	consume(t, bus, dumper("dumper-cpu", seen))
	publish(t, bus, &nightshardv1.RestoreCompleted{Day: "3"}, "")
	for _, want := range []string{"2", "newer request", "3"} {
		if got := receive(t, want, seen); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNewDurableBeginsWithTheRequestThatWaits(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	publish(t, bus, &nightshardv1.DumpRequested{Measurement: "old"}, "")
	publish(t, bus, &nightshardv1.DumpRequested{Measurement: "waiting"}, "")
	seen := make(chan string, 10)
	consume(t, bus, dumper("dumper-cpu", seen))
	publish(t, bus, &nightshardv1.DumpRequested{Measurement: "new"}, "")
	for _, want := range []string{"waiting", "new"} {
		if got := receive(t, want, seen); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestDurableGoesOnWhereItWasAndEachHasItsOwnCopy(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	cpu, disk := make(chan string, 10), make(chan string, 10)
	stop := consume(t, bus, dumper("dumper-cpu", cpu))
	consume(t, bus, dumper("dumper-disk", disk))
	publish(t, bus, &nightshardv1.RestoreCompleted{Day: "1"}, "")
	receive(t, "cpu", cpu)
	receive(t, "disk", disk)
	awaitIdle(t, bus, "dumper-cpu")
	stop()
	publish(t, bus, &nightshardv1.RestoreCompleted{Day: "2"}, "")
	publish(t, bus, &nightshardv1.RestoreCompleted{Day: "3"}, "")
	consume(t, bus, dumper("dumper-cpu", cpu))
	for _, want := range []string{"2", "3"} {
		if got := receive(t, want, cpu); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// watch collects the days of backup requests until the test ends.
func watch(t *testing.T, bus *events.Bus, start events.Start) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	days, done := make(chan string, 1000), make(chan error, 1)
	go func() {
		done <- bus.Watch(ctx, start, func(e events.Event) error {
			in, _ := e.Message.(*nightshardv1.BackupRequested)
			days <- in.GetDay()
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := receive(t, "end of watch", done); err != nil {
			t.Errorf("watch: %v", err)
		}
	})
	return days
}

func TestWatchBeginsWhereItIsTold(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	publish(t, bus, &nightshardv1.BackupRequested{Day: "1"}, "")
	second := publish(t, bus, &nightshardv1.BackupRequested{Day: "2"}, "")
	stored := history(t, bus)[1].Time
	publish(t, bus, &nightshardv1.BackupRequested{Day: "3"}, "")
	for name, c := range map[string]struct {
		start events.Start
		want  []string
	}{
		"first": {events.FromFirst(), []string{"1", "2", "3"}},
		"seq":   {events.FromSeq(second), []string{"2", "3"}},
		"time":  {events.FromTime(stored), []string{"2", "3"}},
		"last":  {events.FromLast(), []string{"3"}},
	} {
		days := watch(t, bus, c.start)
		for _, want := range c.want {
			if got := receive(t, name, days); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	}
}

func TestWatchOutlivesARestartWithoutGapOrRepetition(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus := connect(t, srv.URL, func(c *events.Config) { c.AckWait = patience })
	days := watch(t, bus, events.FromNow())
	// The watch has begun when it sees something.
	n := 0
	eventually(t, "watch begins", func() bool {
		publish(t, bus, &nightshardv1.BackupRequested{Day: strconv.Itoa(n)}, strconv.Itoa(n))
		n++
		return len(days) > 0
	})
	begin, _ := strconv.Atoi(receive(t, "first", days))
	for range 5 {
		publish(t, bus, &nightshardv1.BackupRequested{Day: strconv.Itoa(n)}, strconv.Itoa(n))
		n++
	}
	srv.Shutdown()
	srv.Start()
	for range 5 {
		publish(t, bus, &nightshardv1.BackupRequested{Day: strconv.Itoa(n)}, strconv.Itoa(n))
		n++
	}
	for want := begin + 1; want < n; want++ {
		if got := receive(t, "event "+strconv.Itoa(want), days); got != strconv.Itoa(want) {
			t.Fatalf("got %s, want %d", got, want)
		}
	}
}

func TestWatchEndsWithTheCallersError(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus := connect(t, srv.URL)
	if _, err := plain(t, srv.URL).Request("dump.failed", []byte(`no json`), patience); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	var event events.Event
	collect := func(e events.Event) error { event = e; return enough }
	if err := bus.Watch(t.Context(), events.FromFirst(), collect); !errors.Is(err, enough) {
		t.Errorf("watch: %v", err)
	}
	if err := bus.History(t.Context(), events.FromFirst(), collect); !errors.Is(err, enough) {
		t.Errorf("history: %v", err)
	}
	if event.Message != nil || string(event.Data) != "no json" || event.Subject != events.DumpFailed || event.Seq != 1 {
		t.Errorf("event %+v", event)
	}
}

func TestHistoryReadsAllAndEnds(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	if got := history(t, bus); len(got) != 0 {
		t.Errorf("empty stream has %v", got)
	}
	for i := range 700 {
		publish(t, bus, &nightshardv1.BackupRequested{Day: strconv.Itoa(i)}, "")
	}
	publish(t, bus, &nightshardv1.RestoreRequested{}, "")
	if n := len(history(t, bus)); n != 701 {
		t.Errorf("%d events, want 701", n)
	}
	if n := len(history(t, bus, events.RestoreRequested, events.DumpFailed)); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

func TestRequestIsFoundByItsIDSinceATime(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	hourAgo := time.Now().Add(-time.Hour)
	publish(t, bus, &nightshardv1.BackupRequested{}, "nightly/1")
	publish(t, bus, &nightshardv1.BackupRequested{}, "")
	publish(t, bus, &nightshardv1.RestoreRequested{}, "nightly/2")
	for _, c := range []struct {
		id    string
		since time.Time
		want  bool
	}{
		{"nightly/1", hourAgo, true},
		{"nightly/2", hourAgo, false},
		{"nightly/3", hourAgo, false},
		{"nightly/1", time.Now().Add(time.Hour), false},
	} {
		got, err := bus.Requested(t.Context(), events.BackupRequested, c.id, c.since)
		if err != nil || got != c.want {
			t.Errorf("%s since %v: %v, %v", c.id, c.since, got, err)
		}
	}
}

func TestConsumersTellWhatIsAtWorkAndWaiting(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	started, finish := make(chan bool, 10), make(chan bool)
	consume(t, bus, backups(func(context.Context, *events.Delivery) ([]proto.Message, error) {
		started <- true
		<-finish
		return nil, nil
	}))
	for range 3 {
		publish(t, bus, &nightshardv1.BackupRequested{}, "")
	}
	receive(t, "start", started)
	var got events.ConsumerState
	// The server counts what is pending a moment after it has stored it.
	eventually(t, "two pending events", func() bool {
		states, err := bus.Consumers(t.Context())
		if err != nil || len(states) != 1 {
			t.Fatalf("%v, %v", states, err)
		}
		got = states[0]
		return got.Pending == 2
	})
	if got.Name != "backup" || !slices.Equal(got.Filter, []string{events.BackupRequested}) || got.AckPending != 1 ||
		got.Delivered != 1 || got.AckFloor != 0 || got.Created.IsZero() || got.LastDelivered.IsZero() {
		t.Errorf("state %+v", got)
	}
	close(finish)
	awaitIdle(t, bus, "backup")
}

func TestProgressArrivesThinnedOut(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus, watcher := connect(t, srv.URL), connect(t, srv.URL)
	ctx, cancel := context.WithCancel(t.Context())
	seen, done := make(chan *nightshardv1.Progress, 10000), make(chan error, 1)
	go func() { done <- watcher.WatchProgress(ctx, func(p *nightshardv1.Progress) { seen <- p }) }()
	eventually(t, "watch begins", func() bool {
		bus.Progress(&nightshardv1.Progress{Service: "backup", Step: fmt.Sprint(time.Now().UnixNano())})
		return len(seen) > 0
	})
	if err := plain(t, srv.URL).Publish("progress.backup", []byte("no json")); err != nil {
		t.Fatal(err)
	}
	bus.Progress(&nightshardv1.Progress{Service: "no such.service"})
	const total = 20000
	for i := range int64(total + 1) {
		bus.Progress(&nightshardv1.Progress{Service: "restore", Step: "stream", Done: i, Total: total, Unit: "bytes"})
	}
	count := 0
	for last := int64(-1); last < total; {
		p := receive(t, "progress", seen)
		if p.GetService() == "restore" {
			last = p.GetDone()
			count++
		}
	}
	if count < 2 || count > 100 {
		t.Errorf("%d messages for %d calls", count, total+1)
	}
	cancel()
	if err := receive(t, "end of watch", done); err != nil {
		t.Error(err)
	}
}
