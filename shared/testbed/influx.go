package testbed

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// InfluxOptions choose the InfluxDB that a test gets. The zero value is a
// 1.8.10 server with the inmem index and without login.
type InfluxOptions struct {
	// Version is Influx18 (the default) or Influx16.
	Version string
	// Index is "inmem" (the default) or "tsi1".
	Index string
	// Auth turns the login on; User and Password of the server are its admin.
	Auth bool
	// Monitor turns the server's own `_internal` database on.
	Monitor bool
	// HTTPS is the certificate with which the HTTP interface speaks TLS.
	HTTPS *Cert
	// Config holds further settings by their environment name, such as
	// INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION; they win.
	Config map[string]string
}

// InfluxServer is a running influxd. It ends with the test.
type InfluxServer struct {
	// URL of the HTTP interface, without a slash at the end.
	URL string
	// Snapshot is the host:port of the backup and restore protocol.
	Snapshot string
	// Dir holds everything of this server; the three folders lie in it.
	Dir, MetaDir, DataDir, WALDir string
	// LogFile receives the output of all starts.
	LogFile string
	// User and Password of the admin; empty without Auth.
	User, Password string
	// Binary is the path of this server's influxd, also for `influxd restore`.
	Binary string
	// ConfigFile is the configuration that the server was started with.
	ConfigFile string

	t      testing.TB
	env    []string
	proc   *process
	client *http.Client
}

// Influx starts an InfluxDB on free loopback ports with empty folders and
// waits until it answers.
func Influx(t testing.TB, opts InfluxOptions) *InfluxServer {
	t.Helper()
	if opts.Version == "" {
		opts.Version = Influx18
	}
	binary, err := findInflux(opts.Version)
	if err != nil {
		unavailable(t, "InfluxDB "+opts.Version, err)
	}
	s := newInflux(t, binary, opts)
	t.Cleanup(s.end)
	s.Start()
	if opts.Auth {
		s.createAdmin()
	}
	return s
}

func newInflux(t testing.TB, binary string, opts InfluxOptions) *InfluxServer {
	t.Helper()
	dir := t.TempDir()
	s := &InfluxServer{
		t: t, Binary: binary, Dir: dir,
		MetaDir: filepath.Join(dir, "meta"), DataDir: filepath.Join(dir, "data"), WALDir: filepath.Join(dir, "wal"),
		LogFile: filepath.Join(dir, "influxd.log"), ConfigFile: filepath.Join(dir, "influxdb.conf"),
		Snapshot: loopback(FreePort(t)), client: http.DefaultClient,
	}
	s.URL = "http://" + loopback(FreePort(t))
	if opts.HTTPS != nil {
		s.URL = strings.Replace(s.URL, "http", "https", 1)
		s.client = opts.HTTPS.client(t)
	}
	for _, key := range slices.Sorted(maps.Keys(opts.Config)) {
		s.env = append(s.env, key+"="+opts.Config[key])
	}
	if err := os.WriteFile(s.ConfigFile, []byte(s.config(opts)), 0o600); err != nil {
		t.Fatalf("write configuration of influxd: %v", err)
	}
	return s
}

// config is the configuration file. The settings that differ from the
// server's defaults are those that keep it on this machine and quiet.
func (s *InfluxServer) config(opts InfluxOptions) string {
	index := opts.Index
	if index == "" {
		index = "inmem"
	}
	return fmt.Sprintf(`reporting-disabled = true
bind-address = %q
[meta]
  dir = %q
[data]
  dir = %q
  wal-dir = %q
  index-version = %q
  query-log-enabled = false
[monitor]
  store-enabled = %t
[http]
  bind-address = %q
  auth-enabled = %t
  log-enabled = false
%s`, s.Snapshot, s.MetaDir, s.DataDir, s.WALDir, index, opts.Monitor, s.URL[strings.Index(s.URL, "//")+2:], opts.Auth, opts.HTTPS.influxConfig())
}

// Start starts the server (again) with the same folders and ports, and waits
// until it answers a query.
func (s *InfluxServer) Start() {
	s.t.Helper()
	if s.proc != nil && s.proc.alive() {
		s.t.Fatal("start influxd: it runs already")
	}
	proc, err := startProcess(s.LogFile, s.env, s.Binary, "run", "-config", s.ConfigFile)
	if err != nil {
		s.t.Fatalf("start influxd: %v", err)
	}
	s.proc = proc
	if err := poll(time.Minute, s.ready); err != nil {
		s.t.Fatalf("start influxd: %v", err)
	}
}

// ready says why the server cannot be used yet.
func (s *InfluxServer) ready() error {
	if !s.proc.alive() {
		return finalError{fmt.Errorf("influxd ended: %w", s.proc.err)}
	}
	if _, err := s.call("GET", "/ping", nil, ""); err != nil {
		return err
	}
	if s.User == "" && s.authOn() {
		return nil // before the admin exists, every other query is refused
	}
	_, err := s.query("", "SHOW DATABASES")
	return err
}

// Stop ends the server in good order, as an operator would, and waits.
func (s *InfluxServer) Stop() {
	s.t.Helper()
	if err := s.proc.stop(30 * time.Second); err != nil {
		s.t.Errorf("stop influxd: %v", err)
	}
}

// Kill ends the server as a crash would (SIGKILL) and waits until it is gone.
func (s *InfluxServer) Kill() { s.proc.kill() }

// Pause freezes the server (SIGSTOP): it accepts connections but never answers.
// When Pause returns, the server stands still.
func (s *InfluxServer) Pause() {
	s.t.Helper()
	if err := s.proc.pause(); err != nil {
		s.t.Errorf("pause influxd: %v", err)
	}
}

// Resume lets a paused server go on.
func (s *InfluxServer) Resume() { s.proc.signal(syscall.SIGCONT) }

// Running says whether the server's process exists.
func (s *InfluxServer) Running() bool { return s.proc != nil && s.proc.alive() }

// end removes the server after the test. Its data are thrown away, so there is
// no reason to wait for an orderly stop.
func (s *InfluxServer) end() {
	if s.proc != nil {
		s.proc.kill()
	}
	logOnFailure(s.t, "influxd ("+s.URL+")", s.LogFile)
}
