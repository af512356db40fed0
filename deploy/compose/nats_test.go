package compose_test

import (
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

// The servers' files as the compose file mounts them, in a real server: each
// service's secret opens it for its user, and nobody comes in without one.
func TestNATSServersTakeTheSecretsOfTheServices(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"single.conf", "cluster.conf"} {
		dir := t.TempDir()
		mount(t, "../nats/permissions.conf", filepath.Join(dir, "nightshard", "permissions.conf"))
		mount(t, "secrets/demo_nats_passwords.conf", filepath.Join(dir, "nightshard", "nats_passwords.conf"))
		conf := filepath.Join(dir, "nats", name)
		mount(t, filepath.Join("nats", name), conf, alone)
		srv := testbed.NATS(t, testbed.NATSOptions{Config: conf})
		for _, user := range []string{events.Backup, events.Restore, events.Dumper, events.Operators} {
			secret, err := os.ReadFile("secrets/demo_nats_" + user)
			if err != nil {
				t.Fatal(err)
			}
			if err := logIn(t, srv.URL, user, strings.TrimSpace(string(secret))); err != nil {
				t.Errorf("%s: %s: %v", name, user, err)
			}
		}
		if err := logIn(t, srv.URL, "", ""); err == nil {
			t.Errorf("%s: it is open to everybody", name)
		}
	}
}

// alone takes away what a server needs a network of containers for: its fixed
// ports, its name from the environment, and the others.
func alone(text string) string {
	text = strings.NewReplacer("http: 8222", "", "$NATS_NAME", "test").Replace(text)
	text, _, _ = strings.Cut(text, "cluster {")
	return text
}

// mount copies a file to where the compose file shows it to a server.
func mount(t *testing.T, from, to string, change ...func(string) string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, c := range change {
		text = c(text)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func logIn(t *testing.T, url, user, password string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	bus, err := events.Connect(ctx, events.Config{
		URL: url, User: user, Password: password, InboxPrefix: events.InboxPrefix(user), Log: zerolog.Nop(),
	})
	if err != nil {
		return err
	}
	return bus.Close(ctx)
}
