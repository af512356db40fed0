package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

// printed is what the command prints.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := run(args, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestCommittedFileIsCurrent(t *testing.T) {
	t.Parallel()
	committed, err := os.ReadFile("permissions.conf")
	if err != nil {
		t.Fatal(err)
	}
	if string(committed) != printed(t) {
		t.Error("permissions.conf is not what the code makes: run task gen")
	}
	file := filepath.Join(t.TempDir(), "made.conf")
	printed(t, "-o", file)
	if made, err := os.ReadFile(file); err != nil || !bytes.Equal(made, committed) {
		t.Errorf("-o writes something else: %v", err)
	}
}

func TestFlagsNameUsersPrefixAndMeasurements(t *testing.T) {
	t.Parallel()
	text := printed(t, "-prefix", "site1", "-measurement", "cpu", "-measurement", "a b", "-user", "backup=site1-backup", "-include", "")
	for _, want := range []string{
		`user: "site1-backup"`, "password: $NATS_SITE1_BACKUP_PASSWORD", `user: "restore"`, `"site1.backup.requested"`,
		`"$JS.API.CONSUMER.CREATE.NIGHTSHARD_SITE1.dumper-cpu.site1.restore.completed"`, `"site1._INBOX_backup.>"`,
		"NIGHTSHARD_SITE1." + events.MeasurementDurable("a b"),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "include") || strings.Contains(text, "NIGHTSHARD_SITE1.*.site1.restore") {
		t.Errorf("too much:\n%s", text)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"a b":            {"-prefix", "a b"},
		"PROGRAM=NAME":   {"-user", "backup"},
		"no such":        {"-user", "nobody=x"},
		"named twice":    {"-user", "backup=restore"},
		"more than this": {"more than this"},
	} {
		if err := run(args, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// The files as an operator makes them, in a real server: each program logs in
// with its own password, and with no other.
func TestMadePasswordsOpenTheServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	printed(t, "-o", filepath.Join(dir, "permissions.conf"))
	said := printed(t, "-passwords", dir)
	conf := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(conf, []byte("authorization {\n  include permissions.conf\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := testbed.NATS(t, testbed.NATSOptions{Config: conf})
	passwords := map[string]string{}
	for _, user := range []string{events.Backup, events.Restore, events.Dumper, events.Operators} {
		file := filepath.Join(dir, "nats_"+user)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		passwords[user] = strings.TrimSpace(string(text))
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o400 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
		if err := logIn(t, srv.URL, user, passwords[user]); err != nil {
			t.Errorf("%s: %v", user, err)
		}
		if strings.Contains(said, passwords[user]) || len(passwords[user]) < 20 {
			t.Errorf("%s: printed, or short: %s", user, said)
		}
	}
	if err := logIn(t, srv.URL, events.Backup, passwords[events.Restore]); err == nil {
		t.Error("logged in with another's password")
	}
	if err := run([]string{"-passwords", dir}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "nats_backup") {
		t.Errorf("passwords in use were overwritten: %v", err)
	}
}

func logIn(t *testing.T, url, user, password string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	bus, err := events.Connect(ctx, events.Config{
		URL: url, User: user, Password: password, InboxPrefix: events.InboxPrefix(user), Log: zerolog.Nop(),
	})
	if err != nil {
		return err
	}
	return bus.Close(ctx)
}
