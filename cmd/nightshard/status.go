package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/connect"
	"nightshard/shared/events"
	"nightshard/shared/proof"
	"nightshard/shared/service"
)

// listenFor is how long status listens for progress. The services tell of it
// several times a second.
const listenFor = time.Second

// States of a durable.
const (
	consumerWorking = "working"
	consumerWaiting = "waiting"
	consumerAbsent  = "not running"
)

// statusReport is the state of everything that could be reached.
type statusReport struct {
	NATS      natsReport       `json:"nats"`
	Consumers []consumerReport `json:"consumers"`
	Events    []eventReport    `json:"events"`
	Progress  []progressReport `json:"progress"`
	Swift     swiftReport      `json:"swift"`
}

type natsReport struct {
	URL    string `json:"url,omitempty"`
	Stream string `json:"stream,omitempty"`
	Error  string `json:"error,omitempty"`
}

// consumerReport is one durable.
type consumerReport struct {
	Name     string   `json:"name"`
	Subjects []string `json:"subjects"`
	// State is working, waiting or not running.
	State string `json:"state"`
	// Processes is how many wait for an event.
	Processes   int       `json:"processes"`
	Pending     uint64    `json:"pending"`
	Redelivered int       `json:"redelivered"`
	LastDone    time.Time `json:"lastDone,omitzero"`
}

// eventReport is the newest event of a subject.
type eventReport struct {
	Subject     string    `json:"subject"`
	Sequence    uint64    `json:"sequence"`
	Time        time.Time `json:"time"`
	Day         string    `json:"day,omitempty"`
	Measurement string    `json:"measurement,omitempty"`
	Text        string    `json:"text"`
}

// progressReport is what a service does at the moment.
type progressReport struct {
	Service     string `json:"service"`
	Day         string `json:"day,omitempty"`
	Measurement string `json:"measurement,omitempty"`
	Text        string `json:"text"`
}

type swiftReport struct {
	Endpoint string `json:"endpoint,omitempty"`
	// Newest is the newest finished day, nil if there is none.
	Newest *daySummary `json:"newest,omitempty"`
	// Damaged are the days after it that are damaged, newest first.
	Damaged []*daySummary `json:"damaged,omitempty"`
	Error   string        `json:"error,omitempty"`
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Who is at work, what happened last, the newest day",
		Example: "  nightshard status\n  nightshard status --json | jq -r .swift.newest.day",
		Args:    wants(),
		RunE: a.does(func(ctx context.Context, _ []string) error {
			c, err := a.settings()
			if err != nil {
				return err
			}
			r := a.readStatus(ctx, c)
			if a.asJSON {
				if err := a.out.json(r); err != nil {
					return err
				}
			} else {
				a.printStatus(r)
			}
			if r.NATS.Error != "" || r.Swift.Error != "" {
				return &silentError{why: "not everything could be reached"}
			}
			return nil
		}),
	}
}

// readStatus asks NATS and Swift at the same time. What cannot be reached is
// part of the report.
func (a *app) readStatus(ctx context.Context, c service.Common) *statusReport {
	end := a.errs.life(words("asking NATS and Swift"))
	defer end()
	r := &statusReport{Consumers: []consumerReport{}, Events: []eventReport{}, Progress: []progressReport{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Swift = a.readSwift(ctx)
	}()
	if err := a.readNATS(ctx, c, r); err != nil {
		r.NATS.Error = err.Error()
	}
	<-done
	return r
}

func (a *app) readNATS(ctx context.Context, c service.Common, r *statusReport) error {
	bus, err := a.bus(ctx, c, func(string) {})
	if err != nil {
		return err
	}
	defer connect.Close(ctx, bus, noLog())
	r.NATS = natsReport{URL: bus.URL(), Stream: bus.StreamName()}
	ctx, cancel := context.WithTimeout(ctx, listenFor+2*a.patience)
	defer cancel()
	// Between two requests for an event a process is not seen: look twice.
	before, err := bus.Consumers(ctx)
	if err != nil {
		return err //nolint:wrapcheck // it says what it asked for
	}
	if r.Progress, err = listen(ctx, bus); err != nil {
		return err
	}
	after, err := bus.Consumers(ctx)
	if err != nil {
		return err //nolint:wrapcheck // it says what it asked for
	}
	r.Consumers = consumerReports(before, after)
	r.Events, err = lastEvents(ctx, bus)
	return err
}

// listen collects the newest progress of each service and measurement.
func listen(ctx context.Context, bus *events.Bus) ([]progressReport, error) {
	ctx, cancel := context.WithTimeout(ctx, listenFor)
	defer cancel()
	out := []progressReport{}
	err := bus.WatchProgress(ctx, func(p *pb.Progress) {
		report := progressReport{
			Service: p.GetService(), Day: p.GetDay(), Measurement: p.GetMeasurement(), Text: progressText(p),
		}
		i := slices.IndexFunc(out, func(r progressReport) bool {
			return r.Service == report.Service && r.Measurement == report.Measurement
		})
		if i < 0 {
			out = append(out, report)
			return
		}
		out[i] = report
	})
	return out, err //nolint:wrapcheck // it says what it watched
}

// consumerReports joins two looks at the durables.
func consumerReports(before, after []events.ConsumerState) []consumerReport {
	out := []consumerReport{}
	for _, s := range after {
		r := consumerReport{
			Name: s.Name, Subjects: s.Filter, State: consumerAbsent, Processes: s.Waiting,
			Pending: s.Pending, Redelivered: s.Redelivered, LastDone: s.LastAck,
		}
		for _, earlier := range before {
			if earlier.Name == s.Name {
				r.Processes = max(r.Processes, earlier.Waiting)
			}
		}
		switch {
		case s.AckPending > 0:
			r.State = consumerWorking
		case r.Processes > 0:
			r.State = consumerWaiting
		}
		out = append(out, r)
	}
	return out
}

// lastEvents are the newest completed and failed event of each step.
func lastEvents(ctx context.Context, bus *events.Bus) ([]eventReport, error) {
	out := []eventReport{}
	err := bus.History(ctx, events.FromLast(), func(e events.Event) error {
		out = append(out, eventReport{
			Subject: e.Subject, Sequence: e.Seq, Time: e.Time, Day: eventDay(e.Message),
			Measurement: eventMeasurement(e.Message), Text: outcomeText(e.Message),
		})
		return nil
	}, events.BackupCompleted, events.BackupFailed, events.RestoreCompleted, events.RestoreFailed,
		events.DumpCompleted, events.DumpFailed)
	slices.SortFunc(out, func(x, y eventReport) int { return y.Time.Compare(x.Time) })
	return out, err //nolint:wrapcheck // it says what it read
}

// readSwift finds the newest finished day, newest container first.
func (a *app) readSwift(ctx context.Context) swiftReport {
	store, endpoint, err := a.store(ctx)
	if err != nil {
		if config, ok := errors.AsType[*service.ConfigError](err); ok {
			return swiftReport{Error: strings.Join(config.Problems, "; ")}
		}
		return swiftReport{Error: err.Error()}
	}
	r := swiftReport{Endpoint: endpoint}
	days, err := proof.Days(ctx, store)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	for _, day := range slices.Backward(days) {
		d, err := readDay(ctx, store, day)
		if err != nil {
			r.Error = err.Error()
			return r
		}
		switch d.State {
		case stateFinished:
			r.Newest = d
			return r
		case stateDamaged:
			r.Damaged = append(r.Damaged, d)
		}
	}
	return r
}
