package testbed

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"
)

// startProcess starts the server as a process and waits until it listens, which
// it does once its streams are recovered.
func (n *NATSServer) startProcess() *process {
	n.t.Helper()
	if n.opts.Configure != nil || n.opts.User != "" || n.opts.Token != "" {
		n.t.Fatal("start nats-server: as a process it takes no credentials and no Configure")
	}
	binary := Command(n.t, "./shared/testbed/natsd")
	args := append([]string{strconv.Itoa(n.port), n.StoreDir, n.LogFile, strconv.FormatBool(n.opts.SyncAlways)}, n.opts.member...)
	p, err := startProcess(n.LogFile, nil, binary, args...)
	if err != nil {
		n.t.Fatalf("start nats-server: %v", err)
	}
	err = poll(20*time.Second, func() error {
		if !p.alive() {
			return finalError{errors.New("it ended at once")}
		}
		conn, err := net.DialTimeout("tcp", loopback(n.port), time.Second)
		if err != nil {
			return fmt.Errorf("dial: %w", err)
		}
		return conn.Close()
	})
	if err != nil {
		p.kill()
		n.t.Fatalf("start nats-server: %v", err)
	}
	return p
}

// Kill ends the server's process without a warning, as kill -9 and the kernel's
// out-of-memory killer do. Start brings it back on the same port and store.
func (n *NATSServer) Kill() {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		n.t.Fatal("kill nats-server: it is no process, or does not run")
	}
	n.proc.kill()
	n.proc = nil
}

// Pause freezes the server's process: its connections stay, nothing answers.
func (n *NATSServer) Pause() {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		n.t.Fatal("pause nats-server: it is no process, or does not run")
	}
	if err := n.proc.pause(); err != nil {
		n.t.Fatalf("pause nats-server: %v", err)
	}
}

// Resume lets a paused server go on.
func (n *NATSServer) Resume() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc != nil {
		n.proc.signal(syscall.SIGCONT)
	}
}

// SyncAlways sets the option from the next start on.
func (n *NATSServer) SyncAlways(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opts.SyncAlways = on
}
