package main

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

// The steps of a chain, which are the first words of their subjects.
const (
	stepBackup  = "backup"
	stepRestore = "restore"
	stepDump    = "dump"
)

const dumperPrefix = "dumper-"

// fate is what became of a stage.
type fate int

const (
	running fate = iota
	completed
	failed
	silent // acknowledged without an event
	absent // nobody works on it
)

// stage is one durable's work on one event.
type stage struct {
	step    string
	durable string
	day     string // empty until it is known
	name    string // for people: "backup", "dump cpu"
	// answers is the delivery id of the event that it works on, and seq that
	// event's sequence number.
	answers string
	seq     uint64
	left    int // dumps still to come, of a request for several days
	fate    fate

	idleSince time.Time // nobody at the durable since
}

// label names a stage for people.
func (s *stage) label() string {
	if s.day == "" {
		return s.name
	}
	return s.name + " " + s.day
}

// takes says that an event is an answer to what the stage works on. The bus
// makes the answer's id of the delivery's.
func (s *stage) takes(e events.Event) bool {
	step, _, _ := strings.Cut(e.Subject, ".")
	return s.answers != "" && step == s.step && strings.HasSuffix(e.ID, "/"+s.answers)
}

// chain follows a request from event to event until its last dump. It is pure:
// it is told what happened and says what it means.
type chain struct {
	request uint64 // the request's sequence number
	stages  []*stage
	// dumping is the restore.completed that the dumpers work on, nil before.
	dumping *events.Event
	looked  bool // the dumpers were listed since
	grace   time.Duration
}

// newChain begins with the stage that works on the request.
func newChain(q asked, grace time.Duration) *chain {
	c := &chain{request: q.seq, grace: grace}
	first := &stage{seq: q.seq}
	switch msg := q.msg.(type) {
	case *pb.BackupRequested:
		first.step, first.durable, first.name, first.day = stepBackup, "backup", "backup", msg.GetDay()
	case *pb.RestoreRequested:
		first.step, first.durable, first.name, first.day = stepRestore, "restore", "restore", msg.GetDay()
	case *pb.DumpRequested:
		first.step, first.durable, first.name = stepDump, "dumper", "dump "+msg.GetMeasurement()
		first.left = daysBetween(msg.GetFrom(), msg.GetTo())
	}
	c.stages = []*stage{first}
	return c
}

// see takes one event of the stream and returns the stage that it answers, nil
// for an event of another chain.
func (c *chain) see(e events.Event) *stage {
	if e.Seq == c.request {
		c.stages[0].answers = e.DeliveryID()
		return nil
	}
	if s := c.dumpOf(e); s != nil {
		return s
	}
	i := slices.IndexFunc(c.stages, func(s *stage) bool { return s.takes(e) })
	if i < 0 {
		return nil
	}
	c.settle(c.stages[i], e)
	return c.stages[i]
}

// settle ends a stage by its event and begins the one that follows.
func (c *chain) settle(s *stage, e events.Event) {
	if day := eventDay(e.Message); day != "" && s.step != stepDump {
		s.day = day
	}
	switch {
	case strings.HasSuffix(e.Subject, ".failed"):
		s.fate = failed
	case e.Subject == events.BackupCompleted:
		s.fate = completed
		c.stages = append(c.stages, &stage{
			step: stepRestore, durable: "restore", name: "restore", day: s.day, answers: e.DeliveryID(), seq: e.Seq,
		})
	case e.Subject == events.RestoreCompleted:
		s.fate = completed
		c.dumping = &e
	default:
		if s.left--; s.left <= 0 {
			s.fate = completed
		}
	}
}

// dumpOf handles what a dumper says after the restore. Dumps of earlier days
// that the night completes come before that of the restored day.
func (c *chain) dumpOf(e events.Event) *stage {
	if c.dumping == nil || !strings.HasPrefix(e.Subject, stepDump+".") || !strings.HasSuffix(e.ID, "/"+c.dumping.DeliveryID()) {
		return nil
	}
	s := c.dumper(dumperPrefix+events.Slug(eventMeasurement(e.Message)), eventMeasurement(e.Message))
	switch {
	case strings.HasSuffix(e.Subject, ".failed"):
		s.fate = failed
	case eventDay(e.Message) == s.day:
		s.fate = completed
	}
	return s
}

