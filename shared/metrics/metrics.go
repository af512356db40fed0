package metrics

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nightshard/shared/events"
	"nightshard/shared/night"
)

// The services, whose results differ.
const (
	Backup  = "backup"
	Restore = "restore"
	Dumper  = "dumper"
)

// Why something could not be read from the store.
const (
	damaged    = "damaged"
	unanswered = "unanswered"
)

// prefix begins every name.
const prefix = "nightshard_"

// Options say whose metrics they are.
type Options struct {
	// Service is Backup, Restore or Dumper: only the freshness of its own results
	// is exported.
	Service string
	// Database is the one that it works on.
	Database string
	// Location is the time zone of days.
	Location *time.Location
	// Measurements are those that a dumper dumps each night. One that somebody
	// asked for once is not watched.
	Measurements []string
	// Now is the time.
	Now func() time.Time
}

// Set is all metrics of one service. It is safe for concurrent use.
type Set struct {
	opts   Options
	newest newest
	faults
	gauges map[string]*prometheus.GaugeVec
}

// faults count what went wrong.
type faults struct {
	deliveries     *prometheus.CounterVec
	redeliveries   prometheus.Counter
	failedAttempts *prometheus.CounterVec
	swiftRetries   *prometheus.CounterVec
	notifications  *prometheus.CounterVec
	recallFailures *prometheus.CounterVec
	recalled       prometheus.Gauge
}

// New registers the metrics. A counter begins with 0 for each label that is known
// ahead: a counter that appears with 1 did not increase, as Prometheus sees it.
func New(reg prometheus.Registerer, o Options) *Set {
	s := &Set{opts: o, newest: newest{days: map[string]night.Day{}}, gauges: map[string]*prometheus.GaugeVec{}, faults: newFaults(reg)}
	for _, g := range gaugesOf(o.Service) {
		s.gauges[g.name] = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + g.name, Help: g.help}, g.labels)
		reg.MustRegister(s.gauges[g.name])
	}
	for _, reason := range []string{damaged, unanswered} {
		s.recallFailures.WithLabelValues(reason)
	}
	for _, outcome := range events.Outcomes() {
		s.deliveries.WithLabelValues(string(outcome))
	}
	for _, op := range []string{"open", "put", "get", "list", "copy", "delete", "sweep"} {
		s.swiftRetries.WithLabelValues(op)
	}
	for _, kind := range []string{"heartbeat", "webhook"} {
		for _, outcome := range []string{"sent", "failed", "dropped"} {
			s.notifications.WithLabelValues(kind, outcome)
		}
	}
	return s
}

func newFaults(reg prometheus.Registerer) faults {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	f := faults{
		deliveries:     counter("deliveries_total", "Events that the service worked on, by how that ended: done, failed (given up), retry, handed_back (the service stopped), lost (to another replica).", "outcome"),
		redeliveries:   counter("redeliveries_total", "Events that came again, after a failed attempt or because a process ended in the middle.").WithLabelValues(),
		failedAttempts: counter("failed_attempts_total", "Attempts that failed, by the step that did.", "step"),
		swiftRetries:   counter("swift_retries_total", "Calls to Swift that failed and were tried again.", "operation"),
		notifications:  counter("notifications_total", "Heartbeats and webhooks, by what became of them: sent, failed (after all tries), dropped (too many waited).", "kind", "outcome"),
		recallFailures: counter("recall_failures_total", "What could not be read from Swift when the freshness of earlier results was rebuilt at start: a damaged record counts as none, unanswered questions are asked again.", "reason"),
		recalled:       prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "recall_complete", Help: "1 once the freshness of earlier results is rebuilt from Swift after the start, 0 before."}),
	}
	reg.MustRegister(f.recalled)
	return f
}

// gauge describes one gauge.
type gauge struct {
	name, help string
	labels     []string
}

