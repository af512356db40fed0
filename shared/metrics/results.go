package metrics

import (
	"time"

	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
)

// maxDifferences is how many differences an event lists at most.
const maxDifferences = 100

// Ended takes the end of a delivery, and what its results say.
func (s *Set) Ended(e events.Ending) {
	s.deliveries.WithLabelValues(string(e.Outcome)).Inc()
	if e.Delivery.Attempt > 1 {
		s.redeliveries.Inc()
	}
	if e.Outcome == events.OutcomeFailed || e.Outcome == events.OutcomeRetry {
		step := e.Step
		if step == "" {
			step = "unknown"
		}
		s.failedAttempts.WithLabelValues(step).Inc()
	}
	for _, msg := range e.Published {
		s.result(msg)
	}
}

// result takes one event that the service published.
func (s *Set) result(msg proto.Message) {
	dated, ok := msg.(interface{ GetDay() string })
	if !ok {
		return
	}
	day, err := night.ParseDay(dated.GetDay())
	if err != nil {
		return // a request that could not be read has none
	}
	switch m := msg.(type) {
	case *pb.BackupCompleted:
		s.backedUp(backup{
			day: day, cutoff: m.GetCutoff().AsTime(), started: m.GetStartedAt().AsTime(), finished: m.GetFinishedAt().AsTime(),
			bytes: m.GetBytes(), shards: int(m.GetShards()), carried: int(m.GetCarriedForward()), warnings: len(m.GetWarnings()),
		}, false)
	case *pb.RestoreCompleted:
		s.restored(day, m)
		s.drilled(drill{day: day, at: m.GetFinishedAt().AsTime(), passed: true, compared: m.GetVerdict().GetCompared(), note: m.GetVerdict().GetNote()}, false)
	case *pb.RestoreFailed:
		if v := m.GetVerdict(); v != nil {
			s.drilled(drill{day: day, at: s.opts.Now(), compared: v.GetCompared(), differences: len(v.GetDifferences()), note: v.GetNote()}, false)
		}
	case *pb.DumpCompleted:
		s.dumpedNow(day, m)
	}
}

// backup is what is told of a finished backup.
type backup struct {
	day                       night.Day
	cutoff, started, finished time.Time
	bytes                     int64
	shards, carried, warnings int
}

func (s *Set) backedUp(b backup, recalled bool) {
	s.newest.take("backup", b.day, recalled, func() {
		s.stamp("backup_last_success_timestamp_seconds", b.finished)
		s.stamp("backup_cutoff_timestamp_seconds", b.cutoff)
		s.begin("backup_day_timestamp_seconds", b.day)
		s.set("backup_duration_seconds", b.finished.Sub(b.started).Seconds())
		s.set("backup_bytes", float64(b.bytes))
		s.set("backup_shards", float64(b.shards))
		s.set("backup_carried_shards", float64(b.carried))
		s.set("backup_warnings", float64(b.warnings))
	})
}

// drill is a verdict.
type drill struct {
	day         night.Day
	at          time.Time
	passed      bool
	compared    int64
	differences int
	note        string
}

// drilled takes a verdict. One that had nothing to compare with proves nothing.
func (s *Set) drilled(d drill, recalled bool) {
	if d.note == night.NoFingerprint {
		return
	}
	s.newest.take("drill", d.day, recalled, func() {
		s.begin("drill_day_timestamp_seconds", d.day)
		s.set("drill_compared", float64(d.compared))
		s.set("drill_differences", float64(min(d.differences, maxDifferences)))
		if !d.passed {
			s.stamp("drill_last_failure_timestamp_seconds", d.at)
		}
	})
	if d.passed {
		s.newest.take("passed drill", d.day, recalled, func() { s.stamp("drill_last_success_timestamp_seconds", d.at) })
	}
}

func (s *Set) restored(day night.Day, m *pb.RestoreCompleted) {
	s.newest.take("restore", day, false, func() {
		s.set("restore_duration_seconds", m.GetFinishedAt().AsTime().Sub(m.GetStartedAt().AsTime()).Seconds())
		s.set("restore_bytes", float64(m.GetBytes()))
		s.set("restore_shards", float64(m.GetShards()))
		s.set("restore_kept_shards", float64(m.GetKept()))
	})
}

// dump is what the store knows of a dump.
type dump struct {
	day         night.Day
	measurement string
	at          time.Time
	bytes       int64
	complete    bool
}

// dumped takes a dump of a measurement that is dumped each night.
func (s *Set) dumped(d dump, recalled bool) {
	of := d.measurement
	if !s.watches(of) {
		return
	}
	s.newest.take(kindOf("dump", of), d.day, recalled, func() {
		s.stamp("dump_last_success_timestamp_seconds", d.at, of)
		s.begin("dump_day_timestamp_seconds", d.day, of)
		s.set("dump_bytes", float64(d.bytes), of)
		complete := 0.0
		if d.complete {
			complete = 1
		}
		s.set("dump_complete", complete, of)
	})
	if d.complete {
		s.newest.take(kindOf("complete dump", of), d.day, recalled, func() { s.begin("dump_complete_day_timestamp_seconds", d.day, of) })
	}
}

// dumpedNow takes a dump that this process wrote: it knows more of it than the
// store does.
func (s *Set) dumpedNow(day night.Day, m *pb.DumpCompleted) {
	of := m.GetMeasurement()
	s.dumped(dump{day: day, measurement: of, at: m.GetFinishedAt().AsTime(), bytes: m.GetBytes(), complete: m.GetComplete()}, false)
	if !s.watches(of) {
		return
	}
	s.newest.take(kindOf("written dump", of), day, false, func() {
		s.set("dump_duration_seconds", m.GetFinishedAt().AsTime().Sub(m.GetStartedAt().AsTime()).Seconds(), of)
		s.set("dump_records", float64(m.GetRecords()), of)
	})
}
