package events

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/micro"
	"google.golang.org/protobuf/proto"

	nightshardv1 "nightshard/proto/nightshard/v1"
)

// statusSubject begins the subjects on which services say what they do. They are
// none of the stream's.
const statusSubject = "status."

// Announcement says who answers `nats service ls|info|stats`.
type Announcement struct {
	// Name is the service's short name, such as backup.
	Name string
	// Version is what it was built from.
	Version string
	// About is one line.
	About string
	// Database is the one that it works on.
	Database string
}

// Status is what the endpoint status answers, as JSON.
type Status struct {
	Service string `json:"service"`
	Version string `json:"version"`
	// State is idle or working.
	State string `json:"state"`
	// Since is when the process announced itself.
	Since time.Time `json:"since"`
	// Jobs are the events in hand, in the order in which their work began.
	Jobs  []JobStatus `json:"jobs"`
	Tally Tally       `json:"tally"`
}

// JobStatus is one event in hand, and how far its work is.
type JobStatus struct {
	Durable string `json:"durable"`
	Subject string `json:"subject"`
	// Event is the Delivery's ID.
	Event   string    `json:"event"`
	Attempt int       `json:"attempt"`
	Since   time.Time `json:"since"`
	// Day and Measurement are those of the work, or of the event where the work
	// has not said.
	Day         string `json:"day,omitempty"`
	Measurement string `json:"measurement,omitempty"`
	// Step, Done, Total, Unit and Bytes are those of the last Progress.
	Step  string `json:"step,omitempty"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	Unit  string `json:"unit,omitempty"`
	Bytes int64  `json:"bytes,omitempty"`
}

// Tally counts the deliveries of this process since it began.
type Tally struct {
	// Done ended well.
	Done int64 `json:"done"`
	// Failed were given up, with a failed event.
	Failed int64 `json:"failed"`
	// Retried are left to a later attempt, here or at another replica.
	Retried int64 `json:"retried"`
	// Last is how the last one ended that was done or failed.
	Last *Ended `json:"last,omitempty"`
}

// Ended is how the work on an event ended.
type Ended struct {
	Subject string    `json:"subject"`
	Event   string    `json:"event"`
	Day     string    `json:"day,omitempty"`
	At      time.Time `json:"at"`
	Error   string    `json:"error,omitempty"`
}

// board knows what the process does now.
type board struct {
	mu    sync.Mutex
	since time.Time
	jobs  []*JobStatus
	tally Tally
}

// begin puts a job on the board.
func (b *board) begin(j *job) *JobStatus {
	status := &JobStatus{
		Durable: j.Durable, Subject: j.Subject, Event: j.ID, Attempt: j.Attempt, Since: j.began.UTC(),
		Day: dayOf(j.Message), Measurement: stringField(j.Message, "measurement"),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.jobs = append(b.jobs, status)
	return status
}

// dayOf is the day that an event is about; a request for a dump has its first.
func dayOf(msg proto.Message) string {
	if day := stringField(msg, "day"); day != "" {
		return day
	}
	return stringField(msg, "from")
}

// end takes a job from the board.
func (b *board) end(status *JobStatus, how Outcome, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.jobs = slices.DeleteFunc(b.jobs, func(s *JobStatus) bool { return s == status })
	switch how {
	case OutcomeDone:
		b.tally.Done++
	case OutcomeFailed:
		b.tally.Failed++
	default:
		b.tally.Retried++
		return
	}
	ended := &Ended{Subject: status.Subject, Event: status.Event, Day: status.Day, At: time.Now().UTC()}
	if err != nil {
		ended.Error = shorten(err.Error())
	}
	b.tally.Last = ended
}

// progress notes how far the job is that the message is about.
func (b *board) progress(msg *nightshardv1.Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.jobs {
		if !s.isAbout(msg.GetMeasurement()) {
			continue
		}
		s.Day, s.Measurement, s.Step = msg.GetDay(), msg.GetMeasurement(), msg.GetStep()
		s.Done, s.Total, s.Unit, s.Bytes = msg.GetDone(), msg.GetTotal(), msg.GetUnit(), msg.GetBytes()
	}
}

// isAbout says that a job works on a measurement: its event names it, or its
// durable is that of the measurement. Only dumpers name one.
func (s *JobStatus) isAbout(measurement string) bool {
	_, slug, _ := strings.Cut(s.Durable, "-")
	return measurement == "" || s.Measurement == measurement || slug == Slug(measurement)
}

// status is what the board shows now.
func (b *board) status(a Announcement) Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := Status{Service: a.Name, Version: a.Version, State: "idle", Since: b.since, Jobs: []JobStatus{}, Tally: b.tally}
	for _, s := range b.jobs {
		out.State = "working"
		out.Jobs = append(out.Jobs, *s)
	}
	return out
}

// Announce makes the process answer `nats service ls|info|stats` as
// nightshard-NAME, and requests to status.NAME with its Status. It is called
// once; Close ends it. Without the rights for it in NATS the process works all
// the same: the refusal is logged.
func (b *Bus) Announce(a Announcement) error {
	b.board.since = time.Now().UTC()
	service, err := micro.AddService(b.conn, micro.Config{
		Name: serviceName(a.Name), Version: semver(a.Version), Description: a.About,
		Metadata: map[string]string{"version": a.Version, "database": a.Database, "stream": b.stream, "prefix": strings.TrimSuffix(b.prefix, ".")},
		// Replicas do not share the requests: each says what it does itself.
		QueueGroupDisabled: true,
		StatsHandler: func(*micro.Endpoint) any {
			return b.board.status(a).Tally
		},
	})
	if err != nil {
		return fmt.Errorf("announce service %s: %w", a.Name, err)
	}
	err = service.AddEndpoint("status", micro.HandlerFunc(func(r micro.Request) {
		if err := r.RespondJSON(b.board.status(a)); err != nil {
			b.log.Debug().Err(err).Msg("status not answered")
		}
	}), micro.WithEndpointSubject(b.prefix+statusSubject+a.Name))
	if err != nil {
		return errors.Join(fmt.Errorf("announce status of %s: %w", a.Name, err), service.Stop())
	}
	b.service = service
	return nil
}

// serviceName is how a program is called in `nats service ls`.
func serviceName(program string) string { return "nightshard-" + program }

// semver is the version as NATS wants it; a build without one is 0.0.0, with the
// commit behind it.
func semver(version string) string {
	plain := strings.TrimPrefix(version, "v")
	if regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`).MatchString(plain) {
		return plain
	}
	build := strings.Trim(regexp.MustCompile(`[^0-9A-Za-z-]+`).ReplaceAllString(version, "-"), "-")
	if build == "" {
		return "0.0.0"
	}
	return "0.0.0+" + build
}
