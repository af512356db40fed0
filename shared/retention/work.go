package retention

import (
	"context"
	"fmt"
	"strings"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
)

// lookBack is how many days before the restored one a dumper may write to: it
// completes their dumps.
const lookBack = 7

// maxSpan bounds the days of one request for dumps, as the dumper does.
const maxSpan = 3660

// Bus is what this package asks of the events.
type Bus interface {
	Consumers(ctx context.Context) ([]events.ConsumerState, error)
	EventsFrom(ctx context.Context, seq uint64, fn func(events.Event) error, subjects ...string) error
}

// Work gives the days that a service works on or is about to, and who: those
// that the events name which are not yet done.
func Work(bus Bus) func(context.Context) (map[night.Day]string, error) {
	return func(ctx context.Context) (map[night.Day]string, error) {
		states, err := bus.Consumers(ctx)
		if err != nil {
			return nil, err //nolint:wrapcheck // it says what it asked for
		}
		busy := map[night.Day]string{}
		for _, s := range states {
			if !isService(s.Name) || s.AckPending == 0 && s.Pending == 0 {
				continue
			}
			open, err := openEvents(ctx, bus, s)
			if err != nil {
				return nil, fmt.Errorf("read what waits for %s: %w", s.Name, err)
			}
			for _, e := range open {
				for _, day := range daysOf(e) {
					busy[day] = fmt.Sprintf("%s works on it or is about to (%s, event %d)", s.Name, e.Subject, e.Seq)
				}
			}
		}
		return busy, nil
	}
}

func isService(durable string) bool {
	switch durable {
	case "backup", "restore", "dumper":
		return true
	}
	return strings.HasPrefix(durable, "dumper-")
}

// openEvents are the events of a durable that are at work or wait for it. Of
// the restores that wait for a dumper only the newest counts: it refuses one
// whose restore was replaced, and a retired dumper must not hold days for ever.
func openEvents(ctx context.Context, bus Bus, s events.ConsumerState) ([]events.Event, error) {
	var open []events.Event
	n := s.AckPending + int(min(s.Pending, 1<<30))
	found := 0
	err := bus.EventsFrom(ctx, s.AckFloor+1, func(e events.Event) error {
		found++
		e.Data = nil
		if open = append(open, e); len(open) > n {
			open = open[1:] // a durable may have begun later than with the first event
		}
		return nil
	}, s.Filter...)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the durable
	}
	if found < n {
		// A copy of the stream that is behind does not show what is at work.
		return nil, fmt.Errorf("find %d events: the server shows %d of them", n, found)
	}
	var out []events.Event
	for i, e := range open {
		if e.Subject == events.RestoreCompleted && e.Seq > s.Delivered && i < len(open)-1 {
			continue
		}
		out = append(out, e)
	}
	return out, nil
}

// daysOf are the days whose containers the work on an event reads or writes. A
// backup for which no day is named is of the newest day, which stays anyway.
func daysOf(e events.Event) []night.Day {
	switch m := e.Message.(type) {
	case *pb.BackupRequested:
		return span(m.GetDay(), m.GetDay())
	case *pb.BackupCompleted:
		return span(m.GetDay(), m.GetDay())
	case *pb.RestoreRequested:
		return span(m.GetDay(), m.GetDay())
	case *pb.RestoreCompleted:
		day, err := night.ParseDay(m.GetDay())
		if err != nil {
			return nil
		}
		return span(day.Add(-lookBack).String(), m.GetDay())
	case *pb.DumpRequested:
		if m.GetTo() == "" {
			return span(m.GetFrom(), m.GetFrom())
		}
		return span(m.GetFrom(), m.GetTo())
	}
	return nil
}

// span lists days. An event with an impossible day comes to nothing.
func span(from, to string) []night.Day {
	first, err := night.ParseDay(from)
	if err != nil {
		return nil
	}
	last, err := night.ParseDay(to)
	if err != nil {
		return nil
	}
	var days []night.Day
	for day := first; !last.Before(day) && len(days) < maxSpan; day = day.Add(1) {
		days = append(days, day)
	}
	return days
}
