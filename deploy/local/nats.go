package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
)

const natsPort = 4222

// natsServer is a NATS server inside this process, with a store of its own.
type natsServer struct {
	url  string
	srv  *natsd.Server
	lock *os.File
	log  *natsLog
}

// startNATS starts the server on 4222 if that is free, else on another port.
func (h *house) startNATS(ctx context.Context) error {
	dir, err := h.dir.sub("nats")
	if err != nil {
		return err
	}
	n, err := newNATS(ctx, dir)
	if err != nil {
		return fmt.Errorf("start NATS: %w", err)
	}
	h.natsURL = n.url
	h.add("NATS", n.stop)
	h.show.line("NATS with JetStream at %s", n.url)
	return nil
}

func newNATS(ctx context.Context, dir string) (*natsServer, error) {
	// The server does not lock its store: two on one folder would hand out the
	// same sequence numbers.
	lock, err := flock(filepath.Join(dir, "LOCK"))
	if err != nil {
		return nil, err
	}
	n := &natsServer{lock: lock}
	err = withPorts("NATS", func(port func(int) (int, error)) error {
		at, err := port(natsPort)
		if err != nil {
			return err
		}
		return n.start(ctx, dir, at)
	})
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	return n, nil
}

func (n *natsServer) start(ctx context.Context, dir string, port int) error {
	srv, err := natsd.NewServer(&natsd.Options{
		ServerName: "nightshard-local", Host: "127.0.0.1", Port: port, NoSigs: true,
		JetStream: true, StoreDir: filepath.Join(dir, "store"),
		// An event that was acknowledged must survive; the default writes to
		// disk every two minutes.
		SyncAlways: true,
	})
	if err != nil {
		return fmt.Errorf("make server: %w", err)
	}
	if n.log, err = newNATSLog(filepath.Join(dir, "nats.log")); err != nil {
		return err
	}
	srv.SetLoggerV2(n.log, false, false, false)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	go srv.Start()
	err = poll(ctx, 5*time.Millisecond, func() (bool, error) {
		return srv.ReadyForConnections(time.Millisecond), n.log.fatal()
	})
	if err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return err
	}
	n.srv, n.url = srv, "nats://"+loopback(port)
	return nil
}

// stop ends the server and waits until its store is closed.
func (n *natsServer) stop() error {
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
	n.log.close()
	return n.lock.Close() //nolint:wrapcheck // tearDown names the part
}

// natsLog keeps what goes wrong. The server's own logger would end the process
// at a fatal error.
type natsLog struct {
	mu   sync.Mutex
	file *os.File
	err  error
}

func newNATSLog(path string) (*natsLog, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // a path of ours
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return &natsLog{file: f}, nil
}

func (l *natsLog) write(level, format string, v ...any) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprintf(format, v...)
	_, _ = fmt.Fprintf(l.file, "%s %s %s\n", time.Now().UTC().Format("15:04:05.000"), level, text)
	return text
}

// Noticef implements natsd.Logger.
func (l *natsLog) Noticef(format string, v ...any) { l.write("notice", format, v...) }

// Warnf implements natsd.Logger.
func (l *natsLog) Warnf(format string, v ...any) { l.write("warn", format, v...) }

// Errorf implements natsd.Logger.
func (l *natsLog) Errorf(format string, v ...any) { l.write("error", format, v...) }

// Debugf implements natsd.Logger.
func (l *natsLog) Debugf(string, ...any) {}

// Tracef implements natsd.Logger.
func (l *natsLog) Tracef(string, ...any) {}

// Fatalf implements natsd.Logger. The server cannot start after it.
func (l *natsLog) Fatalf(format string, v ...any) {
	text := l.write("fatal", format, v...)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = fmt.Errorf("run server: %s", text)
	if strings.Contains(text, "address already in use") {
		l.err = errPortTaken
	}
}

func (l *natsLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *natsLog) close() { _ = l.file.Close() }
