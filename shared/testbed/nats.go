package testbed

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// NATSOptions choose the NATS server that a test gets. The zero value is an
// open server with JetStream.
type NATSOptions struct {
	// SyncAlways makes every stored message durable before it is acknowledged.
	SyncAlways bool
	// User and Password, or Token, are asked from clients when they are set.
	User, Password, Token string
	// Config is a file of nats-server's own configuration to begin with. User and
	// Password then are what Connect logs in with.
	Config string
	// Process runs the server as a process of its own, which Kill ends without
	// a warning. It is an open server: no credentials, no Configure.
	Process bool
	// StoreDir is where the streams are kept. Empty: a folder of the test's.
	StoreDir string
	// Configure may change the server's options before each start. Host, Port
	// and StoreDir are set already and must stay.
	Configure func(*server.Options)

	// member are natsd's arguments of a server of a cluster.
	member []string
}

// NATSServer is a nats-server with JetStream and a store of its own, inside the
// test process or as a process of its own. It ends with the test.
type NATSServer struct {
	// URL for clients, without credentials.
	URL string
	// StoreDir holds the streams; a restart finds them again.
	StoreDir string
	// LogFile receives what the server says.
	LogFile string

	t    testing.TB
	opts NATSOptions
	port int
	mu   sync.Mutex
	srv  *server.Server // nil when it is shut down, or a process
	proc *process       // nil when it is shut down, or inside the test
}

// NATS starts a server on a free loopback port and waits until it is ready.
func NATS(t testing.TB, opts NATSOptions) *NATSServer {
	t.Helper()
	n := newNATS(t, opts)
	n.Start()
	return n
}

// newNATS is NATS without the start.
func newNATS(t testing.TB, opts NATSOptions) *NATSServer {
	t.Helper()
	dir := t.TempDir()
	n := &NATSServer{
		t: t, opts: opts, port: FreePort(t),
		StoreDir: filepath.Join(dir, "store"),
		LogFile:  filepath.Join(dir, "nats.log"),
	}
	if opts.StoreDir != "" {
		n.StoreDir = opts.StoreDir
	}
	n.URL = "nats://" + loopback(n.port)
	t.Cleanup(func() {
		n.Shutdown()
		logOnFailure(t, "nats-server", n.LogFile)
	})
	return n
}

// Start starts a server that was shut down, on the same port and store.
func (n *NATSServer) Start() {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.srv != nil || n.proc != nil {
		n.t.Fatal("start nats-server: it runs already")
	}
	if n.opts.Process {
		n.proc = n.startProcess()
		return
	}
	srv, err := n.start()
	if err != nil {
		n.t.Fatalf("start nats-server: %v", err)
	}
	n.srv = srv
}

func (n *NATSServer) start() (*server.Server, error) {
	opts, err := n.options()
	if err != nil {
		return nil, err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("make server: %w", err)
	}
	// Without a log, a bad store folder would show only as a time-out.
	srv.ConfigureLogger()
	srv.Start()
	if !srv.ReadyForConnections(20 * time.Second) {
		srv.Shutdown()
		return nil, errors.New("not ready after 20s")
	}
	return srv, nil
}

func (n *NATSServer) options() (*server.Options, error) {
	opts := &server.Options{Username: n.opts.User, Password: n.opts.Password, Authorization: n.opts.Token}
	if n.opts.Config != "" {
		var err error
		if opts, err = server.ProcessConfigFile(n.opts.Config); err != nil {
			return nil, fmt.Errorf("read %s: %w", n.opts.Config, err)
		}
	}
	opts.Host, opts.Port, opts.NoSigs = "127.0.0.1", n.port, true
	opts.JetStream, opts.StoreDir, opts.SyncAlways = true, n.StoreDir, n.opts.SyncAlways
	opts.LogFile, opts.Logtime = n.LogFile, true
	if n.opts.Configure != nil {
		n.opts.Configure(opts)
	}
	return opts, nil
}

// Shutdown stops the server and waits. A second call does nothing.
func (n *NATSServer) Shutdown() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc != nil {
		if err := n.proc.stop(20 * time.Second); err != nil {
			n.t.Errorf("stop nats-server: %v", err)
		}
		n.proc = nil
	}
	if n.srv == nil {
		return
	}
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
	n.srv = nil
}

// Restart stops the server and starts it again on the same port and store;
// clients that reconnect find their streams and consumers again.
func (n *NATSServer) Restart() {
	n.t.Helper()
	n.Shutdown()
	n.Start()
}

// Server is the embedded server, for a look inside; nil while it is shut down,
// and when it is a process of its own.
// A restart makes a new one.
func (n *NATSServer) Server() *server.Server {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.srv
}

// Connect returns a client with this server's credentials that reconnects for
// ever. It is closed when the test ends.
func (n *NATSServer) Connect(t testing.TB, more ...nats.Option) *nats.Conn {
	t.Helper()
	opts := []nats.Option{
		nats.Name(t.Name()),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(20 * time.Millisecond),
	}
	if n.opts.User != "" {
		opts = append(opts, nats.UserInfo(n.opts.User, n.opts.Password))
	}
	if n.opts.Token != "" {
		opts = append(opts, nats.Token(n.opts.Token))
	}
	nc, err := nats.Connect(n.URL, append(opts, more...)...)
	if err != nil {
		t.Fatalf("connect to nats-server: %v", err)
	}
	t.Cleanup(nc.Close)
	return nc
}
