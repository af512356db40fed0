package testbed_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nightshard/shared/testbed"
)

const upload, download = "what the client sends", "what the server answers"

// proxied starts a server that remembers what it got, behind a proxy.
func proxied(t *testing.T) (*testbed.HTTPProxy, *atomic.Value) {
	t.Helper()
	var got atomic.Value
	got.Store("")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			got.Store(string(body))
		}
		w.Header().Set("Etag", "stored")
		_, _ = io.WriteString(w, download)
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return testbed.NewHTTPProxy(t, u.Host), &got
}

// put sends the upload through the proxy, for at most a second.
func put(t *testing.T, p *testbed.HTTPProxy) (status int, answer, etag string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+p.Addr+"/a%2Fb?q=1", strings.NewReader(upload))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0, "", "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), resp.Header.Get("Etag"), err
}

func TestHTTPProxyBreaksWhatItIsToldTo(t *testing.T) {
	t.Parallel()
	half := download[:len(download)/2]
	for _, c := range []struct {
		name           string
		fault          testbed.HTTPFault
		status         int
		answer         string
		broken, stored bool // the client sees an error; the server got all of the upload
	}{
		{"pass", testbed.HTTPFault{}, 200, download, false, true},
		{"answer", testbed.HTTPFault{Action: testbed.Answer, Status: 503}, 503, "<html><h1>Service Unavailable</h1></html>", false, false},
		{"drop", testbed.HTTPFault{Action: testbed.Drop}, 0, "", true, false},
		{"reset request", testbed.HTTPFault{Action: testbed.ResetRequest}, 0, "", true, false},
		{"stall request", testbed.HTTPFault{Action: testbed.StallRequest}, 0, "", true, false},
		{"lose answer", testbed.HTTPFault{Action: testbed.LoseAnswer}, 0, "", true, true},
		{"cut answer", testbed.HTTPFault{Action: testbed.CutAnswer}, 200, half, true, true},
		{"reset answer", testbed.HTTPFault{Action: testbed.ResetAnswer}, 200, half, true, true},
		{"stall answer", testbed.HTTPFault{Action: testbed.StallAnswer}, 200, half, true, true},
		{"slow answer", testbed.HTTPFault{Action: testbed.SlowAnswer, Pause: time.Millisecond}, 200, download, false, true},
		{"short answer", testbed.HTTPFault{Action: testbed.ShortAnswer}, 200, half, false, true},
		{"edit answer", testbed.HTTPFault{Action: testbed.EditAnswer, Edit: func(b []byte) []byte { return append(b, '!') }}, 200, download + "!", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, got := proxied(t)
			p.OnRequest(func(r testbed.HTTPRequest) testbed.HTTPFault {
				if r.Method != http.MethodPut || r.Path != "/a%2Fb" || r.Query != "q=1" {
					t.Errorf("the plan was asked about %+v", r)
				}
				return c.fault
			})
			status, answer, _, err := put(t, p)
			if status != c.status || answer != c.answer || (err != nil) != c.broken {
				t.Errorf("status %d, answer %q, error %v", status, answer, err)
			}
			if stored := got.Load() == upload; stored != c.stored {
				t.Errorf("the server got %q", got.Load())
			}
		})
	}
}

func TestHTTPProxyDamagesContent(t *testing.T) {
	t.Parallel()
	p, got := proxied(t)
	p.OnRequest(func(testbed.HTTPRequest) testbed.HTTPFault { return testbed.HTTPFault{Action: testbed.FlipAnswer} })
	if _, answer, _, err := put(t, p); err != nil || answer == download || len(answer) != len(download) {
		t.Errorf("answer %q, %v", answer, err)
	}
	for hidden, want := range map[testbed.HTTPAction]string{
		testbed.FlipRequest: "stored", testbed.FlipRequestHidden: "5ac7c28f63415d8fc663064219b69339",
	} {
		p.OnRequest(func(testbed.HTTPRequest) testbed.HTTPFault { return testbed.HTTPFault{Action: hidden} })
		_, answer, etag, err := put(t, p)
		if stored, _ := got.Load().(string); err != nil || answer != download || etag != want || stored == upload || len(stored) != len(upload) {
			t.Errorf("stored %q, answer %q with %q, %v", stored, answer, etag, err)
		}
	}
}

func TestHTTPProxyTellsWhenARequestComesAndIsDone(t *testing.T) {
	t.Parallel()
	p, got := proxied(t)
	var before, after string
	p.OnRequest(func(testbed.HTTPRequest) testbed.HTTPFault {
		return testbed.HTTPFault{
			Before: func() { before, _ = got.Load().(string) },
			After:  func() { after, _ = got.Load().(string) },
		}
	})
	if _, _, _, err := put(t, p); err != nil || before != "" || after != upload {
		t.Errorf("before %q, after %q, %v", before, after, err)
	}
	form, err := http.Post("http://"+p.Addr, "application/x-www-form-urlencoded", strings.NewReader("q=SHOW+SHARDS"))
	if err != nil {
		t.Fatal(err)
	}
	_ = form.Body.Close()
	if got.Load() != "q=SHOW+SHARDS" {
		t.Errorf("the server got %q", got.Load())
	}
}
