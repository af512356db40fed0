package testbed_test

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"nightshard/shared/testbed"
)

// swiftAs runs the plain swift client with settings of Keystone.
func swiftAs(t *testing.T, env map[string]string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testbed.SwiftClient(t), args...)
	cmd.Env, cmd.Dir = append(os.Environ(), "LC_ALL=C.UTF-8"), t.TempDir()
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestEachUserOfKeystoneHasASwiftOfItsOwn(t *testing.T) {
	t.Parallel()
	k := testbed.Keystone(t)
	ann, bob, reader := k.NewUser(t, "member"), k.NewUser(t, "member"), k.NewUser(t, "reader")
	if out, err := swiftAs(t, ann.Env, "post", "2016-06-01"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := swiftAs(t, ann.Env, "list"); err != nil || out != "2016-06-01\n" {
		t.Errorf("hers: %v: %s", err, out)
	}
	if out, err := swiftAs(t, bob.Env, "list"); err != nil || out != "" {
		t.Errorf("another's: %v: %s", err, out)
	}
	if out, err := swiftAs(t, reader.Env, "post", "2016-06-01"); err == nil || !strings.Contains(out, "403") {
		t.Errorf("a reader's: %v: %s", err, out)
	}
	if out, err := swiftAs(t, ann.With(map[string]string{"OS_PASSWORD": "wrong"}), "list"); err == nil {
		t.Errorf("with a wrong password: %s", out)
	}
}

func TestInfluxSpeaksTLS(t *testing.T) {
	t.Parallel()
	cert := testbed.NewAuthority(t, "ca").Issue(t, testbed.CertOptions{})
	for _, version := range []string{testbed.Influx18, testbed.Influx16} {
		s := testbed.Influx(t, testbed.InfluxOptions{Version: version, HTTPS: &cert, Auth: true})
		s.CreateDatabase(t, "db")
		s.Write(t, "db", "", "cpu value=42 1464739200000000000\n")
		wantAnswer(t, s, "db", "SELECT value FROM cpu", `42]`)
		if _, err := http.Get(s.URL + "/ping"); err == nil || !strings.Contains(err.Error(), "certificate") { //nolint:bodyclose // there is none
			t.Errorf("%s answers whom it should not convince: %v", version, err)
		}
	}
}
