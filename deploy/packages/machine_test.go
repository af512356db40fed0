package packages_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"nightshard/shared/testbed"
)

// patience is how long a test waits for what must happen.
const patience = 5 * time.Minute

// systemd installs the package on a machine of its own, whose first process is
// systemd, and runs a night there: the programs, the units and what holds the
// services in are those that an operator gets.
func (r release) systemd(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("TESTBED_REQUIRED") == "1" {
			t.Fatal("systemd can be run as root only, and TESTBED_REQUIRED=1")
		}
		t.Skip("not run: systemd can be run as root only")
	}
	m := newMachine(t)
	m.install(t, r.path("nightshard_1.2.3~rc.1_amd64.deb"))
	t.Run("version", m.version)
	t.Run("missing settings", m.missingSettings)
	m.configure(t)
	t.Run("night", m.night)
	t.Run("journal", m.journal)
	t.Run("watchdog", m.watchdog)
	t.Run("removal", m.removal)
}

// machine is what testdata/machine.sh makes.
type machine struct {
	pid        string
	production *testbed.InfluxServer
	other      *testbed.InfluxServer
	nats       *testbed.NATSServer
	swift      *testbed.SwiftAccount
}

// units are the services in the order in which they are upgraded.
func units() []string {
	return []string{"nightshard-dumper", "nightshard-restore", "nightshard-backup"}
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "testdata/machine.sh", t.TempDir())
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	cmd.Stderr = os.Stderr
	hold, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = hold.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("start systemd in name spaces of its own: %v", err)
	}
	m := &machine{
		pid: strings.TrimSpace(line), swift: testbed.Swift(t), nats: testbed.NATS(t, testbed.NATSOptions{}),
		production: testbed.Influx(t, testbed.InfluxOptions{}), other: testbed.Influx(t, testbed.InfluxOptions{}),
	}
	testbed.Eventually(t, patience, "systemd to be up", func() bool {
		_, err := m.try(t, "", "systemctl", "is-active", "test.target")
		return err == nil
	})
	return m
}

// try runs a command on the machine with this input.
func (m *machine) try(t *testing.T, stdin, name string, args ...string) (string, error) {
	t.Helper()
	return m.feed(t, strings.NewReader(stdin), name, args...)
}

func (m *machine) feed(t *testing.T, stdin io.Reader, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	enter := []string{"--target", m.pid, "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--root", "--wd", name}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "NATS_URL=" + m.natsURL()}
	cmd.Stdin = stdin
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (m *machine) natsURL() string {
	if m.nats == nil {
		return ""
	}
	return m.nats.URL
}

// must runs a command that has to succeed.
func (m *machine) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := m.try(t, "", name, args...)
	if err != nil {
		logs, _ := m.try(t, "", "journalctl", "--no-pager", "--lines=60", "--unit=nightshard-*")
		t.Fatalf("%s %s: %v\n%s\njournal:\n%s", name, strings.Join(args, " "), err, out, logs)
	}
	return out
}

func (m *machine) write(t *testing.T, file, text string) {
	t.Helper()
	if out, err := m.try(t, text, "install", "-D", "-m", "600", "/dev/stdin", file); err != nil {
		t.Fatalf("write %s: %v: %s", file, err, out)
	}
}

func (m *machine) install(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if out, err := m.feed(t, f, "install", "-m", "600", "/dev/stdin", "/root/nightshard.deb"); err != nil {
		t.Fatalf("copy package: %v: %s", err, out)
	}
	m.must(t, "dpkg", "--install", "/root/nightshard.deb")
	for _, unit := range units() {
		if got, _ := m.try(t, "", "systemctl", "is-enabled", unit); strings.TrimSpace(got) != "disabled" {
			t.Errorf("%s is %s after the installation", unit, got)
		}
		if got := m.property(t, unit, "ActiveState"); got != "inactive" {
			t.Errorf("%s is %s after the installation", unit, got)
		}
	}
}

func (m *machine) property(t *testing.T, unit, name string) string {
	t.Helper()
	return strings.TrimSpace(m.must(t, "systemctl", "show", "--value", "--property="+name, unit))
}

// version is the tag, in every program.
func (m *machine) version(t *testing.T) {
	for _, args := range [][]string{
		{"/usr/lib/nightshard/backup", "--version"},
		{"/usr/lib/nightshard/restore", "--version"},
		{"/usr/lib/nightshard/dumper", "--version"},
		{"nightshard", "version"},
	} {
		if out := m.must(t, args[0], args[1:]...); !strings.Contains(out, tag) || strings.Contains(out, "dirty") {
			t.Errorf("%s says %q, want %s", args[0], out, tag)
		}
	}
}

// missingSettings end the start with all of them named, and systemd does not try
// again what cannot become better.
func (m *machine) missingSettings(t *testing.T) {
	if out, err := m.try(t, "", "systemctl", "start", "nightshard-backup"); err == nil {
		t.Errorf("it started: %s", out)
	}
	logs := m.must(t, "journalctl", "--no-pager", "--output=cat", "--unit=nightshard-backup")
	for _, want := range []string{"NIGHTSHARD_DATABASE is missing", "status=2"} {
		if !strings.Contains(logs, want) {
			t.Errorf("%s is not in the journal:\n%s", want, logs)
		}
	}
	if got := m.property(t, "nightshard-backup", "ActiveState") + m.property(t, "nightshard-backup", "NRestarts"); got != "failed0" {
		t.Errorf("state and restarts are %s", got)
	}
}

