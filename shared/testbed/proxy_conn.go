package testbed

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// proxyConn is one client's connection and its way on to the target.
type proxyConn struct {
	proxy          *Proxy
	client, server *net.TCPConn
	faults         []Fault
	passed         *Passed
	once           sync.Once
	gone           chan struct{} // closed when the proxy has ended the connection
}

// ended marks the connection as ended by the proxy.
func (c *proxyConn) ended() { c.once.Do(func() { close(c.gone) }) }

// close drops both sides.
func (c *proxyConn) close() {
	c.ended()
	_ = c.client.Close()
	_ = c.server.Close()
}

// reset drops both sides with RST.
func (c *proxyConn) reset() {
	_ = c.client.SetLinger(0)
	_ = c.server.SetLinger(0)
	c.close()
}

// cut drops both sides in good order. Linux turns a close into an RST when
// unread bytes are left, so what the client still sends is read for a while.
func (c *proxyConn) cut() {
	c.ended()
	_ = c.client.CloseWrite()
	_ = c.server.CloseWrite()
	_ = c.server.Close()
	_ = c.client.SetReadDeadline(time.Now().Add(2 * time.Second))
	_, _ = io.Copy(io.Discard, c.client)
	_ = c.client.Close()
}

// pass copies one direction until it ends or a fault ends it. The end of the
// source alone is passed on as such (half-close), because InfluxDB's snapshot
// protocol depends on it.
func (c *proxyConn) pass(dst, src *net.TCPConn, dir Direction) {
	from := &counted{Reader: src, conn: c, dir: dir}
	err := c.passFaults(dst, from, dir)
	if err == nil {
		_, err = io.Copy(dst, gated{from, c})
	}
	switch {
	case err == nil || errors.Is(err, io.EOF):
		_ = dst.CloseWrite()
	case errors.Is(err, errCut):
		c.cut()
	case errors.Is(err, errReset) || errors.Is(err, syscall.ECONNRESET):
		c.reset()
	default:
		c.close()
	}
}

// gated passes nothing on while the proxy holds its connections.
type gated struct {
	io.Reader
	conn *proxyConn
}

// Read implements io.Reader.
func (g gated) Read(p []byte) (int, error) {
	n, err := g.Reader.Read(p)
	if gate := g.conn.proxy.holdGate(); gate != nil {
		select {
		case <-gate:
		case <-g.conn.gone:
			return 0, net.ErrClosed
		}
	}
	return n, err
}

// counted notes what is read.
type counted struct {
	io.Reader
	conn *proxyConn
	dir  Direction
}

// Read implements io.Reader.
func (r *counted) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.conn.proxy.note(r.conn.passed, r.dir, p[:n])
	return n, err
}

// How a fault ends a connection.
var (
	errCut   = errors.New("cut by a fault")
	errReset = errors.New("reset by a fault")
)

// passFaults copies up to the last fault of this direction. io.EOF says that
// the source ended before.
func (c *proxyConn) passFaults(dst *net.TCPConn, src io.Reader, dir Direction) error {
	var passed int64
	for _, f := range c.faults {
		if f.Direction != dir {
			continue
		}
		n, err := io.CopyN(dst, src, max(0, f.After-passed))
		passed += n
		if err != nil {
			return err
		}
		n, err = c.apply(dst, src, f)
		passed += n
		if err != nil {
			return err
		}
	}
	return nil
}

// apply does what a fault says and returns how many bytes it passed.
func (c *proxyConn) apply(dst *net.TCPConn, src io.Reader, f Fault) (int64, error) {
	switch f.Action {
	case Cut:
		return 0, errCut
	case Reset:
		return 0, errReset
	case Stall:
		return 0, c.stall(f.For)
	case Call:
		f.Do()
		return 0, nil
	default:
		return flip(dst, src)
	}
}

// flip passes one byte with its lowest bit changed.
func flip(dst *net.TCPConn, src io.Reader) (int64, error) {
	var b [1]byte
	if _, err := io.ReadFull(src, b[:]); err != nil {
		return 0, err
	}
	b[0] ^= 1
	n, err := dst.Write(b[:])
	return int64(n), err
}

// stall waits: for the given time, or without end if it is zero.
func (c *proxyConn) stall(limit time.Duration) error {
	var over <-chan time.Time
	if limit > 0 {
		over = time.After(limit)
	}
	select {
	case <-over:
		return nil
	case <-c.proxy.stallGate():
		return nil
	case <-c.gone:
		return net.ErrClosed
	}
}
