package main

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/night"
)

// failure is what the three failed events have in common.
type failure interface {
	GetDay() string
	GetError() string
	GetStep() string
	GetAttempts() int32
}

// outcomeText says in one line what a completed or failed event says.
func outcomeText(msg proto.Message) string {
	switch m := msg.(type) {
	case *pb.BackupCompleted:
		return fmt.Sprintf("completed: %s, %s, %d carried forward%s",
			plural(m.GetShards(), "shard"), bytesText(m.GetBytes()), m.GetCarriedForward(), took(m))
	case *pb.RestoreCompleted:
		return fmt.Sprintf("completed: %s, %s%s, %s%s",
			plural(m.GetShards(), "shard"), bytesText(m.GetBytes()), keptText(m.GetKept()), verdictText(m.GetVerdict()), took(m))
	case *pb.DumpCompleted:
		return dumpText(m)
	case failure:
		return failureText(m)
	}
	return "an event that cannot be read"
}

// keptText says how many shards the intermediary held already.
func keptText(n int32) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d of them there already", n)
}

func verdictText(v *pb.Verdict) string {
	text := plural(v.GetCompared(), "count") + " compared, no difference"
	if v.GetNote() != "" {
		text = v.GetNote()
	}
	return text
}

func dumpText(m *pb.DumpCompleted) string {
	if m.GetObject() == "" {
		return "completed: no records, no object" + took(m)
	}
	text := fmt.Sprintf("completed: %s, %s%s", plural(m.GetRecords(), "record"), bytesText(m.GetBytes()), took(m))
	if !m.GetComplete() {
		text += "; the day's last minutes are not in this backup, the next night adds them"
	}
	return text
}

func failureText(m failure) string {
	text := "FAILED"
	if m.GetStep() != "" {
		text += " at step " + m.GetStep()
	}
	if m.GetAttempts() > 0 {
		text += " after " + plural(m.GetAttempts(), "attempt")
	}
	return text + ": " + oneLine(m.GetError())
}

// timed is an event that says how long its work took.
type timed interface {
	GetStartedAt() *timestamppb.Timestamp
	GetFinishedAt() *timestamppb.Timestamp
}

func took(m timed) string {
	if m.GetStartedAt() == nil || m.GetFinishedAt() == nil {
		return ""
	}
	return ", in " + spanText(m.GetFinishedAt().AsTime().Sub(m.GetStartedAt().AsTime()))
}

// progressText says how far a step is.
func progressText(p *pb.Progress) string {
	parts := []string{p.GetStep()}
	switch {
	case p.GetTotal() > 0:
		parts = append(parts, fmt.Sprintf("%s of %s %s", countText(p.GetDone()), countText(p.GetTotal()), p.GetUnit()))
	case p.GetDone() > 0:
		parts = append(parts, countText(p.GetDone())+" "+p.GetUnit())
	}
	if p.GetBytes() > 0 {
		parts = append(parts, bytesText(p.GetBytes()))
	}
	return strings.Join(parts, ", ")
}

// fateText says how a stage ended without an event.
func fateText(s *stage) string {
	if s.fate == silent {
		return fmt.Sprintf("taken by %s without an event: look at the service's log", s.durable)
	}
	service := s.step
	if s.step == stepDump {
		service = "dumper"
	}
	return fmt.Sprintf("not running: no process works for %s; it takes this event once services/%s is started", s.durable, service)
}

// daysBetween counts the days of a request for dumps, 1 without an end.
func daysBetween(from, to string) int {
	first, err := night.ParseDay(from)
	if err != nil || to == "" {
		return 1
	}
	last, err := night.ParseDay(to)
	if err != nil {
		return 1
	}
	n := 1
	for ; first.Before(last); first = first.Add(1) {
		n++
	}
	return n
}

// runningFor is how long ago at was, for the line of a step at work.
func runningFor(now, at time.Time) string { return spanText(now.Sub(at)) }
