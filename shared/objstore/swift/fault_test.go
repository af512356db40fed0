package swift_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ncw/swift/v2/swifttest"

	"nightshard/shared/objstore"
	"nightshard/shared/objstore/swift"
)

const (
	idle = 2 * time.Second
	// secret is swifttest.TEST_ACCOUNT, the fake's only user and key.
	secret = "swifttest"
)

// front is a proxy before the fake server that can go wrong. A fault answers
// the request itself and says so, or leaves it.
type front struct {
	url    string
	mu     sync.Mutex
	fault  func(w http.ResponseWriter, r *http.Request) bool
	change func(*http.Response) error
	token  string
	// done is closed at the test's end, for handlers that stall: a server does
	// not notice that a client has gone while it should read from it.
	done chan struct{}
}

func newFront(t *testing.T, idle time.Duration) (*front, *swift.Store) {
	t.Helper()
	t.Parallel()
	server, err := swifttest.NewSwiftServer("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	target, _ := url.Parse("http://" + server.Listener.Addr().String())
	f := &front{done: make(chan struct{})}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if s := r.Header.Get("X-Storage-Url"); s != "" {
				r.Header.Set("X-Storage-Url", strings.Replace(s, target.String(), f.url, 1))
				f.token = r.Header.Get("X-Auth-Token")
			}
			if f.change != nil {
				return f.change(r)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		fault := f.fault
		f.mu.Unlock()
		if fault == nil || !fault(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(h.Close)
	t.Cleanup(func() { close(f.done) })
	f.url = h.URL
	cfg := swift.Config{AuthURL: h.URL + "/v1.0", AuthVersion: 1, User: swifttest.TEST_ACCOUNT, Key: secret, IdleTimeout: idle}
	store, err := swift.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Put(t.Context(), "c", "a", objstore.NewSource(random(1<<20)), objstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	return f, store
}

// breakWith sets what goes wrong from now on.
func (f *front) breakWith(fault func(http.ResponseWriter, *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func (f *front) changeWith(change func(*http.Response) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.change = change
}

// only makes a fault of those requests that have the method and are about an
// object.
func only(method string, fault func(w http.ResponseWriter, r *http.Request)) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || strings.Count(r.URL.Path, "/") < 4 {
			return false
		}
		fault(w, r)
		return true
	}
}

func put(t *testing.T, s *swift.Store, name string) error {
	t.Helper()
	_, err := s.Put(t.Context(), "c", name, objstore.NewSource(random(8<<20)), objstore.PutOptions{})
	return err
}

func get(t *testing.T, s *swift.Store) (end, err error) {
	t.Helper()
	err = s.Get(t.Context(), "c", "a", func(_ objstore.Object, r io.Reader) error {
		_, end = io.Copy(io.Discard, r)
		return nil // a read function that does not see
	})
	return end, err
}

func TestStalledServerEndsACall(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		t.Run(method, func(t *testing.T) {
			f, s := newFront(t, idle)
			f.breakWith(only(method, func(http.ResponseWriter, *http.Request) { <-f.done }))
			err := map[string]func() error{
				http.MethodGet:    func() error { _, err := get(t, s); return err },
				http.MethodPut:    func() error { return put(t, s, "b") },
				http.MethodDelete: func() error { return s.Delete(t.Context(), "c", "a") },
			}[method]()
			if !errors.Is(err, objstore.ErrStalled) {
				t.Errorf("%s = %v, want ErrStalled", method, err)
			}
		})
	}
}

func TestStallInTheMiddleOfABodyEndsTheGet(t *testing.T) {
	f, s := newFront(t, idle)
	f.breakWith(only(http.MethodGet, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(random(1000))
		_ = http.NewResponseController(w).Flush()
		<-f.done
	}))
	end, err := get(t, s)
	if !errors.Is(end, objstore.ErrStalled) || !errors.Is(err, objstore.ErrStalled) {
		t.Errorf("reader = %v, Get = %v, want ErrStalled", end, err)
	}
}

func TestSlowSourceAndSlowReaderAreNoStall(t *testing.T) {
	_, s := newFront(t, idle)
	src := func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("a"), slow{}, strings.NewReader("b"))), nil
	}
	if _, err := s.Put(t.Context(), "c", "slow", src, objstore.PutOptions{}); err != nil {
		t.Errorf("Put = %v", err)
	}
	err := s.Get(t.Context(), "c", "a", func(_ objstore.Object, r io.Reader) error {
		_, _ = slow{}.Read(nil)
		_, err := io.Copy(io.Discard, r)
		return err
	})
	if err != nil {
		t.Errorf("Get = %v", err)
	}
}

// slow is an empty reader that takes its time.
type slow struct{}

// Read implements io.Reader.
func (slow) Read([]byte) (int, error) {
	<-time.After(idle + time.Second)
	return 0, io.EOF
}

