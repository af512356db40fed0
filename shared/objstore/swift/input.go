package swift

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"nightshard/shared/objstore"
)

// grace is how long a Read may take to heed its context before its reader is
// closed under it.
const grace = 250 * time.Millisecond

var errClosed = errors.New("upload has ended")

// input is an open Source. The transport may still be in a Read when a call has
// returned, so every access to the reader goes through the lock.
type input struct {
	ctx    context.Context //nolint:containedctx // the Source's own, cancelled to stop it
	cancel context.CancelFunc
	unhook func() bool
	// ahead gives the content; it can look one byte ahead.
	ahead *bufio.Reader

	mu     sync.Mutex
	src    io.ReadCloser
	busy   chan struct{} // not nil while a Read is under way, closed after it
	closed bool
	// end is what a Read after the end gives: io.EOF or the source's error.
	end error
}

// openInput opens src and waits for its first byte, or its end: Swift gives up
// on an upload that has begun and does not go on for a minute, and a source may
// need longer than that to begin.
func openInput(ctx context.Context, src objstore.Source) (*input, error) {
	inner, cancel := context.WithCancel(ctx)
	rc, err := src(inner)
	if err != nil {
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &objstore.SourceError{Err: err}
	}
	in := &input{ctx: inner, cancel: cancel, src: rc}
	// The least buffer there is: larger reads pass it by.
	in.ahead = bufio.NewReaderSize((*rawInput)(in), 1)
	in.unhook = context.AfterFunc(ctx, in.abort)
	if _, err := in.ahead.Peek(1); err != nil && !errors.Is(err, io.EOF) {
		err = in.failure(err)
		in.close()
		return nil, err
	}
	return in, nil
}

// empty says that there is no more content.
func (in *input) empty() bool {
	_, err := in.ahead.Peek(1)
	return errors.Is(err, io.EOF)
}

// failure is the error of the source if it had one, otherwise err.
func (in *input) failure(err error) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.end != nil && !errors.Is(in.end, io.EOF) {
		return &objstore.SourceError{Err: in.end}
	}
	if err := in.ctx.Err(); err != nil && !in.closed {
		return err
	}
	return err
}

// close ends the source, whether it has come to its end or not.
func (in *input) close() {
	in.unhook()
	in.abort()
}

// abort closes the reader. A Read that does not heed its context within the
// grace is left to end by itself.
func (in *input) abort() {
	in.mu.Lock()
	busy, done := in.busy, in.closed
	in.closed = true
	in.mu.Unlock()
	in.cancel()
	if done {
		return
	}
	if busy != nil {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-busy:
		case <-timer.C:
		}
	}
	_ = in.src.Close() // the upload has failed already, or the source had an error
}

// rawInput is the reader below the look-ahead.
type rawInput input

// Read implements io.Reader. At the end it closes the source before it gives
// io.EOF, because an error of Close is one of the content: a source that checks
// itself may know only then.
func (r *rawInput) Read(p []byte) (int, error) {
	r.mu.Lock()
	if r.closed {
		defer r.mu.Unlock()
		return 0, r.after()
	}
	busy := make(chan struct{})
	r.busy = busy
	r.mu.Unlock()
	n, err := r.src.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = nil
	close(busy)
	// An end that comes after the cancellation may be one only because of it: a
	// writer that gives up may close its pipe as if all were there. Passed on as
	// an end, it would have the server store what the caller is told failed.
	if canceled := r.ctx.Err(); canceled != nil && errors.Is(err, io.EOF) {
		err = canceled
	}
	if err == nil || r.closed {
		return n, err
	}
	r.closed = true
	cerr := r.src.Close()
	if err == io.EOF && cerr != nil { //nolint:errorlint // readers give io.EOF as it is
		err = cerr
	}
	if errors.Is(err, io.EOF) || r.ctx.Err() == nil {
		r.end = err
	}
	return n, err
}

// after is the answer to a Read after the end.
func (r *rawInput) after() error {
	if r.end != nil {
		return r.end
	}
	return errClosed
}
