package readahead_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"nightshard/shared/readahead"
)

var errSource = errors.New("the source broke")

// source notes that it was closed.
type source struct {
	io.Reader
	closed int
}

func (s *source) Close() error { s.closed++; return errSource }

func TestAllBytesPassInOrder(t *testing.T) {
	t.Parallel()
	data := make([]byte, 3<<20+17)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]io.Reader{
		"whole": bytes.NewReader(data), "by halves": iotest.HalfReader(bytes.NewReader(data)),
		"end with data": iotest.DataErrReader(bytes.NewReader(data)), "empty": bytes.NewReader(nil),
	} {
		want := data
		if name == "empty" {
			want = nil
		}
		s := &source{Reader: r}
		a := readahead.New(s)
		got, err := io.ReadAll(a)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if err := a.Close(); !errors.Is(err, errSource) || s.closed != 1 {
			t.Errorf("%s: closed %d times, %v", name, s.closed, err)
		}
		if err := a.Close(); err != nil || s.closed != 1 {
			t.Errorf("%s: the second Close: %d, %v", name, s.closed, err)
		}
	}
}

func TestAReaderIsOne(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789"), 150_000)
	a := readahead.New(&source{Reader: bytes.NewReader(data)})
	if err := iotest.TestReader(a, data); err != nil {
		t.Error(err)
	}
	_ = a.Close()
}

func TestAnErrorComesAfterWhatWasReadBeforeIt(t *testing.T) {
	t.Parallel()
	for _, size := range []int{300_000, 3_000_000} { // read in turn, and ahead
		a := readahead.New(&source{Reader: io.MultiReader(bytes.NewReader(make([]byte, size)), iotest.ErrReader(errSource))})
		got, err := io.ReadAll(a)
		if len(got) != size || !errors.Is(err, errSource) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, errSource) {
			t.Errorf("the error does not stay: %v", err)
		}
		_ = a.Close()
	}
}

// pipe is a source whose Read waits until it is closed.
type pipe struct {
	*io.PipeReader
	read chan struct{}
}

func (p *pipe) Read(b []byte) (int, error) {
	p.read <- struct{}{}
	return p.PipeReader.Read(b)
}

func TestCloseEndsAReadThatWaits(t *testing.T) {
	t.Parallel()
	for _, before := range []int{0, 2 << 20} { // read in turn, and ahead
		r, w := io.Pipe()
		p := &pipe{r, make(chan struct{}, 1<<10)}
		a := readahead.New(p)
		if before > 0 {
			go func() { _, _ = w.Write(make([]byte, before)) }()
		}
		if _, err := io.CopyN(io.Discard, a, int64(before)); err != nil {
			t.Fatal(err)
		}
		for len(p.read) > 0 {
			<-p.read
		}
		ended := make(chan error)
		go func() {
			_, err := a.Read(make([]byte, 1))
			ended <- err
		}()
		if before == 0 {
			<-p.read
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err == nil {
			t.Error("a Read of a closed reader gave no error")
		}
		if _, err := a.Read(make([]byte, 1)); err == nil {
			t.Error("a Read after Close gave no error")
		}
	}
}

// A source that is never waited for must not run away with the memory.
func TestTheSourceIsNotReadFarAhead(t *testing.T) {
	t.Parallel()
	s := &endless{full: make(chan struct{})}
	a := readahead.New(s)
	if _, err := io.CopyN(io.Discard, a, 1<<20+1); err != nil {
		t.Fatal(err)
	}
	<-s.full
	_ = a.Close()
	if s.n > 3<<20 {
		t.Errorf("%d bytes were read ahead", s.n)
	}
}

// endless yields zeros, and says when it gave two megabytes.
type endless struct {
	n    int
	full chan struct{}
}

func (e *endless) Read(b []byte) (int, error) {
	if e.n < 2<<20 && e.n+len(b) >= 2<<20 {
		defer close(e.full)
	}
	e.n += len(b)
	return len(b), nil
}

func (e *endless) Close() error { return nil }
