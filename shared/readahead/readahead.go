// Package readahead lets the work behind a reader go on beside the work that is
// done with what it yields: while one part of a stream is hashed and sent, the
// next one is received and verified, on another core. Its memory is bounded. It
// knows nothing of what passes.
package readahead

import (
	"io"
	"sync"
)

const (
	// parts is how many parts of a stream there are at most at a time: some
	// that are full, one that is filled, one that is read.
	parts = 4
	// partSize is in bytes. With smaller ones the handing over costs more than is
	// won: waking the other side takes some 50 microseconds.
	partSize = 256 << 10
	// lead is how many bytes are read in turn before any are read ahead: for a
	// short stream, the memory and the handing over cost more than is won.
	lead = parts * partSize
)

// Reader reads ahead of its own reader, by at most a megabyte, once a megabyte
// was read.
type Reader struct {
	src   io.ReadCloser
	full  chan part
	empty chan []byte
	stop  chan struct{}

	mu      sync.Mutex // for these two
	done    chan struct{}
	stopped bool

	passed int    // bytes that were read in turn
	now    []byte // of the present part, what was not yet read
	last   part
}

// part is a stretch of the stream, and what ended it.
type part struct {
	data, buf []byte
	err       error
}

// New reads ahead from src. The Reader must be closed; that closes src, in the
// middle of its Read if need be.
func New(src io.ReadCloser) *Reader {
	return &Reader{
		src: src, full: make(chan part, parts), empty: make(chan []byte, parts), stop: make(chan struct{}),
	}
}

// begin reads ahead from now on, unless the Reader was closed.
func (r *Reader) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done != nil || r.stopped {
		return
	}
	r.done = make(chan struct{})
	go r.fill(r.src, r.done)
}

// fill reads until the end, an error, or Close.
func (r *Reader) fill(src io.Reader, done chan<- struct{}) {
	defer close(done)
	made := 0
	for {
		buf := r.free(&made)
		if buf == nil {
			return
		}
		p := part{buf: buf}
		// A source that yields little at a time is not worth a handing over for
		// each of its reads, nor the wait for a full part.
		n := 0
		for n < partSize/2 && p.err == nil {
			var m int
			m, p.err = src.Read(p.buf[n:])
			n += m
		}
		p.data = p.buf[:n]
		r.full <- p // there is room for all parts
		if p.err != nil {
			return
		}
	}
}

// free gives room for a part: what was read already, or new memory as long as
// there is little of it. It waits for the reader, and gives nil after Close.
func (r *Reader) free(made *int) []byte {
	select {
	case buf := <-r.empty:
		return buf
	default:
	}
	if *made < parts {
		*made++
		return make([]byte, partSize)
	}
	select {
	case buf := <-r.empty:
		return buf
	case <-r.stop:
		return nil
	}
}

// Read implements io.Reader. An error of the source comes after all that was
// read before it, and stays.
func (r *Reader) Read(b []byte) (int, error) {
	if r.passed < lead && r.last.err == nil {
		return r.inTurn(b)
	}
	for len(r.now) == 0 {
		if r.last.err != nil {
			return 0, r.last.err
		}
		if r.last.buf != nil {
			r.empty <- r.last.buf
		}
		r.begin()
		select {
		case r.last = <-r.full:
		case <-r.stop:
			return 0, io.ErrClosedPipe
		}
		r.now = r.last.data
	}
	n := copy(b, r.now)
	r.now = r.now[n:]
	return n, nil
}

// inTurn reads from the source itself.
func (r *Reader) inTurn(b []byte) (int, error) {
	select {
	case <-r.stop:
		return 0, io.ErrClosedPipe
	default:
	}
	n, err := r.src.Read(b)
	r.passed += n
	r.last.err = err
	return n, err //nolint:wrapcheck // the source's own
}

// Close ends the reading and closes the source.
func (r *Reader) Close() error {
	r.mu.Lock()
	done, stopped := r.done, r.stopped
	r.stopped = true
	r.mu.Unlock()
	if stopped {
		return nil
	}
	close(r.stop)
	err := r.src.Close()
	if done != nil {
		<-done
	}
	return err //nolint:wrapcheck // the source's own
}
