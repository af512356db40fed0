package notify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"nightshard/shared/notify"
	"nightshard/shared/testbed"
)

// patience bounds every wait. It is no measurement.
const patience = time.Minute

// secret is a part of each URL that must never be told.
const secret = "hush-0815"

// listener is a server that answers each request with the next of its statuses,
// the last one for ever; 0 does not answer at all.
type listener struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	requests []string // method, path and body
	release  chan struct{}
}

func listen(t *testing.T, statuses ...int) *listener {
	t.Helper()
	l := &listener{statuses: statuses, release: make(chan struct{})}
	l.Server = httptest.NewServer(l)
	t.Cleanup(func() {
		close(l.release)
		l.Close()
	})
	return l
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	l.mu.Lock()
	l.requests = append(l.requests, r.Method+" "+r.URL.Path+" "+string(body))
	status := l.statuses[min(len(l.requests), len(l.statuses))-1]
	l.mu.Unlock()
	switch status {
	case 0:
		<-l.release
	case http.StatusFound:
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(status)
	default:
		w.WriteHeader(status)
	}
}

func (l *listener) seen() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.requests...)
}

// teller collects what became of the messages, and the log.
type teller struct {
	mu   sync.Mutex
	told []string
	log  bytes.Buffer
}

func (c *teller) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Write(p)
}

func (c *teller) tell(kind, outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, kind+" "+outcome)
}

func (c *teller) state() (told, log string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.told, ", "), c.log.String()
}

// start runs a notifier with short waits, and checks at the end that its log
// tells no secret.
func start(t *testing.T, cfg notify.Config) (*notify.Notifier, *teller) {
	t.Helper()
	c := &teller{}
	cfg.Told, cfg.Log = c.tell, zerolog.New(c)
	cfg.Wait = time.Millisecond
	t.Cleanup(func() {
		if _, log := c.state(); strings.Contains(log, secret) {
			t.Errorf("the log tells the secret: %s", log)
		}
	})
	return notify.New(cfg), c
}

func closed(t *testing.T, n *notify.Notifier) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	n.Close(ctx)
}

func failure() notify.Failure {
	return notify.Failure{
		Event: "backup.failed", Service: "backup", Database: "db", Day: "2016-06-01", Step: "shards", Attempts: 5,
		Error: "store shard 7: <broken> & gone", Time: time.Date(2016, 6, 2, 0, 1, 2, 0, time.UTC),
	}
}

func TestWhatTheServerDoesNotTakeIsSentAgain(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		statuses []int
		requests int
		told     string
	}{
		"taken at once":       {[]int{200}, 1, "sent"},
		"created":             {[]int{201}, 1, "sent"},
		"500, then 200":       {[]int{500, 503, 200}, 3, "sent"},
		"stalled, then 200":   {[]int{0, 200}, 2, "sent"},
		"asked to wait":       {[]int{429, 200}, 2, "sent"},
		"no such webhook":     {[]int{404}, 1, "failed"},
		"redirected":          {[]int{302}, 1, "failed"},
		"timed out elsewhere": {[]int{408, 200}, 2, "sent"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			l := listen(t, c.statuses...)
			n, told := start(t, notify.Config{Heartbeat: l.URL + "/" + secret, Try: time.Second})
			n.Beat()
			closed(t, n)
			got, log := told.state()
			if got != "heartbeat "+c.told || len(l.seen()) != c.requests || l.seen()[0] != "GET /"+secret+" " {
				t.Errorf("%s after %q\n%s", got, l.seen(), log)
			}
		})
	}
}

func TestAServerThatNeverTakesItIsGivenUp(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for what, url := range map[string]string{"500": listen(t, 500).URL, "stalled": listen(t, 0).URL, "refused": gone.URL} {
		n, told := start(t, notify.Config{Webhook: url + "/" + secret, Try: 100 * time.Millisecond, GiveUp: 300 * time.Millisecond})
		n.Fail(failure())
		closed(t, n)
		if got, log := told.state(); got != "webhook failed" || !strings.Contains(log, `"level":"warn"`) || !strings.Contains(log, "send webhook: ") {
			t.Errorf("%s: %s\n%s", what, got, log)
		}
	}
}

func TestWebhookHasTheFormThatIsSet(t *testing.T) {
	t.Parallel()
	l := listen(t, 200)
	n, _ := start(t, notify.Config{Webhook: l.URL + "/json", Format: notify.JSON})
	n.Fail(failure())
	n.Beat() // there is no heartbeat
	closed(t, n)
	body, _ := strings.CutPrefix(l.seen()[0], "POST /json ")
	var back notify.Failure
	if err := json.Unmarshal([]byte(body), &back); err != nil || back != failure() {
		t.Errorf("%s, %v", body, err)
	}
	n, _ = start(t, notify.Config{Webhook: l.URL + "/slack", Format: notify.Slack})
	f := failure()
	f.Measurement, f.Attempts = "cpu", 1
	n.Fail(f)
	n.Fail(notify.Failure{Event: "dump.failed", Error: "read event", Attempts: 2})
	closed(t, n)
	want := []string{
		`*backup.failed* of 2016-06-01, "cpu", database "db", in step shards, after 1 attempt: store shard 7: &lt;broken&gt; &amp; gone`,
		`*dump.failed*, after 2 attempts: read event`,
	}
	for i, want := range want {
		var slack struct{ Text string }
		body, _ := strings.CutPrefix(l.seen()[i+1], "POST /slack ")
		if err := json.Unmarshal([]byte(body), &slack); err != nil || slack.Text != want {
			t.Errorf("%s, %v", body, err)
		}
	}
}

func TestNobodyWaitsForAServerThatStalls(t *testing.T) {
	t.Parallel()
	l := listen(t, 0)
	n, told := start(t, notify.Config{Webhook: l.URL + "/" + secret, Heartbeat: listen(t, 200).URL, Try: time.Hour, GiveUp: time.Hour})
	n.Fail(failure())
	testbed.Eventually(t, patience, "the first to be on its way", func() bool { return len(l.seen()) == 1 })
	// One is on its way, 64 wait, and there is no room for the others.
	for range 70 {
		n.Fail(failure())
	}
	// Another kind is not held up.
	n.Beat()
	testbed.Eventually(t, patience, "the heartbeat", func() bool { got, _ := told.state(); return strings.Contains(got, "heartbeat sent") })
	if got, _ := told.state(); strings.Count(got, "webhook dropped") != 6 {
		t.Errorf("told: %s", got)
	}
	// A service that stops does not wait either.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	n.Close(ctx)
	if got, _ := told.state(); strings.Count(got, "webhook failed") != 65 {
		t.Errorf("told: %s", got)
	}
}
