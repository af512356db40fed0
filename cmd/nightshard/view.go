package main

import (
	"encoding/json"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

// view shows a chain. Its methods do not run at the same time.
type view interface {
	// asked shows that the request is stored.
	asked(q asked)
	// steps follows what a stage does.
	steps
	// note shows what the operator should know.
	note(text string)
	// end shows how it went; err is nil when all was done.
	end(c *chain, err error)
}

// steps is told of the life of each stage.
type steps interface {
	begin(s *stage)
	progress(s *stage, p *pb.Progress)
	// outcome is told an event that answers the stage, which may go on.
	outcome(s *stage, e events.Event)
	// fate is told of an end without an event.
	fate(s *stage)
}

func (a *app) newView() view {
	switch {
	case a.asJSON:
		return &jsonView{out: a.out}
	case a.out.terminal:
		return newBarsView(a.out, a.errs, a.now)
	}
	return &plainView{out: a.out, errs: a.errs, now: a.now, told: map[*stage]time.Time{}}
}

// plainEvery is how often a pipe is told of progress.
const plainEvery = 5 * time.Second

// plainView prints lines, for pipes and files.
type plainView struct {
	out, errs *screen
	now       func() time.Time
	told      map[*stage]time.Time // when progress was last printed
}

func (v *plainView) asked(q asked) { v.out.printf("%s\n", q) }

func (v *plainView) begin(s *stage) { v.out.printf("%s: waiting\n", s.label()) }

func (v *plainView) progress(s *stage, p *pb.Progress) {
	now := v.now()
	if last, ok := v.told[s]; ok && now.Sub(last) < plainEvery {
		return
	}
	v.told[s] = now
	v.out.printf("%s: %s\n", s.label(), progressText(p))
}

func (v *plainView) outcome(s *stage, e events.Event) {
	v.out.printf("%s: %s\n", outcomeLabel(s, e), outcomeText(e.Message))
}

func (v *plainView) fate(s *stage) { v.out.printf("%s: %s\n", s.label(), fateText(s)) }

func (v *plainView) note(text string) { v.errs.printf("nightshard: %s\n", text) }

func (v *plainView) end(c *chain, err error) { v.out.printf("%s", summary(c, err)) }

// outcomeLabel names a stage by the event's own day: a dumper completes
// earlier days too.
func outcomeLabel(s *stage, e events.Event) string {
	if day := eventDay(e.Message); day != "" {
		return s.name + " " + day
	}
	return s.label()
}

// summary is the last line, empty when the error that follows says it all.
func summary(c *chain, err error) string {
	if err == nil {
		return "done\n"
	}
	if c.done() {
		return "failed\n"
	}
	return ""
}

// jsonView prints one JSON object a line.
type jsonView struct{ out *screen }

// jsonLine is one of them; what is set depends on type.
type jsonLine struct {
	// Type is requested, progress, event, fate, note or end.
	Type     string          `json:"type"`
	Step     string          `json:"step,omitempty"`
	Day      string          `json:"day,omitempty"`
	Durable  string          `json:"durable,omitempty"`
	Subject  string          `json:"subject,omitempty"`
	Stream   string          `json:"stream,omitempty"`
	Sequence uint64          `json:"sequence,omitempty"`
	Time     string          `json:"time,omitempty"`
	Message  json.RawMessage `json:"message,omitempty"`
	// PassedOver is of a requested restore of the newest good day.
	PassedOver []passedDay `json:"passedOver,omitempty"`
	// Fate is silent or notRunning.
	Fate string `json:"fate,omitempty"`
	Text string `json:"text,omitempty"`
	// OK, Failed and NotRunning are in the last line.
	OK         *bool    `json:"ok,omitempty"`
	Failed     []string `json:"failed,omitempty"`
	NotRunning []string `json:"notRunning,omitempty"`
}

func (v *jsonView) print(line jsonLine) {
	if data, err := json.Marshal(line); err == nil {
		v.out.printf("%s\n", data)
	}
}

func (v *jsonView) asked(q asked) {
	if r, err := q.report(); err == nil {
		v.print(jsonLine{Type: "requested", Subject: r.Subject, Stream: r.Stream, Sequence: r.Sequence, Message: r.Message, PassedOver: r.PassedOver})
	}
}

// begin shows nothing: what a stage works on has been shown as an event.
func (v *jsonView) begin(*stage) {}

func (v *jsonView) progress(s *stage, p *pb.Progress) {
	if body, err := events.Encode(p); err == nil {
		v.print(jsonLine{Type: "progress", Step: s.step, Day: s.day, Durable: s.durable, Message: body})
	}
}

func (v *jsonView) outcome(s *stage, e events.Event) {
	line := jsonLine{
		Type: "event", Step: s.step, Day: eventDay(e.Message), Durable: s.durable, Subject: e.Subject,
		Sequence: e.Seq, Time: e.Time.Format(time.RFC3339Nano),
	}
	if json.Valid(e.Data) {
		line.Message = e.Data
	}
	v.print(line)
}

func (v *jsonView) fate(s *stage) {
	line := jsonLine{Type: "fate", Step: s.step, Day: s.day, Durable: s.durable, Fate: "silent", Text: fateText(s)}
	if s.fate == absent {
		line.Fate = "notRunning"
	}
	v.print(line)
}

func (v *jsonView) note(text string) { v.print(jsonLine{Type: "note", Text: text}) }

func (v *jsonView) end(c *chain, err error) {
	ok := err == nil
	line := jsonLine{Type: "end", OK: &ok}
	for _, s := range c.stages {
		switch s.fate {
		case failed, silent:
			line.Failed = append(line.Failed, s.label())
		case absent:
			line.NotRunning = append(line.NotRunning, s.durable)
		case running, completed:
		}
	}
	if err != nil {
		line.Text = err.Error()
	}
	v.print(line)
}
