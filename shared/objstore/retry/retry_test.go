package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nightshard/shared/objstore"
	"nightshard/shared/objstore/memory"
	"nightshard/shared/objstore/objstoretest"
	"nightshard/shared/objstore/retry"
)

// clock passes the time of each wait at once.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	waits []time.Duration
}

// Now implements retry.Clock.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Sleep implements retry.Clock.
func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.waits = append(c.waits, d)
	return ctx.Err()
}

func status(code int) error { return &objstore.StatusError{Code: code, Text: http.StatusText(code)} }

func broken(t *testing.T, faults ...objstoretest.Fault) (*objstoretest.Faulty, *retry.Store, *clock) {
	t.Helper()
	t.Parallel()
	inner := memory.New()
	if _, err := inner.Put(t.Context(), "c", "a", objstore.NewSource([]byte("content")), objstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	c := &clock{}
	faulty := objstoretest.NewFaulty(inner, faults...)
	return faulty, retry.New(faulty, retry.Policy{Clock: c}), c
}

func put(t *testing.T, s *retry.Store) error {
	t.Helper()
	o, err := s.Put(t.Context(), "c", "b", objstore.NewSource([]byte("content")), objstore.PutOptions{})
	if err == nil && o.MD5 != objstoretest.MD5([]byte("content")) {
		t.Errorf("Put gave %+v", o)
	}
	return err
}

func get(t *testing.T, s *retry.Store) (content string, reads int, err error) {
	t.Helper()
	err = s.Get(t.Context(), "c", "a", func(_ objstore.Object, r io.Reader) error {
		reads++
		b, err := io.ReadAll(r)
		content = string(b)
		return err
	})
	return content, reads, err
}

func TestRetryKeepsThePromises(t *testing.T) {
	t.Parallel()
	store := retry.New(memory.New(), retry.Policy{})
	objstoretest.Run(t, func(testing.TB) objstoretest.Inner { return store })
}

func TestRetryKeepsThePromisesOverAStoreThatFailsEverySecondTime(t *testing.T) {
	t.Parallel()
	objstoretest.Run(t, func(testing.TB) objstoretest.Inner {
		faulty := objstoretest.NewFaulty(memory.New())
		for n := 1; n < 2000; n += 2 {
			faulty.Break(objstoretest.Fault{Call: n, Err: status(503)})
		}
		return retry.New(faulty, retry.Policy{Clock: &clock{}})
	})
}

func TestPassingFailuresAreTriedAgain(t *testing.T) {
	for name, err := range map[string]error{
		"401": status(401), "408": status(408), "409": status(409), "429": status(429), "498": status(498),
		"500": status(500), "502": status(502), "503": status(503), "504": status(504),
		"reset":   &url.Error{Op: "Put", URL: "x", Err: syscall.ECONNRESET},
		"eof":     &url.Error{Op: "Put", URL: "x", Err: io.EOF},
		"pipe":    fmt.Errorf("write: %w", syscall.EPIPE),
		"cut":     fmt.Errorf("read: %w", io.ErrUnexpectedEOF),
		"stall":   fmt.Errorf("get: %w", objstore.ErrStalled),
		"corrupt": fmt.Errorf("put: %w", objstore.ErrCorrupt),
	} {
		t.Run(name, func(t *testing.T) {
			faulty, s, c := broken(t, objstoretest.Fault{Call: 1, Err: err}, objstoretest.Fault{Call: 2, Err: err})
			if err := put(t, s); err != nil || faulty.Calls(objstoretest.Put) != 3 || len(c.waits) != 2 {
				t.Errorf("Put = %v after %d tries and waits %v", err, faulty.Calls(objstoretest.Put), c.waits)
			}
		})
	}
}

func TestLastingFailuresAreNot(t *testing.T) {
	for name, err := range map[string]error{
		"400": status(400), "403": status(403), "404": objstore.ErrNotFound, "413": status(413), "507": status(507),
		"credentials": fmt.Errorf("%w: %w", objstore.ErrCredentials, status(401)), "name": objstore.ErrName, "other": errors.New("other"),
		"source": &objstore.SourceError{Err: status(503)},
	} {
		t.Run(name, func(t *testing.T) {
			faulty, s, _ := broken(t, objstoretest.Fault{Err: err})
			if got := put(t, s); !errors.Is(got, err) || faulty.Calls(objstoretest.Put) != 1 {
				t.Errorf("Put = %v after %d tries", got, faulty.Calls(objstoretest.Put))
			}
		})
	}
}

func TestUploadThatBreaksOffBeginsAnew(t *testing.T) {
	for name, fault := range map[string]objstoretest.Fault{
		"in the middle": {Op: objstoretest.Put, Call: 1, After: 3, Err: status(503)},
		"answer lost":   {Op: objstoretest.Put, Call: 1, Late: true, Err: status(503)},
		"corrupt":       {Op: objstoretest.Put, Call: 1, After: 2, Corrupt: true},
	} {
		t.Run(name, func(t *testing.T) {
			faulty, s, _ := broken(t, fault)
			if err := errors.Join(put(t, s), s.Copy(t.Context(), "c", "b", "c", "a")); err != nil {
				t.Fatal(err)
			}
			content, _, err := get(t, s)
			if err != nil || content != "content" || faulty.Calls(objstoretest.Put) != 2 {
				t.Errorf("content %q, %v, after %d tries", content, err, faulty.Calls(objstoretest.Put))
			}
		})
	}
}

func TestDownloadIsTriedAgainUntilTheFirstByte(t *testing.T) {
	faulty, s, _ := broken(t,
		objstoretest.Fault{Call: 1, Err: status(503)},
		objstoretest.Fault{Call: 2, After: 0, Corrupt: true},
		objstoretest.Fault{Call: 3, After: 3, Err: io.ErrUnexpectedEOF})
	// The second fault shows only at the end, after the first byte.
	content, reads, err := get(t, s)
	if !errors.Is(err, objstore.ErrCorrupt) || reads != 1 || faulty.Calls(objstoretest.Get) != 2 {
		t.Errorf("Get gave %q, %v after %d reads and %d tries", content, err, reads, faulty.Calls(objstoretest.Get))
	}
	if _, reads, err = get(t, s); !errors.Is(err, io.ErrUnexpectedEOF) || reads != 1 {
		t.Errorf("Get = %v after %d reads", err, reads)
	}
	if content, reads, err = get(t, s); err != nil || reads != 1 || content != "content" {
		t.Errorf("Get gave %q, %v after %d reads", content, err, reads)
	}
}

// firstByte fails before the first byte, once the object is known.
type firstByte struct {
	objstoretest.Inner
	left int
}

// Get implements objstore.Store.
func (f *firstByte) Get(ctx context.Context, container, name string, read func(objstore.Object, io.Reader) error) error {
	if f.left--; f.left < 0 {
		return f.Inner.Get(ctx, container, name, read)
	}
	return read(objstore.Object{}, io.MultiReader(strings.NewReader(""), errReader{}))
}

type errReader struct{}

// Read implements io.Reader.
func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestReadIsCalledOnceEvenIfTheFirstByteFails(t *testing.T) {
	faulty, _, c := broken(t)
	s := retry.New(&firstByte{Inner: faulty, left: 2}, retry.Policy{Clock: c})
	content, reads, err := get(t, s)
	if err != nil || content != "content" || reads != 1 {
		t.Errorf("Get gave %q, %v after %d reads", content, err, reads)
	}
}

func TestListingGoesOnBehindTheLastName(t *testing.T) {
	faulty, s, _ := broken(t)
	for i := range 20 {
		name := fmt.Sprintf("%02d", i)
		if _, err := s.Put(t.Context(), "list", name, objstore.NewSource(nil), objstore.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for n, after := range []int64{0, 5, 5, 19} {
		faulty.Break(objstoretest.Fault{Op: objstoretest.List, Call: n + 1, After: after, Err: status(503)})
	}
	var got []string
	err := s.List(t.Context(), "list", "", func(o objstore.Object) error {
		got = append(got, o.Name)
		return nil
	})
	if err != nil || len(got) != 20 || got[0] != "00" || got[19] != "19" {
		t.Errorf("List gave %q, %v", got, err)
	}
}

func TestErrorOfTheCallerIsNotTriedAgain(t *testing.T) {
	faulty, s, _ := broken(t)
	calls := 0
	err := s.List(t.Context(), "c", "", func(objstore.Object) error {
		calls++
		return status(503)
	})
	if code := new(objstore.StatusError); !errors.As(err, &code) || calls != 1 || faulty.Calls(objstoretest.List) != 1 {
		t.Errorf("List = %v after %d calls", err, calls)
	}
	err = s.Get(t.Context(), "c", "a", func(objstore.Object, io.Reader) error { return status(503) })
	if err == nil || faulty.Calls(objstoretest.Get) != 1 {
		t.Errorf("Get = %v after %d tries", err, faulty.Calls(objstoretest.Get))
	}
}

func TestWaitsGrowAndHeedTheServer(t *testing.T) {
	_, s, c := broken(t, objstoretest.Fault{Err: status(503)})
	if err := put(t, s); err == nil || !strings.Contains(err.Error(), "8 tries") {
		t.Errorf("Put = %v", err)
	}
	for i, wait := range c.waits {
		middle := min(500*time.Millisecond<<i, 30*time.Second)
		if wait < middle/2 || wait > middle*3/2+time.Millisecond {
			t.Errorf("wait %d is %v, want about %v", i, wait, middle)
		}
	}
	faulty, s, c := patient(t)
	faulty.Break(objstoretest.Fault{Call: 1, Err: &objstore.StatusError{Code: 429, RetryAfter: 100 * time.Second}})
	if err := put(t, s); err != nil || len(c.waits) != 1 || c.waits[0] != 100*time.Second {
		t.Errorf("Put = %v after waits %v", err, c.waits)
	}
}

func patient(t *testing.T) (*objstoretest.Faulty, *retry.Store, *clock) {
	t.Helper()
	c := &clock{}
	faulty := objstoretest.NewFaulty(memory.New())
	return faulty, retry.New(faulty, retry.Policy{Clock: c}), c
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	faulty, _, c := patient(t)
	faulty.Break(objstoretest.Fault{Err: status(503)})
	s := retry.New(faulty, retry.Policy{Clock: c, Attempts: 1000, GiveUpAfter: time.Minute})
	if err := put(t, s); err == nil || c.now.Sub(time.Time{}) > time.Minute {
		t.Errorf("Put = %v after %v", err, c.now.Sub(time.Time{}))
	}
}

func TestEachRetryIsTold(t *testing.T) {
	t.Parallel()
	faulty, _, c := patient(t)
	faulty.Break(objstoretest.Fault{Call: 1, Err: status(502)})
	var told []string
	s := retry.New(faulty, retry.Policy{Clock: c, OnRetry: func(op, name string, err error, wait time.Duration) {
		told = append(told, fmt.Sprintf("%s %s %v %v", op, name, err, wait > 0))
	}})
	if err := put(t, s); err != nil || len(told) != 1 || told[0] != "put c/b HTTP status 502: Bad Gateway true" {
		t.Errorf("Put = %v, told %q", err, told)
	}
}

func TestEndOfTheContextEndsTheWait(t *testing.T) {
	t.Parallel()
	faulty := objstoretest.NewFaulty(memory.New(), objstoretest.Fault{Err: status(503)})
	ctx, cancel := context.WithCancel(t.Context())
	s := retry.New(faulty, retry.Policy{InitialWait: time.Hour, GiveUpAfter: 10 * time.Hour, OnRetry: func(string, string, error, time.Duration) { cancel() }})
	err := s.Delete(ctx, "c", "a")
	if code := new(objstore.StatusError); !errors.Is(err, context.Canceled) || !errors.As(err, &code) {
		t.Errorf("Delete = %v, want the context's error and the last try's", err)
	}
}

// account counts logins.
type account struct {
	objstoretest.Inner
	logins int
	err    error
}

// Reauthenticate implements objstore.Reauthenticator.
func (a *account) Reauthenticate(context.Context) error {
	a.logins++
	return a.err
}

func TestRefusedTokenLeadsToALogin(t *testing.T) {
	t.Parallel()
	faulty, _, c := patient(t)
	faulty.Break(objstoretest.Fault{Call: 1, Err: status(401)})
	a := &account{Inner: faulty}
	if err := put(t, retry.New(a, retry.Policy{Clock: c})); err != nil || a.logins != 1 {
		t.Errorf("Put = %v after %d logins", err, a.logins)
	}
	faulty.Break(objstoretest.Fault{Call: 1, Err: status(401)})
	a.err = objstore.ErrCredentials
	if err := put(t, retry.New(a, retry.Policy{Clock: c})); !errors.Is(err, objstore.ErrCredentials) || a.logins != 2 {
		t.Errorf("Put = %v after %d logins", err, a.logins)
	}
}

func TestFullContainerIsNotTriedAgain(t *testing.T) {
	faulty, s, _ := broken(t)
	if err := s.DeleteContainer(t.Context(), "c"); err == nil || faulty.Calls(objstoretest.DeleteContainer) != 1 {
		t.Errorf("DeleteContainer = %v after %d tries", err, faulty.Calls(objstoretest.DeleteContainer))
	}
}

func TestDoTriesAgainToo(t *testing.T) {
	t.Parallel()
	n := 0
	err := retry.Do(t.Context(), retry.Policy{Clock: &clock{}}, "open", "Swift", func() error {
		if n++; n < 3 {
			return &url.Error{Op: "Get", URL: "x", Err: syscall.ECONNREFUSED}
		}
		return nil
	})
	if err != nil || n != 3 {
		t.Errorf("Do = %v after %d tries", err, n)
	}
}
