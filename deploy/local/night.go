package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	asked    time.Time
	backup   *pb.BackupCompleted
	restore  *pb.RestoreCompleted
	dumps    []*pb.DumpCompleted
	failures []string
	// When the events were stored, for the time between an event and the first
	// action on it.
	backupAt, restoreAt time.Time
	wanted              int // dumps to come
}

func (n *outcome) failed() bool { return len(n.failures) > 0 }

// done says that nothing more is to come.
func (n *outcome) done() bool {
	return n.restore == nil && n.failed() || n.restore != nil && len(n.dumps)+len(n.failures) >= n.wanted
}

// errNightOver ends the watching.
var errNightOver = errors.New("the night is over")

// night asks for one backup and shows the chain until its last dump.
func (h *house) night(ctx context.Context) (*outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, nightLimit)
	defer cancel()
	n := &outcome{asked: time.Now(), wanted: h.wanted()}
	h.show.line("asking for a backup: backup.requested {}")
	h.show.begin()
	seq, err := h.bus.Publish(ctx, events.BackupRequested, &pb.BackupRequested{Reason: "go run ./deploy/local"}, "")
	if err != nil {
		return nil, fmt.Errorf("ask for a backup: %w", err)
	}
	quiet := time.AfterFunc(silence, func() { h.show.line("nothing has happened for a minute; the services say:\n" + h.logs()) })
	defer quiet.Stop()
	go func() {
		_ = h.bus.WatchProgress(ctx, func(p *pb.Progress) {
			quiet.Reset(silence)
			h.show.progress(p)
		})
	}()
	err = h.bus.Watch(ctx, events.FromSeq(seq), func(e events.Event) error {
		quiet.Reset(silence)
		n.take(e)
		h.show.event(e)
		if n.done() {
			return errNightOver
		}
		return nil
	})
	h.show.finish()
	switch {
	case errors.Is(err, errNightOver):
		return n, nil
	case err != nil:
		return nil, fmt.Errorf("watch the night: %w", err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("watch the night: not over after %s", nightLimit)
	}
	return nil, ctx.Err()
}

// logs is the end of each service's log.
func (h *house) logs() string {
	var b strings.Builder
	for _, name := range []string{"backup", "restore", "dumper"} {
		p := process{log: h.path(name + ".log")}
		fmt.Fprintf(&b, "--- %s\n%s\n", name, p.tail())
	}
	return b.String()
}

// wanted is how many dumps the night makes.
func (h *house) wanted() int {
	text := h.settings["NIGHTSHARD_MEASUREMENTS"]
	if strings.HasPrefix(text, "[") {
		return strings.Count(text, `","`) + 1
	}
	return strings.Count(text, ",") - strings.Count(text, `\,`) + 1
}

// take notes what an event says of the night.
func (n *outcome) take(e events.Event) {
	switch m := e.Message.(type) {
	case *pb.BackupCompleted:
		n.backup, n.backupAt = m, e.Time
	case *pb.RestoreCompleted:
		n.restore, n.restoreAt = m, e.Time
	case *pb.DumpCompleted:
		n.dumps = append(n.dumps, m)
	case *pb.BackupFailed, *pb.RestoreFailed, *pb.DumpFailed:
		n.failures = append(n.failures, e.Subject+": "+failure(m))
	}
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
