package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/ncw/swift/v2/swifttest"

	"nightshard/shared/influx"
)

// startWait bounds how long a server may take until it answers.
const startWait = 30 * time.Second

// port gives the wanted port of the loopback if it is free, else another one
// below 32768: those above are the kernel's for outgoing connections.
func port(wanted int) (int, error) {
	for range 200 {
		ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", wanted))
		if err == nil {
			return wanted, ln.Close() //nolint:wrapcheck // never fails for a listener
		}
		wanted = 20_000 + rand.IntN(12_000) //nolint:gosec // no secret
	}
	return 0, errors.New("find a free port on 127.0.0.1: 200 tries met ports in use")
}

// startNATS starts an embedded server with JetStream.
func (h *house) startNATS() (string, error) {
	p, err := port(4222)
	if err != nil {
		return "", err
	}
	ns, err := server.NewServer(&server.Options{
		ServerName: "nightshard-local", Host: "127.0.0.1", Port: p, JetStream: true, StoreDir: h.path("nats"),
		// An acknowledged event survives a power failure.
		SyncAlways: true, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return "", fmt.Errorf("start NATS: %w", err)
	}
	ns.Start()
	h.parts = append(h.parts, part{"NATS", func() error {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil
	}})
	if !ns.ReadyForConnections(startWait) || !ns.JetStreamEnabled() {
		return "", fmt.Errorf("start NATS on port %d: it is not ready after %s; is there room in %s?", p, startWait, h.dir)
	}
	h.show.line("NATS with JetStream at " + ns.ClientURL())
	return ns.ClientURL(), nil
}

// startSwift gives the environment of the Swift to use: the reader's own, or
// one in memory.
func (h *house) startSwift() (map[string]string, error) {
	own := map[string]string{}
	for name, value := range h.env {
		if strings.HasPrefix(name, "ST_") || strings.HasPrefix(name, "OS_") {
			own[name] = value
		}
	}
	if own["ST_AUTH"] != "" || own["OS_AUTH_URL"] != "" {
		h.show.line("your own Swift at " + own["ST_AUTH"] + own["OS_AUTH_URL"])
		return own, nil
	}
	p, err := port(8180)
	if err != nil {
		return nil, err
	}
	srv, err := swifttest.NewSwiftServer(fmt.Sprintf("127.0.0.1:%d", p))
	if err != nil {
		return nil, fmt.Errorf("start Swift: %w", err)
	}
	h.parts = append(h.parts, part{"Swift", func() error { srv.Close(); return nil }})
	h.show.line("a Swift in memory at " + srv.AuthURL)
	return map[string]string{"ST_AUTH": srv.AuthURL, "ST_USER": swifttest.TEST_ACCOUNT, "ST_KEY": swifttest.TEST_ACCOUNT}, nil
}

// influxServer is an InfluxDB.
type influxServer struct {
	url, snapshot string
	client        *influx.Client
}

// startInflux starts an influxd on the loopback and waits until it answers. A
// port that somebody takes in between is tried again.
func (h *house) startInflux(ctx context.Context, name string, httpPort, snapshotPort int) (*influxServer, error) {
	var last error
	for range 3 {
		s, err := h.tryInflux(ctx, name, httpPort, snapshotPort)
		if err == nil {
			h.show.line(fmt.Sprintf("%s InfluxDB at %s, snapshot port %s", name, s.url, s.snapshot))
			return s, nil
		}
		if last = err; ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

func (h *house) tryInflux(ctx context.Context, name string, httpPort, snapshotPort int) (*influxServer, error) {
	a, err := port(httpPort)
	if err != nil {
		return nil, err
	}
	b, err := port(snapshotPort)
	if err != nil {
		return nil, err
	}
	s := &influxServer{url: fmt.Sprintf("http://127.0.0.1:%d", a), snapshot: fmt.Sprintf("127.0.0.1:%d", b)}
	if s.client, err = influx.NewClient(influx.ClientConfig{URL: s.url}); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	config := h.path(name + ".conf")
	text := fmt.Sprintf(influxConfig, s.snapshot, h.path(name, "meta"), h.path(name, "data"), h.path(name, "wal"), strings.TrimPrefix(s.url, "http://"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write %s: %w", config, err)
	}
	p, err := h.start(ctx, name, h.bins["influxd"], []string{"-config", config}, nil)
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx, func() error { _, err := s.client.Databases(ctx); return err }); err != nil { //nolint:wrapcheck // await wraps
		return nil, err
	}
	return s, nil
}

const influxConfig = `reporting-disabled = true
bind-address = "%s"
[meta]
  dir = "%s"
[data]
  dir = "%s"
  wal-dir = "%s"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "%s"
  log-enabled = false
`

// process is a program that the demonstration started.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// start runs a program; its output goes into a file. It dies with us, whatever
// ends us.
func (h *house) start(ctx context.Context, name, binary string, args []string, env map[string]string) (*process, error) {
	p := &process{name: name, log: h.path(name + ".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write log of %s: %w", name, err)
	}
	// Not bound to ctx: it is ended in order, with a signal.
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), binary, args...) //nolint:gosec // a program that we built or found
	p.cmd.Stdout, p.cmd.Stderr = out, out
	for k, v := range env {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	// A group of its own: Ctrl-C is for us, and we end it in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), out.Close())
	}
	go func() {
		p.err = p.cmd.Wait()
		_ = out.Close()
		close(p.done)
	}()
	h.parts = append(h.parts, part{name, p.end})
	return p, nil
}

// end asks the process to end, and insists after a while.
func (p *process) end() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-time.After(20 * time.Second):
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	return errors.New("it did not end within 20 s and was killed")
}

// await asks until ready returns nil, for at most startWait.
func (p *process) await(ctx context.Context, ready func() error) error {
	deadline := time.NewTimer(startWait)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("start %s: it ended at once (%w):\n%s", p.name, p.err, p.tail())
		case <-deadline.C:
			return fmt.Errorf("start %s: not ready after %s: %w\n%s", p.name, startWait, err, p.tail())
		case <-tick.C:
		}
	}
}

// tail is the end of the process's log.
func (p *process) tail() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-1500):])
}

// startService starts one of the three services and waits for its "waiting"
// line: then its consumers exist.
func (h *house) startService(ctx context.Context, name string) error {
	p, err := h.start(ctx, name, h.bins[name], nil, h.settings)
	if err != nil {
		return err
	}
	return p.await(ctx, func() error {
		if !strings.Contains(p.tail(), "waiting for") {
			return errors.New("it does not wait for events yet")
		}
		return nil
	})
}