func TestCorruptUploadIsFoundAndRemoved(t *testing.T) {
	f, s := newFront(t, 0)
	f.changeWith(func(r *http.Response) error {
		if r.Request.Method == http.MethodPut {
			r.Header.Set("Etag", `"d41d8cd98f00b204e9800998ecf8427e"`)
		}
		return nil
	})
	if err := put(t, s, "b"); !errors.Is(err, objstore.ErrCorrupt) {
		t.Errorf("Put = %v, want ErrCorrupt", err)
	}
	err := s.Get(t.Context(), "c", "b", func(objstore.Object, io.Reader) error { return nil })
	if !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("Get = %v, want ErrNotFound", err)
	}
}

func TestAnswerBeforeTheEndOfAnUploadIsNotSuccess(t *testing.T) {
	f, s := newFront(t, 0)
	f.breakWith(only(http.MethodPut, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }))
	if err := put(t, s, "b"); err == nil {
		t.Error("Put of content that was never sent succeeded")
	}
}

func TestCorruptDownloadNeverEndsCleanly(t *testing.T) {
	for name, change := range map[string]func(io.ReadCloser) io.Reader{
		"changed": func(b io.ReadCloser) io.Reader { return io.MultiReader(flip(b), b) },
		"cut": func(b io.ReadCloser) io.Reader {
			return io.MultiReader(io.LimitReader(b, 5000), iotest.ErrReader(io.ErrUnexpectedEOF))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := newFront(t, 0)
			f.changeWith(func(r *http.Response) error {
				if r.Request.Method == http.MethodGet {
					r.Body = io.NopCloser(change(r.Body))
				}
				return nil
			})
			end, err := get(t, s)
			if !errors.Is(end, objstore.ErrCorrupt) || !errors.Is(err, objstore.ErrCorrupt) {
				t.Errorf("reader = %v, Get = %v, want ErrCorrupt", end, err)
			}
		})
	}
}

// flip changes the first byte of r.
func flip(r io.Reader) io.Reader {
	b := make([]byte, 1)
	_, _ = io.ReadFull(r, b)
	return strings.NewReader(string(b[0] ^ 1))
}

func TestStatusTellsCodeAndWait(t *testing.T) {
	f, s := newFront(t, 0)
	f.breakWith(only(http.MethodGet, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "17")
		http.Error(w, "busy "+f.token+" "+secret+strings.Repeat(" very", 500), http.StatusServiceUnavailable)
	}))
	_, err := get(t, s)
	var status *objstore.StatusError
	if !errors.As(err, &status) || status.Code != 503 || status.RetryAfter != 17*time.Second {
		t.Fatalf("Get = %#v, want a StatusError", err)
	}
	if text := err.Error(); strings.Contains(text, f.token) || strings.Contains(text, secret) || !strings.Contains(text, "busy") {
		t.Errorf("the error should hold the reason and no secret: %s", text)
	}
}

func TestRefusedTokenIsRenewed(t *testing.T) {
	f, s := newFront(t, 0)
	old := f.token
	f.breakWith(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("X-Auth-Token") == old {
			w.WriteHeader(http.StatusUnauthorized)
		}
		return r.Header.Get("X-Auth-Token") == old
	})
	_, err := get(t, s)
	var status *objstore.StatusError
	if !errors.As(err, &status) || status.Code != http.StatusUnauthorized {
		t.Errorf("Get = %v, want status 401", err)
	}
	if err := s.Reauthenticate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, s); err != nil {
		t.Errorf("Get with a new token = %v", err)
	}
}

func TestWrongKeyIsToldWithoutIt(t *testing.T) {
	f, _ := newFront(t, 0)
	_, err := swift.Open(t.Context(), swift.Config{AuthURL: f.url + "/v1.0", AuthVersion: 1, User: "x", Key: "hunter2"})
	if !errors.Is(err, objstore.ErrCredentials) || strings.Contains(fmt.Sprintf("%+v", err), "hunter2") {
		t.Errorf("Open = %v, want ErrCredentials without the key", err)
	}
}

func TestServerThatIsAwayIsToldWithoutTheKey(t *testing.T) {
	t.Parallel()
	_, err := swift.Open(t.Context(), swift.Config{AuthURL: "http://me:hunter2@127.0.0.1:1/v1.0", AuthVersion: 1, User: "x", Key: "hunter2"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Open = %v, want an error without the key", err)
	}
}

func TestListingThatRepeatsItselfIsAnError(t *testing.T) {
	f, s := newFront(t, 0)
	f.breakWith(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			return false
		}
		_, _ = io.WriteString(w, `[{"name": "a", "bytes": 1, "hash": "x", "last_modified": "2020-01-01T00:00:00.000000"}]`)
		return true
	})
	err := s.List(t.Context(), "c", "", func(objstore.Object) error { return nil })
	if err == nil {
		t.Error("the listing ended")
	}
}

func TestEndpointHoldsNoSecret(t *testing.T) {
	f, s := newFront(t, 0)
	if got := s.Endpoint(); !strings.HasPrefix(got, f.url+"/v1/AUTH_") || strings.Contains(got, secret) {
		t.Errorf("Endpoint = %q", got)
	}
}
