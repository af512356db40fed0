package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/connect"
	"nightshard/shared/events"
	"nightshard/shared/objstore"
	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// database is the one that every night of the tests is about.
const database = "sensu_db"

// patience bounds every wait of a test. It is no measurement.
const patience = 3 * time.Minute

// house is everything that a night needs.
type house struct {
	t     *testing.T
	prod  *testbed.InfluxServer
	inter *testbed.InfluxServer
	nats  *testbed.NATSServer // nil in a house of a cluster
	swift map[string]string
	store objstore.Account
	bus   *events.Bus
	env   map[string]string
	// login is the NATS user of the house itself.
	login service.NATS
	// patience bounds each wait for an event.
	patience time.Duration

	mu     sync.Mutex
	events []events.Event
	news   chan struct{} // closed and replaced at each event
}

// build starts the servers. The services are started by the test.
func build(t *testing.T, prod, inter testbed.InfluxOptions) *house {
	t.Helper()
	return buildOn(t, prod, inter, testbed.NATSOptions{})
}

// buildOn is build with a choice of NATS.
func buildOn(t *testing.T, prod, inter testbed.InfluxOptions, nats testbed.NATSOptions) *house {
	t.Helper()
	server := testbed.NATS(t, nats)
	h := buildAt(t, prod, inter, service.NATS{URL: server.URL, User: nats.User, Password: nats.Password}, 1)
	h.nats = server
	return h
}

// buildAt is build at NATS servers that are there, with so many copies of the
// stream.
func buildAt(t *testing.T, prod, inter testbed.InfluxOptions, login service.NATS, copies int) *house {
	t.Helper()
	h := &house{t: t, news: make(chan struct{}), patience: patience}
	h.swift = testbed.Swift(t).Env
	h.prod, h.inter = testbed.Influx(t, prod), testbed.Influx(t, inter)
	h.login = login
	h.prod.CreateDatabase(t, database)
	h.settle(login.URL, copies)
	h.connect()
	return h
}

// settle sets what the services of the house are told.
func (h *house) settle(nats string, copies int) {
	h.env = map[string]string{
		"NIGHTSHARD_DATABASE":              database,
		"NIGHTSHARD_SCHEDULE":              "off",
		"NIGHTSHARD_LISTEN":                "127.0.0.1:0",
		"NIGHTSHARD_LOG_FORMAT":            "json",
		"NIGHTSHARD_LOG_LEVEL":             "debug",
		"NIGHTSHARD_ACK_WAIT":              "4s",
		"NIGHTSHARD_DUMPER_WAIT":           "5s",
		"NIGHTSHARD_PRODUCTION_URL":        h.prod.URL,
		"NIGHTSHARD_PRODUCTION_SNAPSHOT":   h.prod.Snapshot,
		"NIGHTSHARD_INTERMEDIARY_URL":      h.inter.URL,
		"NIGHTSHARD_INTERMEDIARY_SNAPSHOT": h.inter.Snapshot,
		"NIGHTSHARD_MEASUREMENTS":          "cpu",
		"NATS_URL":                         nats,
		"NIGHTSHARD_STREAM_REPLICAS":       strconv.Itoa(copies),
	}
	maps.Copy(h.env, h.swift)
}

// connect opens the store and the bus as any program of the project does, and
// watches every event.
func (h *house) connect() {
	h.t.Helper()
	var err error
	if h.store, err = connect.Store(h.t.Context(), h.swift, service.Common{}, zerolog.Nop()); err != nil {
		h.t.Fatal(err)
	}
	copies, err := strconv.Atoi(h.env["NIGHTSHARD_STREAM_REPLICAS"])
	if err != nil {
		h.t.Fatal(err)
	}
	login := h.login
	login.URL = h.env["NATS_URL"]
	common := service.Common{
		NATS: login, Replicas: copies, SubjectPrefix: h.env["NIGHTSHARD_SUBJECT_PREFIX"],
	}
	if h.bus, err = connect.Bus(h.t.Context(), common, "e2e", zerolog.Nop()); err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan error, 1)
	go func() { watched <- h.bus.Watch(ctx, events.FromFirst(), h.saw) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-watched; err != nil {
			h.t.Errorf("watch: %v", err)
		}
		if err := h.bus.Close(context.Background()); err != nil {
			h.t.Logf("close bus: %v", err)
		}
	})
}

func (h *house) saw(e events.Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
	close(h.news)
	h.news = make(chan struct{})
	return nil
}

// await returns the first event after sequence number after that ok accepts.
func (h *house) await(what string, after uint64, ok func(events.Event) bool) events.Event {
	h.t.Helper()
	deadline := time.After(h.patience)
	for {
		h.mu.Lock()
		for _, e := range h.events {
			if e.Seq > after && ok(e) {
				h.mu.Unlock()
				return e
			}
		}
		news := h.news
		h.mu.Unlock()
		select {
		case <-news:
		case <-deadline:
			h.t.Fatalf("no %s within %s; events:\n%s", what, h.patience, h.story())
		}
	}
}

