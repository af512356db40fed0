package metrics_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/metrics"
	"nightshard/shared/night"
)

// at is when everything of the tests happens.
var at = time.Date(2016, 6, 2, 0, 0, 30, 0, time.UTC)

// page is a service's metrics as they are scraped.
type page struct {
	*metrics.Set
	reg *prometheus.Registry
}

func newPage(t *testing.T, service string) *page {
	t.Helper()
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	return &page{reg: reg, Set: metrics.New(reg, metrics.Options{
		Service: service, Database: "db", Location: loc, Measurements: []string{"cpu", "disk/free"}, Now: func() time.Time { return at },
	})}
}

// scrape gives the samples, by name and labels.
func (p *page) scrape(t *testing.T) map[string]string {
	t.Helper()
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(p.reg, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	samples := map[string]string{}
	for line := range strings.Lines(rec.Body.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			samples[strings.TrimPrefix(name, "nightshard_")] = value
		}
	}
	return samples
}

// has fails the test unless the samples are these; "" is for none.
func (p *page) has(t *testing.T, want map[string]string) {
	t.Helper()
	got := p.scrape(t)
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
}

func ended(outcome events.Outcome, attempt int, step string, msgs ...proto.Message) events.Ending {
	return events.Ending{Delivery: &events.Delivery{Attempt: attempt}, Outcome: outcome, Step: step, Published: msgs}
}

func backupOf(day string, after time.Duration) *pb.BackupCompleted {
	return &pb.BackupCompleted{
		Day: day, Shards: 16, CarriedForward: 14, Bytes: 1000, Warnings: []string{"half of the values are gone"},
		Cutoff: timestamppb.New(at.Add(after - time.Minute)), StartedAt: timestamppb.New(at.Add(after - 30*time.Second)), FinishedAt: timestamppb.New(at.Add(after)),
	}
}

func TestNothingIsExportedThatIsNotKnown(t *testing.T) {
	t.Parallel()
	for _, service := range []string{metrics.Backup, metrics.Restore, metrics.Dumper} {
		p := newPage(t, service)
		for name, value := range p.scrape(t) {
			if value != "0" || !strings.Contains(name, "_total") && name != "recall_complete" {
				t.Errorf("%s: %s %s", service, name, value)
			}
		}
		p.has(t, map[string]string{
			`deliveries_total{outcome="failed"}`: "0", "redeliveries_total": "0", `swift_retries_total{operation="put"}`: "0",
			`notifications_total{kind="webhook",outcome="dropped"}`: "0", `recall_failures_total{reason="damaged"}`: "0", "recall_complete": "0",
		})
	}
}

func TestABackupIsTold(t *testing.T) {
	t.Parallel()
	p := newPage(t, metrics.Backup)
	p.Ended(ended(events.OutcomeDone, 1, "", backupOf("2016-06-01", 0)))
	want := map[string]string{
		"backup_last_success_timestamp_seconds": "1.46482563e+09", "backup_cutoff_timestamp_seconds": "1.46482557e+09",
		"backup_day_timestamp_seconds": "1.464732e+09" /* midnight in Berlin */, "backup_duration_seconds": "30", "backup_bytes": "1000",
		"backup_shards": "16", "backup_carried_shards": "14", "backup_warnings": "1",
		`deliveries_total{outcome="done"}`: "1", "redeliveries_total": "0",
	}
	p.has(t, want)
	// The backup of an old day is not how fresh backups are.
	p.Ended(ended(events.OutcomeDone, 1, "", backupOf("2016-05-01", time.Hour)))
	want[`deliveries_total{outcome="done"}`] = "2"
	p.has(t, want)
	// The same day again is, and so is a later one.
	p.Ended(ended(events.OutcomeDone, 1, "", backupOf("2016-06-01", time.Hour)))
	p.has(t, map[string]string{"backup_last_success_timestamp_seconds": "1.46482923e+09"})
}

