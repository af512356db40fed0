package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

const (
	// nightLimit bounds the whole night: the reader's own database may be large.
	nightLimit = 6 * time.Hour
	// silence is how long nothing may happen before the services' logs are
	// shown, so that nobody looks at a screen that says nothing.
	silence = time.Minute
)

// outcome is what the night came to.
type outcome struct {
	wanted   int // dumps to come
	asked    uint64
	askedAt  time.Time
	backup   *pb.BackupCompleted
	restore  *pb.RestoreCompleted
	dumps    []*pb.DumpCompleted
	failures []string
	// answered are the measurements with a dump, done or failed.
	answered map[string]bool
	// When the events were stored, for the time between an event and the first
	// action on it.
	backupAt, restoreAt, overAt time.Time
	// The deliveries that the next steps answer. The Nats-Msg-Id of an answer
	// ends with that of what it answers: other people's requests that run
	// beside the night are none of it.
	request, backedUp, restored string
	last                        uint64 // sequence number of the last event seen
}

func (n *outcome) failed() bool { return len(n.failures) > 0 }

// done says that nothing more is to come.
func (n *outcome) done() bool {
	return n.restore == nil && n.failed() || n.restore != nil && len(n.answered) >= n.wanted
}

// errNightOver ends the watching.
var errNightOver = errors.New("the night is over")

// night asks for one backup and shows the chain until its last dump.
func (h *house) night(ctx context.Context) (*outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, nightLimit, fmt.Errorf("not over after %s", nightLimit))
	defer cancel()
	n := &outcome{wanted: len(h.set.measurements), answered: map[string]bool{}}
	h.show.line("asking for a backup: backup.requested")
	h.show.begin()
	defer h.show.finish()
	quiet := time.AfterFunc(silence, func() { h.show.line("nothing has happened for a minute; the services say:\n%s", h.lastLines()) })
	defer quiet.Stop()
	var watchers sync.WaitGroup
	defer watchers.Wait() // after cancel, before the screen's finish
	defer cancel()
	watchers.Go(func() {
		// Without bars the night is the same.
		_ = h.bus.WatchProgress(ctx, func(p *pb.Progress) {
			quiet.Reset(silence)
			h.show.progress(p)
		})
	})
	var err error
	if n.asked, err = h.bus.Publish(ctx, events.BackupRequested, &pb.BackupRequested{Reason: "go run ./deploy/local"}, ""); err != nil {
		return nil, fmt.Errorf("ask for a backup: %w", err)
	}
	watched := make(chan error, 1)
	watchers.Go(func() { watched <- h.follow(ctx, n, func() { quiet.Reset(silence) }) })
	select {
	case err = <-watched:
	case err = <-h.died:
	}
	return n, err
}

// follow takes the events of the night until it is over. heard is called at each.
func (h *house) follow(ctx context.Context, n *outcome, heard func()) error {
	err := h.bus.Watch(ctx, events.FromSeq(n.asked), func(e events.Event) error {
		heard()
		n.last = e.Seq
		if n.take(e) {
			h.show.event(e)
		} else {
			h.show.line("%s by somebody else", describe(e))
		}
		if n.done() {
			n.overAt = e.Time
			return errNightOver
		}
		return nil
	})
	switch {
	case errors.Is(err, errNightOver):
		return nil
	case err != nil:
		return fmt.Errorf("watch the night: %w", err)
	}
	return fmt.Errorf("watch the night: %w", context.Cause(ctx))
}

// lastLines is the end of each service's log.
func (h *house) lastLines() string {
	var b strings.Builder
	for _, p := range h.services {
		fmt.Fprintf(&b, "--- %s\n%s\n", p.name, tail(p.log, 5))
	}
	return b.String()
}

// answers says that an event is the result of a delivery.
func answers(e events.Event, delivery string) bool {
	return delivery != "" && strings.HasSuffix(e.ID, "/"+delivery)
}

// take notes what an event says of the night. It is false for an event that
// belongs to another request.
func (n *outcome) take(e events.Event) bool {
	switch m := e.Message.(type) {
	case *pb.BackupRequested:
		if e.Seq != n.asked {
			return false
		}
		n.askedAt, n.request = e.Time, e.DeliveryID()
	case *pb.BackupCompleted:
		if !answers(e, n.request) {
			return false
		}
		n.backup, n.backupAt, n.backedUp = m, e.Time, e.DeliveryID()
	case *pb.RestoreCompleted:
		if !answers(e, n.backedUp) {
			return false
		}
		n.restore, n.restoreAt, n.restored = m, e.Time, e.DeliveryID()
	case *pb.DumpCompleted:
		if !answers(e, n.restored) {
			return false
		}
		n.dumps = append(n.dumps, m)
		if m.GetDay() == n.restore.GetDay() { // the others complete earlier days
			n.answered[m.GetMeasurement()] = true
		}
	default:
		return n.takeFailure(e)
	}
	return true
}

func (n *outcome) takeFailure(e events.Event) bool {
	ours := map[string]string{events.BackupFailed: n.request, events.RestoreFailed: n.backedUp, events.DumpFailed: n.restored}
	if !answers(e, ours[e.Subject]) {
		return false
	}
	n.failures = append(n.failures, e.Subject+": "+failure(e.Message))
	if m, ok := e.Message.(*pb.DumpFailed); ok {
		n.answered[m.GetMeasurement()] = true
	}
	return true
}

// failure is the text of a failed event.
func failure(m proto.Message) string {
	f, ok := m.(interface {
		GetError() string
		GetStep() string
	})
	if !ok {
		return "no reason given"
	}
	return fmt.Sprintf("step %s: %s", f.GetStep(), f.GetError())
}

// stay shows what happens until ctx ends, or until something that must run has
// ended.
func (h *house) stay(ctx context.Context, seen uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	defer watcher.Wait()
	defer cancel()
	watched := make(chan error, 1)
	watcher.Go(func() {
		watched <- h.bus.Watch(ctx, events.FromSeq(seen+1), func(e events.Event) error {
			h.show.event(e)
			return nil
		})
	})
	var err error
	select {
	case err = <-watched:
	case err = <-h.died:
	}
	h.show.line("ending what was started")
	return err
}
