package e2e_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

// guardedNATS is a NATS server with the users of deploy/nats, whose passwords are
// made as an operator makes them, and the folder that holds those.
func guardedNATS(t *testing.T) (testbed.NATSOptions, string) {
	t.Helper()
	dir := t.TempDir()
	run(t, dir, nil, testbed.Command(t, "./deploy/nats"), "-passwords", dir)
	permissions, err := os.ReadFile("../deploy/nats/permissions.conf")
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "nats.conf")
	for file, text := range map[string]string{
		filepath.Join(dir, "permissions.conf"): string(permissions),
		conf:                                   "authorization {\n  include permissions.conf\n}\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	password, err := os.ReadFile(filepath.Join(dir, "nats_operators"))
	if err != nil {
		t.Fatal(err)
	}
	return testbed.NATSOptions{Config: conf, User: events.Operators, Password: strings.TrimSpace(string(password))}, dir
}

// A night, a past day and dumps under the users of deploy/nats, asked for by the
// command: nothing is refused, which the server's own log would tell.
func TestWholeNightWithTheLeastPermissions(t *testing.T) {
	t.Parallel()
	nats, secrets := guardedNATS(t)
	h := buildOn(t, testbed.InfluxOptions{}, testbed.InfluxOptions{}, nats)
	h.fillWeek(2)
	h.fillOdd(weekday0().AddDate(0, 0, 1))
	h.env["NIGHTSHARD_MEASUREMENTS"] = `["cpu", ` + canon(t, oddMeasurement) + `]`
	h.env["NIGHTSHARD_SCHEDULE"] = "55 23 * * *"
	login := func(user string) []string {
		return []string{"NATS_USER=" + user, "NATS_PASSWORD_FILE=" + filepath.Join(secrets, "nats_"+user)}
	}
	for _, service := range []string{events.Backup, events.Restore, events.Dumper} {
		h.start(service, login(service)...)
	}
	// The command does not wait for long for a service that nobody has started.
	testbed.Eventually(t, patience, "all five durables", func() bool {
		states, err := h.bus.Consumers(t.Context())
		return err == nil && len(states) == 5
	})
	ops := maps.Clone(h.swift)
	for _, pair := range append(login(events.Operators), "NATS_URL="+h.nats.URL, "NIGHTSHARD_DATABASE="+database) {
		name, value, _ := strings.Cut(pair, "=")
		ops[name] = value
	}
	day := dayName(1)
	for _, args := range [][]string{
		{"request", "backup", "--day", day, "--follow"},
		{"request", "restore", day, "--follow"},
		{"request", "dump", "--measurement", "cpu", "--from", dayName(0), "--to", day, "--follow"},
		{"status"},
		{"list"},
	} {
		run(t, t.TempDir(), ops, testbed.Command(t, "./cmd/nightshard"), args...)
	}
	if n := len(h.all(events.RestoreCompleted)); n != 2 {
		t.Errorf("%d restores, want 2:\n%s", n, h.story())
	}
	if n := len(h.all(events.DumpCompleted)); n < 6 {
		t.Errorf("%d dumps, want two for each restore and two more:\n%s", n, h.story())
	}
	log, err := os.ReadFile(h.nats.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "Violation") {
			t.Error(line)
		}
	}
}

// A service with another one's user is told at once what that may not do.
func TestServiceWithAnothersUserSaysSo(t *testing.T) {
	t.Parallel()
	nats, secrets := guardedNATS(t)
	h := buildOn(t, testbed.InfluxOptions{}, testbed.InfluxOptions{}, nats)
	p := h.start(events.Restore, "NATS_USER=dumper", "NATS_PASSWORD_FILE="+filepath.Join(secrets, "nats_dumper"))
	if err := <-p.done; err == nil {
		t.Error("it ended well")
	} else {
		p.done <- err
	}
	if text := p.logged(); !strings.Contains(text, `the NATS user "dumper" may not subscribe to "_INBOX_restore.`) {
		t.Errorf("it says %s", text)
	}
}
