package events_test

import (
	"context"
	"net"
	"sync"
	"testing"
)

// wire passes one bus's connections on to the server, until it is cut. A cut
// process neither beats nor acknowledges, like one that was killed.
type wire struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	conns    []net.Conn
	cut      bool
	answers  sync.RWMutex // held for writing while nothing comes from the server
}

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener, target: target[len("nats://"):]}
	go w.accept()
	t.Cleanup(w.Cut)
	return w
}

func (w *wire) URL() string { return "nats://" + w.listener.Addr().String() }

func (w *wire) accept() {
	for {
		in, err := w.listener.Accept()
		if err != nil {
			return
		}
		out, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", w.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		if !w.keep(in, out) {
			return
		}
		go pipe(in, out, &w.answers)
		go pipe(out, in, &sync.RWMutex{})
	}
}

func (w *wire) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, conns...)
	if w.cut {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
	return !w.cut
}

func pipe(to, from net.Conn, gate *sync.RWMutex) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		gate.RLock()
		gate.RUnlock() //nolint:staticcheck // whoever comes by waits for it, no more
		if _, writeErr := to.Write(buf[:n]); err != nil || writeErr != nil {
			_ = to.Close()
			_ = from.Close()
			return
		}
	}
}

func (w *wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	_ = w.listener.Close()
	for _, conn := range w.conns {
		_ = conn.Close()
	}
}