// dumper finds or begins the stage of a measurement's durable.
func (c *chain) dumper(durable, measurement string) *stage {
	i := slices.IndexFunc(c.stages, func(s *stage) bool { return s.durable == durable })
	if i >= 0 {
		return c.stages[i]
	}
	if measurement == "" {
		measurement = strings.TrimPrefix(durable, dumperPrefix)
	}
	s := &stage{
		step: stepDump, durable: durable, name: "dump " + measurement, day: eventDay(c.dumping.Message),
		answers: c.dumping.DeliveryID(), seq: c.dumping.Seq,
	}
	c.stages = append(c.stages, s)
	return s
}

// look takes the state of the durables and returns the stages that ended by it.
// caughtUp says that see was told everything that was in the stream when the
// states were asked for. Without that, a durable that is done with an event
// proves nothing, since the answer may still be on its way: behind is then true,
// and the same states are to be looked at again.
func (c *chain) look(states []events.ConsumerState, now time.Time, caughtUp bool) (ended []*stage, behind bool) {
	if c.dumping != nil {
		c.looked = true
		for _, state := range states {
			if strings.HasPrefix(state.Name, dumperPrefix) {
				c.dumper(state.Name, "")
			}
		}
	}
	for _, s := range c.open() {
		i := slices.IndexFunc(states, func(state events.ConsumerState) bool { return state.Name == s.durable })
		var state events.ConsumerState
		if i >= 0 {
			state = states[i]
		}
		if state.AckFloor >= s.seq && !caughtUp {
			behind = true
			continue
		}
		if s.look(state, now, c.grace); s.fate != running {
			ended = append(ended, s)
		}
	}
	return ended, behind
}

// look judges a stage by its durable, which is zero when there is none. A bus
// publishes the answer before it acknowledges: what is done without an answer
// gets none.
func (s *stage) look(state events.ConsumerState, now time.Time, grace time.Duration) {
	switch {
	case state.AckFloor >= s.seq:
		s.fate = silent
	case state.Waiting > 0 || state.AckPending > 0:
		s.idleSince = time.Time{}
	case s.idleSince.IsZero():
		s.idleSince = now
	case now.Sub(s.idleSince) >= grace:
		s.fate = absent
	}
}

// open lists the stages that are not settled.
func (c *chain) open() []*stage {
	var open []*stage
	for _, s := range c.stages {
		if s.fate == running {
			open = append(open, s)
		}
	}
	return open
}

// done says that nothing more will come.
func (c *chain) done() bool {
	return len(c.open()) == 0 && (c.dumping == nil || c.looked)
}

// ok says that all was done, as far as the events tell. A dumper that is not
// running is named but fails nothing: its process may be retired, and it takes
// the restore when it starts again.
func (c *chain) ok() bool {
	return !slices.ContainsFunc(c.stages, func(s *stage) bool {
		return s.fate == failed || s.fate == silent || (s.fate == absent && !strings.HasPrefix(s.durable, dumperPrefix))
	})
}

// stageOf finds the open stage that a progress message is about, nil for the
// progress of other work.
func (c *chain) stageOf(p *pb.Progress) *stage {
	for _, s := range c.open() {
		switch {
		case s.step == stepDump:
			if p.GetService() != "dumper" || !s.measures(p.GetMeasurement()) {
				continue
			}
		case p.GetService() != s.step || (s.day != "" && s.day != p.GetDay()):
			continue
		}
		return s
	}
	return nil
}

func (s *stage) measures(measurement string) bool {
	return s.name == "dump "+measurement || s.durable == dumperPrefix+events.Slug(measurement)
}

// dayed and measured are the messages that have a day and a measurement.
type (
	dayed    interface{ GetDay() string }
	measured interface{ GetMeasurement() string }
)

func eventDay(msg proto.Message) string {
	if m, ok := msg.(dayed); ok {
		return m.GetDay()
	}
	return ""
}

func eventMeasurement(msg proto.Message) string {
	if m, ok := msg.(measured); ok {
		return m.GetMeasurement()
	}
	return ""
}