func TestAFailureIsCountedByItsStep(t *testing.T) {
	t.Parallel()
	p := newPage(t, metrics.Backup)
	p.Ended(ended(events.OutcomeRetry, 1, "shards"))
	p.Ended(ended(events.OutcomeRetry, 2, ""))
	p.Ended(ended(events.OutcomeFailed, 3, "shards", &pb.BackupFailed{Day: "2016-06-01"}))
	p.Ended(ended(events.OutcomeFailed, 1, "read event", &pb.BackupFailed{Day: "yesterday"}))
	p.Ended(ended(events.OutcomeLost, 1, "check"))
	p.Retried("get")
	p.Notified("webhook", "failed")
	p.has(t, map[string]string{
		`deliveries_total{outcome="retry"}`: "2", `deliveries_total{outcome="failed"}`: "2", `deliveries_total{outcome="lost"}`: "1",
		`failed_attempts_total{step="shards"}`: "2", `failed_attempts_total{step="unknown"}`: "1", `failed_attempts_total{step="check"}`: "",
		"redeliveries_total": "2", `swift_retries_total{operation="get"}`: "1", `notifications_total{kind="webhook",outcome="failed"}`: "1",
		"backup_last_success_timestamp_seconds": "",
	})
}

func restored(day, note string) *pb.RestoreCompleted {
	return &pb.RestoreCompleted{
		Day: day, Verdict: &pb.Verdict{Compared: 214, Note: note}, Shards: 16, Kept: 3, Bytes: 1000,
		StartedAt: timestamppb.New(at.Add(-time.Minute)), FinishedAt: timestamppb.New(at),
	}
}

func TestADrillIsTold(t *testing.T) {
	t.Parallel()
	p := newPage(t, metrics.Restore)
	p.Ended(ended(events.OutcomeDone, 1, "", restored("2016-05-01", night.NoFingerprint)))
	p.has(t, map[string]string{"drill_last_success_timestamp_seconds": "", "drill_compared": "", "restore_shards": "16"})
	p.Ended(ended(events.OutcomeDone, 1, "", restored("2016-06-01", "")))
	p.has(t, map[string]string{
		"drill_last_success_timestamp_seconds": "1.46482563e+09", "drill_last_failure_timestamp_seconds": "", "drill_compared": "214",
		"drill_differences": "0", "drill_day_timestamp_seconds": "1.464732e+09", "restore_duration_seconds": "60", "restore_bytes": "1000", "restore_kept_shards": "3",
	})
	// A restore that failed before its drill has no verdict.
	p.Ended(ended(events.OutcomeFailed, 5, "guard", &pb.RestoreFailed{Day: "2016-06-02"}))
	p.has(t, map[string]string{"drill_last_failure_timestamp_seconds": "", "drill_differences": "0"})
	differ := &pb.RestoreFailed{Day: "2016-06-02", Verdict: &pb.Verdict{Compared: 200, Differences: []*pb.Difference{{}, {}}}}
	p.Ended(ended(events.OutcomeFailed, 5, "drill", differ))
	failed := map[string]string{
		"drill_last_success_timestamp_seconds": "1.46482563e+09", "drill_last_failure_timestamp_seconds": "1.46482563e+09",
		"drill_compared": "200", "drill_differences": "2", "drill_day_timestamp_seconds": "1.4648184e+09",
	}
	p.has(t, failed)
	// An older day that passes does not hide it.
	p.Ended(ended(events.OutcomeDone, 1, "", restored("2016-06-01", "")))
	p.has(t, failed)
}

func dumped(day, measurement string, complete bool) *pb.DumpCompleted {
	return &pb.DumpCompleted{
		Day: day, Measurement: measurement, Records: 7, Bytes: 70, Complete: complete,
		StartedAt: timestamppb.New(at.Add(-time.Second)), FinishedAt: timestamppb.New(at),
	}
}

func TestDumpsAreToldByMeasurement(t *testing.T) {
	t.Parallel()
	p := newPage(t, metrics.Dumper)
	p.Ended(ended(events.OutcomeDone, 1, "", dumped("2016-05-31", "cpu", true), dumped("2016-06-01", "cpu", false), dumped("2016-06-01", "once", true)))
	p.has(t, map[string]string{
		`dump_last_success_timestamp_seconds{measurement="cpu"}`: "1.46482563e+09", `dump_day_timestamp_seconds{measurement="cpu"}`: "1.464732e+09",
		`dump_complete{measurement="cpu"}`: "0", `dump_complete_day_timestamp_seconds{measurement="cpu"}`: "1.4646456e+09",
		`dump_records{measurement="cpu"}`: "7", `dump_bytes{measurement="cpu"}`: "70", `dump_duration_seconds{measurement="cpu"}`: "1",
		`dump_last_success_timestamp_seconds{measurement="disk/free"}`: "",
		// Somebody asked for it once: it must not grow old.
		`dump_last_success_timestamp_seconds{measurement="once"}`: "", `dump_records{measurement="once"}`: "",
	})
}