// gaugesOf are the gauges of a service's results.
func gaugesOf(service string) []gauge {
	of := []string{"measurement"}
	switch service {
	case Backup:
		return []gauge{
			{"backup_last_success_timestamp_seconds", "When the newest day that holds a whole backup was finished.", nil},
			{"backup_cutoff_timestamp_seconds", "Every point up to this time is in the newest backup.", nil},
			{"backup_day_timestamp_seconds", "Midnight at which the day of the newest backup begins.", nil},
			{"backup_duration_seconds", "How long the newest backup took.", nil},
			{"backup_bytes", "Size of the newest backup.", nil},
			{"backup_shards", "Shards of the newest backup.", nil},
			{"backup_carried_shards", "Shards of the newest backup that were copied from an earlier day.", nil},
			{"backup_warnings", "What is unusual about the newest backup, in warnings.", nil},
		}
	case Restore:
		return []gauge{
			{"drill_last_success_timestamp_seconds", "When the drill of the newest day that passed one ended.", nil},
			{"drill_last_failure_timestamp_seconds", "When the drill of the newest day that has a verdict failed.", nil},
			{"drill_day_timestamp_seconds", "Midnight at which the newest day that has a verdict begins.", nil},
			{"drill_compared", "Counts that the newest day's drill compared.", nil},
			{"drill_differences", "Counts of these that differed; 100 means 100 or more.", nil},
			{"restore_duration_seconds", "How long the restore of the newest day took, drill included.", nil},
			{"restore_bytes", "Size of what the restore of the newest day read.", nil},
			{"restore_shards", "Shards that the restore of the newest day brought.", nil},
			{"restore_kept_shards", "Shards of these that the intermediary held already.", nil},
		}
	case Dumper:
		return []gauge{
			{"dump_last_success_timestamp_seconds", "When the newest dump of the measurement was stored.", of},
			{"dump_day_timestamp_seconds", "Midnight at which the day of the newest dump begins.", of},
			{"dump_complete", "1 if the newest dump reaches to the end of its day, 0 while its last minutes are missing.", of},
			{"dump_complete_day_timestamp_seconds", "Midnight at which the newest day begins whose dump is complete.", of},
			{"dump_duration_seconds", "How long the newest dump took.", of},
			{"dump_bytes", "Size of the newest dump.", of},
			{"dump_records", "Records of the newest dump.", of},
		}
	}
	return nil
}

// set sets a gauge of the service.
func (s *Set) set(name string, value float64, labels ...string) {
	s.gauges[name].WithLabelValues(labels...).Set(value)
}

// stamp sets a gauge to a time; one that is not known stays without a sample.
func (s *Set) stamp(name string, at time.Time, labels ...string) {
	if !at.IsZero() {
		s.set(name, float64(at.UnixMilli())/1000, labels...)
	}
}

// begin sets a gauge to the first instant of a day.
func (s *Set) begin(name string, day night.Day, labels ...string) {
	from, _ := day.Window(s.opts.Location)
	s.stamp(name, from, labels...)
}

// watches says whether the measurement is dumped each night.
func (s *Set) watches(measurement string) bool {
	return slices.Contains(s.opts.Measurements, measurement)
}

// Retried counts a call to Swift that is tried again.
func (s *Set) Retried(operation string) { s.swiftRetries.WithLabelValues(operation).Inc() }

// Notified counts a heartbeat or a webhook.
func (s *Set) Notified(kind, outcome string) { s.notifications.WithLabelValues(kind, outcome).Inc() }

// newest keeps which day each kind of result was last taken from: the dump of an
// old day, made today, says nothing about how fresh the dumps are.
type newest struct {
	mu   sync.Mutex
	days map[string]night.Day
}

// take calls apply if no later day is known. What is recalled from the store also
// yields to what an event said of the same day.
func (n *newest) take(kind string, day night.Day, recalled bool, apply func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	known, ok := n.days[kind]
	if ok && (day.Before(known) || recalled && !known.Before(day)) {
		return
	}
	n.days[kind] = day
	apply()
}

// kindOf is the kind of result of one measurement.
func kindOf(kind, measurement string) string { return fmt.Sprintf("%s of %q", kind, measurement) }
