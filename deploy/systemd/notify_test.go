package systemd_test

import (
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nightshard/shared/testbed"
)

// The test is the service manager: it hears that a service is ready once it
// takes events, then that it is alive, and that it stops.
func TestServicesTellTheirManagerHowTheyAre(t *testing.T) {
	t.Parallel()
	for name := range names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nats := testbed.NATS(t, testbed.NATSOptions{})
			proxy := testbed.TCPProxy(t, strings.TrimPrefix(nats.URL, "nats://"))
			proxy.Hold()
			m := newManager(t)
			cmd := m.start(t, name, proxy.Addr)
			testbed.Eventually(t, time.Minute, "the service to look for NATS", func() bool { return proxy.Accepted() > 0 })
			if m.count("READY=1") != 0 {
				t.Error("ready without NATS")
			}
			proxy.Release()
			m.await(t, "READY=1", 1)
			m.await(t, "WATCHDOG=1", m.count("WATCHDOG=1")+2)
			if m.count("STOPPING=1") != 0 {
				t.Error("stops by itself")
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			m.await(t, "STOPPING=1", 1)
			if err := cmd.Wait(); err != nil {
				t.Errorf("the service ended with %v", err)
			}
		})
	}
}

// manager listens on a socket as systemd does.
type manager struct {
	socket string
	logs   text

	mu    sync.Mutex
	lines []string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{socket: filepath.Join(t.TempDir(), "notify")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		if t.Failed() {
			t.Log(m.logs.String())
		}
	})
	go m.listen(conn)
	return m
}

func (m *manager) listen(conn *net.UnixConn) {
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		m.mu.Lock()
		m.lines = append(m.lines, strings.Split(string(buf[:n]), "\n")...)
		m.mu.Unlock()
	}
}

// start runs a service as its unit does.
func (m *manager) start(t *testing.T, name, nats string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testbed.Command(t, "./services/"+name))
	cmd.Env = append(testbed.Swift(t).Environ(),
		"NOTIFY_SOCKET="+m.socket, "WATCHDOG_USEC=400000", "NATS_URL=nats://"+nats,
		"NIGHTSHARD_LOG_FORMAT=journal", "NIGHTSHARD_DATABASE=db", "NIGHTSHARD_MEASUREMENTS=cpu,memory",
		"NIGHTSHARD_SCHEDULE=off", "NIGHTSHARD_LISTEN=127.0.0.1:0")
	cmd.Stderr = &m.logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

func (m *manager) count(line string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, l := range m.lines {
		if l == line {
			n++
		}
	}
	return n
}

func (m *manager) await(t *testing.T, line string, times int) {
	t.Helper()
	testbed.Eventually(t, time.Minute, line, func() bool { return m.count(line) >= times })
}

// text collects what a process prints.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (w *text) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *text) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}