// configure writes what an operator writes.
func (m *machine) configure(t *testing.T) {
	t.Helper()
	m.write(t, "/etc/nightshard/nightshard.env", fmt.Sprintf(
		"NIGHTSHARD_DATABASE=sensu_db\nNATS_URL=%s\nST_AUTH=%s\nST_USER=%s\nNIGHTSHARD_LISTEN=127.0.0.1:0\n",
		m.nats.URL, m.swift.AuthURL, m.swift.User))
	m.write(t, "/etc/nightshard/secrets/st_key", m.swift.Key+"\n")
	m.write(t, "/etc/nightshard/backup.env", fmt.Sprintf(
		"NIGHTSHARD_PRODUCTION_URL=%s\nNIGHTSHARD_PRODUCTION_SNAPSHOT=%s\nNIGHTSHARD_SCHEDULE=off\n",
		m.production.URL, m.production.Snapshot))
	m.write(t, "/etc/nightshard/restore.env", fmt.Sprintf(
		"NIGHTSHARD_INTERMEDIARY_URL=%s\nNIGHTSHARD_INTERMEDIARY_SNAPSHOT=%s\n", m.other.URL, m.other.Snapshot))
	m.write(t, "/etc/nightshard/dumper.env", fmt.Sprintf(
		"NIGHTSHARD_INTERMEDIARY_URL=%s\nNIGHTSHARD_MEASUREMENTS='cpu,a\\,b'\n", m.other.URL))
}

// night is a whole one. That a unit has started says that its service takes
// events.
func (m *machine) night(t *testing.T) {
	m.production.CreateDatabase(t, "sensu_db")
	now := time.Now()
	m.production.Write(t, "sensu_db", "", fmt.Sprintf("cpu,host=a value=1i %d\na\\,b,host=a value=2i %d\n", now.UnixNano(), now.UnixNano()))
	for _, unit := range units() {
		m.must(t, "systemctl", "enable", "--now", unit)
		if got := m.property(t, unit, "StatusText"); got != "takes events" {
			t.Errorf("%s: status %q", unit, got)
		}
	}
	out := m.must(t, "nightshard", "request", "backup", "--follow", "--timeout", "9m")
	for _, want := range []string{"1 shard", "dump cpu 20", "dump a"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	// As the README says.
	out = m.must(t, "sh", "-c", `set -a; . /etc/nightshard/nightshard.env; set +a
export ST_KEY_FILE=/etc/nightshard/secrets/st_key; nightshard list`)
	if !strings.Contains(out, "passed") {
		t.Errorf("nightshard list: %s", out)
	}
	for _, unit := range units() {
		if got := m.property(t, unit, "ActiveState") + m.property(t, unit, "NRestarts"); got != "active0" {
			t.Errorf("%s: state and restarts are %s", unit, got)
		}
		m.heldIn(t, unit)
	}
}

// heldIn looks at what the kernel knows of the process.
func (m *machine) heldIn(t *testing.T, unit string) {
	t.Helper()
	status := m.must(t, "cat", "/proc/"+m.property(t, unit, "MainPID")+"/status")
	for _, want := range []string{"CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
		if !strings.Contains(status, want) {
			t.Errorf("%s: %q is not in\n%s", unit, want, status)
		}
	}
	if strings.Contains(status, "Uid:\t0\t") {
		t.Errorf("%s runs as root", unit)
	}
}

// journal has the level, and the time only once.
func (m *machine) journal(t *testing.T) {
	out := m.must(t, "journalctl", "--no-pager", "--output=json", "--output-fields=PRIORITY,MESSAGE", "--unit=nightshard-backup", "--grep=\"starting\"")
	var entry struct {
		Priority string `json:"PRIORITY"`
		Message  string `json:"MESSAGE"`
	}
	if err := json.Unmarshal([]byte(strings.TrimSpace(out)), &entry); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(entry.Message), &line); err != nil || entry.Priority != "6" || line["version"] != tag || line["time"] != nil {
		t.Errorf("%v: priority %s, line %s", err, entry.Priority, entry.Message)
	}
}

// watchdog ends a service that shows no sign of life, and starts it anew.
func (m *machine) watchdog(t *testing.T) {
	m.write(t, "/etc/systemd/system/nightshard-dumper.service.d/soon.conf",
		"[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\nRestartSec=100ms\n")
	m.must(t, "systemctl", "daemon-reload")
	m.must(t, "systemctl", "restart", "nightshard-dumper")
	pid := m.property(t, "nightshard-dumper", "MainPID")
	m.must(t, "kill", "-STOP", pid)
	testbed.Eventually(t, patience, "the stopped service to be started anew", func() bool {
		return m.property(t, "nightshard-dumper", "ActiveState") == "active" && m.property(t, "nightshard-dumper", "MainPID") != pid
	})
	if logs := m.must(t, "journalctl", "--no-pager", "--output=cat", "--unit=nightshard-dumper"); !strings.Contains(logs, "Watchdog timeout") {
		t.Errorf("the journal does not say why:\n%s", logs)
	}
}

// removal leaves the settings and the secrets, and nothing that runs.
func (m *machine) removal(t *testing.T) {
	m.must(t, "dpkg", "--remove", "nightshard")
	for _, unit := range units() {
		if got := m.property(t, unit, "LoadState") + " " + m.property(t, unit, "ActiveState"); got != "not-found inactive" {
			t.Errorf("%s is %s", unit, got)
		}
	}
	m.must(t, "test", "-s", "/etc/nightshard/secrets/st_key")
	m.must(t, "test", "-s", "/etc/nightshard/backup.env")
	if out, err := m.try(t, "", "test", "-e", "/usr/lib/nightshard"); err == nil {
		t.Errorf("programs are left: %s", out)
	}
}
