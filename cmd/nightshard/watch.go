package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/connect"
	"nightshard/shared/events"
)

const watchExamples = `  nightshard watch
  nightshard watch --since 24h --failed
  nightshard watch --json | jq --unbuffered -r 'select(.subject=="backup.completed") | .day'`

func (a *app) watchCommand() *cobra.Command {
	var since time.Duration
	var onlyFailed bool
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show the events as they come, until it is interrupted",
		Long: `Show the events as they come, until it is interrupted: requests, what was
completed and what failed, a line each, and now and then how far the work is.
Restarts of NATS are waited out; no event is missed.`,
		Example: watchExamples,
		Args:    wants(),
		RunE: a.does(func(ctx context.Context, _ []string) error {
			if since < 0 {
				return misuse("--since is %s, want a time above zero, such as 24h", since)
			}
			return a.watch(ctx, since, onlyFailed)
		}),
	}
	cmd.Flags().DurationVar(&since, "since", 0, "begin with the events of this long ago, such as 24h (default: with the next one)")
	cmd.Flags().BoolVar(&onlyFailed, "failed", false, "only what failed")
	return cmd
}

func (a *app) watch(ctx context.Context, since time.Duration, onlyFailed bool) error {
	c, err := a.settings()
	if err != nil {
		return err
	}
	end := a.errs.life(words("connecting to NATS"))
	bus, err := a.bus(ctx, c, a.note)
	end()
	if err != nil {
		return err
	}
	if a.errs.terminal && !a.asJSON {
		a.note(fmt.Sprintf("watching stream %s at %s; Ctrl-C ends it", bus.StreamName(), bus.URL()))
	}
	defer connect.Close(ctx, bus, noLog())
	start := events.FromNow()
	if since > 0 {
		start = events.FromTime(a.now().Add(-since))
	}
	w := &watcher{app: a, loc: c.Location(), onlyFailed: onlyFailed, told: map[string]time.Time{}}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return bus.Watch(gctx, start, w.event) })
	g.Go(func() error { return bus.WatchProgress(gctx, w.progress) })
	return g.Wait()
}

// watcher prints events and progress, which come by two goroutines.
type watcher struct {
	*app
	loc        *time.Location
	onlyFailed bool

	mu   sync.Mutex
	told map[string]time.Time // when progress of each work was last printed
}

func (w *watcher) event(e events.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	bad := strings.HasSuffix(e.Subject, ".failed")
	if w.onlyFailed && !bad {
		return nil
	}
	if w.asJSON {
		line := jsonLine{Type: "event", Subject: e.Subject, Day: eventDay(e.Message), Sequence: e.Seq, Time: e.Time.Format(time.RFC3339Nano)}
		if json.Valid(e.Data) {
			line.Message = e.Data
		}
		(&jsonView{out: w.out}).print(line)
		return nil
	}
	text := watchText(e)
	if bad {
		text = w.out.warn(text)
	}
	w.line(e.Time, text)
	return nil
}

// line prints a text after its time, in the configured time zone.
func (w *watcher) line(at time.Time, text string) {
	w.out.printf("%s  %s\n", at.In(w.loc).Format(time.DateTime), text)
}

// progress prints how far a work is, now and then.
func (w *watcher) progress(p *pb.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	label := workLabel(p.GetService(), p.GetMeasurement(), p.GetDay())
	now := w.now()
	if last, ok := w.told[label]; w.onlyFailed || ok && now.Sub(last) < plainEvery {
		return
	}
	w.told[label] = now
	if !w.asJSON {
		w.line(now, label+": "+progressText(p))
		return
	}
	if body, err := events.Encode(p); err == nil {
		(&jsonView{out: w.out}).print(jsonLine{Type: "progress", Day: p.GetDay(), Time: now.UTC().Format(time.RFC3339Nano), Message: body})
	}
}

// watchText says what an event is about and what it says.
func watchText(e events.Event) string {
	step, _, _ := strings.Cut(e.Subject, ".")
	label := workLabel(step, eventMeasurement(e.Message), eventDay(e.Message))
	if text, ok := requestText(e.Message); ok {
		return label + ": requested" + text
	}
	return label + ": " + outcomeText(e.Message)
}

func workLabel(step, measurement, day string) string {
	return strings.Join(slices.DeleteFunc([]string{step, measurement, day}, func(s string) bool { return s == "" }), " ")
}

// requestText says what a request asks for beyond its day. ok is false for an
// event that is none.
func requestText(msg proto.Message) (text string, ok bool) {
	switch m := msg.(type) {
	case *pb.BackupRequested:
		text = forced(m.GetForce())
		if m.GetReason() != "" {
			text += ", " + oneLine(m.GetReason())
		}
	case *pb.RestoreRequested:
		text = forced(m.GetForce())
	case *pb.DumpRequested:
		text = fmt.Sprintf(" for %s", m.GetFrom())
		if m.GetTo() != "" && m.GetTo() != m.GetFrom() {
			text += " to " + m.GetTo()
		}
	default:
		return "", false
	}
	return text, true
}

func forced(force bool) string {
	if force {
		return " with force"
	}
	return ""
}