// all gives the events on a subject.
func (h *house) all(subject string) []events.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []events.Event
	for _, e := range h.events {
		if e.Subject == subject {
			out = append(out, e)
		}
	}
	return out
}

// story is every event that was seen, for a failed test.
func (h *house) story() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for _, e := range h.events {
		fmt.Fprintf(&b, "  %d %s %s %s\n", e.Seq, e.Time.Format("15:04:05.000"), e.Subject, e.Data)
	}
	return b.String()
}

// publish puts an event into the stream.
func (h *house) publish(subject string, msg proto.Message) uint64 {
	h.t.Helper()
	seq, err := h.bus.Publish(h.t.Context(), subject, msg, "")
	if err != nil {
		h.t.Fatal(err)
	}
	return seq
}

// awaitOn waits for the first event after seq on one of two subjects, and fails
// the test when it is the second: the step failed.
func awaitOn[M proto.Message](h *house, after uint64, good, bad string) (M, events.Event) {
	h.t.Helper()
	e := h.await(good, after, func(e events.Event) bool { return e.Subject == good || e.Subject == bad })
	m, ok := e.Message.(M)
	if !ok {
		h.t.Fatalf("%s: %s", e.Subject, e.Data)
	}
	return m, e
}

// night asks for one backup and waits until the chain has ended with one dump
// for each of the measurements.
func (h *house) night(req *pb.BackupRequested, dumps int) (*pb.BackupCompleted, *pb.RestoreCompleted, []*pb.DumpCompleted) {
	h.t.Helper()
	seq := h.publish(events.BackupRequested, req)
	b, be := awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
	r, re := awaitOn[*pb.RestoreCompleted](h, be.Seq, events.RestoreCompleted, events.RestoreFailed)
	return b, r, h.dumps(re.Seq, dumps)
}

// dumps waits for n dumps after seq.
func (h *house) dumps(after uint64, n int) []*pb.DumpCompleted {
	h.t.Helper()
	var out []*pb.DumpCompleted
	for range n {
		m, e := awaitOn[*pb.DumpCompleted](h, after, events.DumpCompleted, events.DumpFailed)
		out, after = append(out, m), e.Seq
	}
	return out
}

// proc is a service as a process.
type proc struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	log  string
	done chan error
}

// start runs a service with the house's settings and those of extra
// ("NAME=value"). It ends with the test.
func (h *house) start(name string, extra ...string) *proc {
	h.t.Helper()
	return h.startIn(h.t, name, extra...)
}

// startIn is start for a service that ends with another test than the house's.
func (h *house) startIn(t *testing.T, name string, extra ...string) *proc {
	t.Helper()
	return h.startBinary(t, name, testbed.Command(t, "./services/"+name), extra...)
}

// startBinary is startIn for a service of another version.
func (h *house) startBinary(t *testing.T, name, binary string, extra ...string) *proc {
	t.Helper()
	p := &proc{t: t, name: name, done: make(chan error, 1), log: filepath.Join(t.TempDir(), name+".log")}
	p.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), binary) // it outlives a failed wait, to be logged
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	for k, v := range h.env {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	p.cmd.Env = append(p.cmd.Env, extra...)
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.stop(syscall.SIGTERM)
		_ = out.Close()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, p.logged())
		}
	})
	return p
}

// startAll starts one of each service.
func (h *house) startAll(extra ...string) (backup, restore, dumper *proc) {
	h.t.Helper()
	return h.start("backup", extra...), h.start("restore", extra...), h.start("dumper", extra...)
}

// stop ends the process with a signal and gives how it ended.
func (p *proc) stop(sig syscall.Signal) error {
	_ = p.cmd.Process.Signal(sig)
	select {
	case err := <-p.done:
		p.done <- err
		return err
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		return errors.New("it did not stop within 30 s of " + sig.String())
	}
}

// logged is what the process has written so far.
func (p *proc) logged() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// read gets an object whole.
func (h *house) read(container, name string) []byte {
	h.t.Helper()
	data, err := objstore.Read(h.t.Context(), h.store, container, name, 1<<30)
	if err != nil {
		h.t.Fatal(err)
	}
	return data
}

// list gives the objects of a container by name.
func (h *house) list(container string) map[string]objstore.Object {
	h.t.Helper()
	out := map[string]objstore.Object{}
	err := h.store.List(h.t.Context(), container, "", func(o objstore.Object) error {
		out[o.Name] = o
		return nil
	})
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		h.t.Fatal(err)
	}
	return out
}
