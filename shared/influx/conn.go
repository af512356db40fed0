package influx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// conn is a connection whose every read and write has a deadline, which moves
// with progress, and which ends with its context.
type conn struct {
	net.Conn
	ctx  context.Context //nolint:containedctx // a connection lives as long as the call that it serves
	idle time.Duration
	stop func() bool
}

func newConn(ctx context.Context, c net.Conn, idle time.Duration) *conn {
	made := &conn{Conn: c, idle: idle, stop: func() bool { return true }}
	made.follow(ctx)
	return made
}

// follow has the connection end with another context from now on.
func (c *conn) follow(ctx context.Context) {
	c.stop()
	c.ctx = ctx
	// A deadline in the past wakes a read or write that waits.
	c.stop = context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
}

// Read implements io.Reader.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.extend(c.SetReadDeadline); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	return n, c.explain(err)
}

// Write implements io.Writer. It goes in small steps, each with a deadline of
// its own: a slow reader is no stalled one.
func (c *conn) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		if err := c.extend(c.SetWriteDeadline); err != nil {
			return done, err
		}
		n, err := c.Conn.Write(p[done:min(done+writeStep, len(p))])
		done += n
		if err != nil {
			return done, c.explain(err)
		}
	}
	return done, nil
}

// writeStep is how much has to be taken within one IdleTimeout, in bytes.
const writeStep = 64 << 10

// extend moves a deadline on. The context is looked at afterwards: it may have
// ended in between, and its own deadline must not be overwritten.
func (c *conn) extend(set func(time.Time) error) error {
	if err := set(time.Now().Add(c.idle)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	return c.ctx.Err()
}

// explain says what an error of the connection means.
func (c *conn) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case c.ctx.Err() != nil:
		return context.Cause(c.ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no byte moved for %s: %w", c.idle, ErrStalled)
	case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		// How the server refuses an upload, or dies during one.
		return fmt.Errorf("the server closed the connection; its log says why: %w", err)
	default:
		return err
	}
}

// Close implements io.Closer.
func (c *conn) Close() error {
	c.stop()
	return c.Conn.Close() //nolint:wrapcheck // the callers ignore it
}

// finish closes at the end of a call, when the outcome is known already.
func (c *conn) finish() { _ = c.Close() }

// abort has the connection end with a reset, so that the server does not take
// half an upload for a whole one.
func (c *conn) abort() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// closeWrite tells the server that the upload is over.
func (c *conn) closeWrite() error {
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return errors.New("end upload: not a TCP connection")
	}
	return tcp.CloseWrite() //nolint:wrapcheck // the caller names the shard
}
