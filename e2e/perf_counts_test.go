//go:build !race

package e2e_test

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// memory stands in front of a server's HTTP port and, while it is on, answers
// each count that it has seen before. A backup through it takes as long as it
// would without the fingerprint's queries: these run beside the streams, so no
// other clock can tell their part.
type memory struct {
	target string
	url    string
	on     atomic.Bool

	mu   sync.Mutex
	seen map[string]kept // by statement
}

// memories are those in front of production and of the intermediary, or none.
type memories []*memory

// before is the setting that leads a service through one of them.
func (ms memories) before(setting string, n int) []string {
	if n >= len(ms) {
		return nil
	}
	return []string{setting + "=" + ms[n].url}
}

func (ms memories) turn(on bool) {
	for _, m := range ms {
		m.on.Store(on)
	}
}

// kept is an answer.
type kept struct {
	status int
	header http.Header
	body   []byte
}

func newMemory(t *testing.T, target string) *memory {
	t.Helper()
	m := &memory{target: target, seen: map[string]kept{}}
	s := httptest.NewServer(m)
	t.Cleanup(s.Close)
	m.url = s.URL
	return m
}

// ServeHTTP implements http.Handler.
func (m *memory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	key := counting(body)
	m.mu.Lock()
	answer, ok := m.seen[key]
	m.mu.Unlock()
	if !ok || !m.on.Load() {
		if answer, err = m.ask(r.Context(), r, body); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		if key != "" {
			m.mu.Lock()
			m.seen[key] = answer
			m.mu.Unlock()
		}
	}
	maps.Copy(w.Header(), answer.header)
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body)
}

// counting is the statement of a request that counts, or lists what to count.
func counting(body []byte) string {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return ""
	}
	q := form.Get("q")
	for _, begin := range []string{"SELECT count(", "SHOW MEASUREMENTS", "SHOW FIELD KEYS"} {
		if strings.HasPrefix(q, begin) {
			return q
		}
	}
	return ""
}

// ask passes a request on.
func (m *memory) ask(ctx context.Context, r *http.Request, body []byte) (kept, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, m.target+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return kept{}, err
	}
	req.Header = r.Header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return kept{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return kept{resp.StatusCode, resp.Header, data}, err
}
