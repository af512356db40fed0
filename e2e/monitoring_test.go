package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/testbed"
)

// page reads the service's metrics as Prometheus does.
func (p *proc) page() string {
	p.t.Helper()
	var addr string
	testbed.Eventually(p.t, time.Minute, p.name+" to serve its metrics", func() bool {
		found := regexp.MustCompile(`"address":"([^"]+)"[^\n]*"message":"health page`).FindStringSubmatch(p.logged())
		if found != nil {
			addr = found[1]
		}
		return found != nil
	})
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+addr+"/metrics", nil)
	must(p.t, err)
	resp, err := http.DefaultClient.Do(req)
	must(p.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	must(p.t, err)
	return string(body)
}

// ours are the lines of a page that are about our metrics.
func ours(page string) string {
	var b strings.Builder
	for line := range strings.Lines(page) {
		if strings.Contains(line, "nightshard_") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// samples are our metrics on the page, by name and labels.
func (p *proc) samples() map[string]float64 {
	p.t.Helper()
	out := map[string]float64{}
	for line := range strings.Lines(p.page()) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && strings.HasPrefix(name, "nightshard_") {
			n, err := strconv.ParseFloat(value, 64)
			must(p.t, err)
			out[name] = n
		}
	}
	return out
}

// sees waits until a metric has a value.
func (p *proc) sees(name string, value float64) {
	p.t.Helper()
	testbed.Eventually(p.t, time.Minute, fmt.Sprintf("%s of %s to be %v", name, p.name, value), func() bool {
		got, ok := p.samples()[name]
		return ok && got == value
	})
}

// stampOf is a time as a metric has it.
func stampOf(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

// people is a server outside that is told of good and of bad nights. It fails at
// first.
type people struct {
	*httptest.Server
	mu   sync.Mutex
	told []string
}

func newPeople(t *testing.T) *people {
	p := &people{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.told = append(p.told, r.Method+" "+r.URL.Path+" "+string(body))
		if len(p.told) == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// hear waits for the n-th request.
func (p *people) hear(t *testing.T, n int) string {
	t.Helper()
	var got string
	testbed.Eventually(t, time.Minute, fmt.Sprintf("request %d", n), func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.told) >= n {
			got = p.told[n-1]
		}
		return len(p.told) >= n
	})
	return got
}

// watched is a house whose services tell people.
type watched struct {
	*house
	heartbeat, webhook *people
	procs              []*proc // backup, restore, dumper
	seen               []string
}

// up starts the services and waits until they know what was before.
func (w *watched) up() {
	w.t.Helper()
	w.procs = nil
	for _, name := range []string{"backup", "restore", "dumper"} {
		w.procs = append(w.procs, w.start(name,
			"NIGHTSHARD_WEBHOOK_URL="+w.webhook.URL+"/hush-0815", "NIGHTSHARD_WEBHOOK_FORMAT=slack",
			"NIGHTSHARD_HEARTBEAT_URL="+w.heartbeat.URL+"/hush-4711"))
	}
	for _, p := range w.procs {
		p.sees("nightshard_recall_complete", 1)
	}
	w.note()
}

// note keeps the names that are exported, and has promtool judge them.
func (w *watched) note() {
	w.t.Helper()
	for _, p := range w.procs {
		for name := range p.samples() {
			name, _, _ = strings.Cut(name, "{")
			w.seen = append(w.seen, name)
		}
		path, err := exec.LookPath("promtool")
		if err != nil && os.Getenv("TESTBED_REQUIRED") != "1" {
			continue
		}
		must(w.t, err)
		cmd := exec.CommandContext(w.t.Context(), path, "check", "metrics")
		cmd.Stdin = strings.NewReader(ours(p.page()))
		if out, err := cmd.CombinedOutput(); err != nil {
			w.t.Errorf("promtool on the metrics of %s: %v\n%s", p.name, err, out)
		}
	}
}

// down stops the services; none has told a secret.
func (w *watched) down() {
	w.t.Helper()
	for _, p := range w.procs {
		must(w.t, p.stop(syscall.SIGTERM))
		if strings.Contains(p.logged(), "hush-") {
			w.t.Errorf("the log of %s tells a secret:\n%s", p.name, p.logged())
		}
	}
}

func TestMetricsOutliveARestartAndPeopleAreTold(t *testing.T) {
	t.Parallel()
	w := &watched{house: build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{}), heartbeat: newPeople(t), webhook: newPeople(t)}
	w.fillWeek(2)
	// A verdict of an earlier night, which failed.
	failedAt := time.Date(2016, 5, 26, 0, 20, 0, 0, time.UTC)
	verdict := night.Drill{Schema: night.Schema, Day: dayName(0), Database: database, Compared: 3, Differences: make([]night.Difference, 2), FinishedAt: failedAt}
	data, err := verdict.Encode()
	must(t, err)
	_, err = w.store.Put(t.Context(), dayName(0), night.DrillObject(mustDay(t, dayName(0))), objstore.NewSource(data), objstore.PutOptions{})
	must(t, err)

	w.up()
	if got := w.procs[0].samples(); got["nightshard_backup_last_success_timestamp_seconds"] != 0 || got["nightshard_backup_shards"] != 0 {
		t.Errorf("there is no backup, and the metrics say %v", got)
	}
	w.procs[1].sees("nightshard_drill_last_failure_timestamp_seconds", stampOf(failedAt))
	w.procs[1].sees("nightshard_drill_differences", 2)

	w.goodNight(t)
	w.badRequest(t)
	w.note()
	before := []map[string]float64{w.procs[0].samples(), w.procs[1].samples(), w.procs[2].samples()}
	w.down()
	w.up()
	for i, p := range w.procs {
		w.remembers(t, p, before[i])
	}
	w.down()
	for _, file := range []string{"../deploy/monitoring/rules.yml", "../deploy/monitoring/dashboard.json"} {
		text, err := os.ReadFile(file)
		must(t, err)
		for _, name := range regexp.MustCompile(`nightshard_[a-z0-9_]+`).FindAllString(string(text), -1) {
			if !slices.Contains(w.seen, name) {
				t.Errorf("%s names %s, which no service exported", file, name)
			}
		}
	}
}

// goodNight runs a night and sees that its metrics are those of its events, and
// that the heartbeat was asked, again after it failed.
func (w *watched) goodNight(t *testing.T) {
	b, r, dumps := w.night(&pb.BackupRequested{Day: dayName(1)}, 1)
	backup, restore, dumper := w.procs[0], w.procs[1], w.procs[2]
	backup.sees("nightshard_backup_last_success_timestamp_seconds", stampOf(b.GetFinishedAt().AsTime()))
	backup.sees("nightshard_backup_cutoff_timestamp_seconds", stampOf(b.GetCutoff().AsTime()))
	backup.sees("nightshard_backup_shards", float64(b.GetShards()))
	backup.sees("nightshard_backup_bytes", float64(b.GetBytes()))
	backup.sees("nightshard_backup_day_timestamp_seconds", stampOf(weekday0().AddDate(0, 0, 1)))
	restore.sees("nightshard_drill_last_success_timestamp_seconds", stampOf(r.GetFinishedAt().AsTime()))
	restore.sees("nightshard_drill_compared", float64(r.GetVerdict().GetCompared()))
	restore.sees("nightshard_drill_differences", 0)
	dumper.sees(`nightshard_dump_last_success_timestamp_seconds{measurement="cpu"}`, stampOf(dumps[0].GetFinishedAt().AsTime()))
	dumper.sees(`nightshard_dump_complete{measurement="cpu"}`, 1)
	dumper.sees(`nightshard_dump_records{measurement="cpu"}`, float64(dumps[0].GetRecords()))
	for n := range 2 { // the first was answered with 500
		if got := w.heartbeat.hear(t, n+1); got != "GET /hush-4711 " {
			t.Errorf("heartbeat %q", got)
		}
	}
	restore.sees(`nightshard_notifications_total{kind="heartbeat",outcome="sent"}`, 1)
	for _, p := range w.procs {
		p.sees(`nightshard_deliveries_total{outcome="done"}`, 1)
	}
}

// badRequest fails, and people hear of it.
func (w *watched) badRequest(t *testing.T) {
	seq := w.publish(events.BackupRequested, &pb.BackupRequested{Database: "none"})
	awaitOn[*pb.BackupFailed](w.house, seq, events.BackupFailed, events.BackupCompleted)
	w.webhook.hear(t, 1) // answered 500
	if got := w.webhook.hear(t, 2); !strings.HasPrefix(got, `POST /hush-0815 {"text":"*backup.failed* of `) || !strings.Contains(got, "in step accept, after 1 attempt: take request: unknown database") {
		t.Errorf("webhook %q", got)
	}
	backup := w.procs[0]
	backup.sees(`nightshard_notifications_total{kind="webhook",outcome="sent"}`, 1)
	backup.sees(`nightshard_deliveries_total{outcome="failed"}`, 1)
	backup.sees(`nightshard_failed_attempts_total{step="accept"}`, 1)
}

// remembers holds what a service knows after a restart against what it knew.
func (w *watched) remembers(t *testing.T, p *proc, before map[string]float64) {
	after := p.samples()
	for name, value := range before {
		got, ok := after[name]
		switch {
		case strings.Contains(name, "_total"), strings.Contains(name, "nightshard_restore_"), strings.Contains(name, "dump_records"),
			strings.Contains(name, "dump_duration"), strings.Contains(name, "last_failure"):
			// These begin anew; the verdict that failed was passed over by a newer
			// one.
		case strings.Contains(name, "dump_last_success"):
			// Swift's own time of the upload, in whole seconds, rounded up.
			if took := before[`nightshard_dump_duration_seconds{measurement="cpu"}`]; !ok || got > value+1 || got < value-took-1 {
				t.Errorf("%s was %v, is %v", name, value, got)
			}
		case !ok || got != value:
			t.Errorf("%s: %s was %v, is %v", p.name, name, value, got)
		}
	}
	if len(after) < 10 {
		t.Errorf("%s exports %v", p.name, after)
	}
}
