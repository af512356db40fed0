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
)

// Reader reads ahead of its own reader, by at most a megabyte.
type Reader struct {
	src   io.Closer
	full  chan part
	empty chan []byte
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once

	now  []byte // of the present part, what was not yet read
	last part
}

// part is a stretch of the stream, and what ended it.
type part struct {
	data, buf []byte
	err       error
}

// New reads ahead from src. The Reader must be closed; that closes src, in the
// middle of its Read if need be.
func New(src io.ReadCloser) *Reader {
	r := &Reader{
		src: src, full: make(chan part, parts), empty: make(chan []byte, parts),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go r.fill(src)
	return r
}

// fill reads until the end, an error, or Close.
func (r *Reader) fill(src io.Reader) {
	defer close(r.done)
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
// there is little of it; a short stream needs little. It waits for the reader,
// and gives nil after Close.
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
// read before it.
func (r *Reader) Read(b []byte) (int, error) {
	for len(r.now) == 0 {
		if r.last.err != nil {
			return 0, r.last.err
		}
		if r.last.buf != nil {
			r.empty <- r.last.buf
		}
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

// Close ends the reading and closes the source.
func (r *Reader) Close() error {
	var err error
	r.once.Do(func() {
		close(r.stop)
		err = r.src.Close()
		<-r.done
	})
	return err //nolint:wrapcheck // the source's own
}
