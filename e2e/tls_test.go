package e2e_test

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/connect"
	"nightshard/shared/events"
	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// secretFile holds a secret as an operator writes it, with a line break.
func secretFile(t *testing.T, secret string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// useSwift has the house work on another Swift than the one it was built with.
func (h *house) useSwift(env map[string]string) {
	h.t.Helper()
	for name := range h.swift {
		delete(h.env, name)
	}
	maps.Copy(h.env, env)
	h.swift = env
	var err error
	if h.store, err = connect.Store(h.t.Context(), env, service.Common{}, zerolog.Nop()); err != nil {
		h.t.Fatal(err)
	}
}

// secure puts TLS before a server that has none and wants the client certificate
// that it gives the settings of. It answers with the address.
func secure(t *testing.T, ca *testbed.Authority, target string) string {
	t.Helper()
	return testbed.NewTLSProxy(t, target, testbed.TLSProxyOptions{Cert: ca.Issue(t, testbed.CertOptions{}), ClientCA: ca.CAFile}).URL
}

// Everything that can be encrypted is, everybody logs in, each secret is in a
// file, and the second night begins with tokens that are refused.
func TestANightBehindTLSWithKeystoneAndLogins(t *testing.T) {
	t.Parallel()
	ca := testbed.NewAuthority(t, "the company's authority")
	own, client := ca.Issue(t, testbed.CertOptions{}), ca.Issue(t, testbed.CertOptions{Client: true})
	h := build(t, testbed.InfluxOptions{Auth: true}, testbed.InfluxOptions{Auth: true, HTTPS: &own})
	k := testbed.Keystone(t)
	k.AddEndpoint(t, "secured", "internal", secure(t, ca, k.Swift))
	u := k.NewUser(t, "member")
	id, secret := u.AppCredential(t, "nightly")
	h.useSwift(map[string]string{
		"OS_AUTH_URL": secure(t, ca, k.Addr), "OS_APPLICATION_CREDENTIAL_ID": id, "OS_APPLICATION_CREDENTIAL_SECRET_FILE": secretFile(t, secret),
		"OS_REGION_NAME": "secured", "OS_INTERFACE": "internal", "OS_CACERT": ca.CAFile, "OS_CERT": client.CertFile, "OS_KEY": client.KeyFile,
	})
	maps.Copy(h.env, map[string]string{
		"NIGHTSHARD_PRODUCTION_URL":  secure(t, ca, strings.TrimPrefix(h.prod.URL, "http://")),
		"NIGHTSHARD_PRODUCTION_USER": h.prod.User, "NIGHTSHARD_PRODUCTION_PASSWORD_FILE": secretFile(t, h.prod.Password),
		"NIGHTSHARD_PRODUCTION_CA": ca.CAFile, "NIGHTSHARD_PRODUCTION_CERT": client.CertFile, "NIGHTSHARD_PRODUCTION_KEY": client.KeyFile,
		"NIGHTSHARD_INTERMEDIARY_USER": h.inter.User, "NIGHTSHARD_INTERMEDIARY_PASSWORD_FILE": secretFile(t, h.inter.Password),
		"NIGHTSHARD_INTERMEDIARY_CA": ca.CAFile,
	})
	h.fillWeek(2)
	backup, restore, dumper := h.startAll()
	for range 2 {
		_, r, dumps := h.night(&pb.BackupRequested{Day: dayName(0), Force: true}, 1)
		if r.GetVerdict().GetDifferences() != nil {
			t.Errorf("restored with differences: %v", r.GetVerdict())
		}
		h.sameDump(dumps[0])
		u.RevokeTokens(t)
	}
	for _, p := range []*proc{backup, restore, dumper} {
		h.noSecret("log of "+p.name, p.logged())
		if strings.Contains(p.logged(), secret) {
			t.Errorf("the log of %s holds the secret of the application credential", p.name)
		}
	}
}

// An authority that the system trusts needs no setting; one that it does not is
// one error, at once.
func TestAWrongAuthorityEndsARequestAtOnceAndNamesTheSetting(t *testing.T) {
	t.Parallel()
	ca, stranger := testbed.NewAuthority(t, "the company's authority"), testbed.NewAuthority(t, "a stranger")
	own := ca.Issue(t, testbed.CertOptions{})
	h := build(t, testbed.InfluxOptions{HTTPS: &own}, testbed.InfluxOptions{})
	h.fillWeek(1)

	failing := h.start("backup", "NIGHTSHARD_PRODUCTION_CA="+stranger.CAFile)
	seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: dayName(0)})
	f, _ := awaitOn[*pb.BackupFailed](h, seq, events.BackupFailed, events.BackupCompleted)
	if f.GetAttempts() != 1 || !f.GetFinal() || !strings.Contains(f.GetError(), "NIGHTSHARD_PRODUCTION_CA") {
		t.Errorf("with a stranger's authority: %v", f)
	}
	if err := failing.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}

	h.start("backup", "SSL_CERT_FILE="+ca.CAFile) // where Go looks for the system's
	seq = h.publish(events.BackupRequested, &pb.BackupRequested{Day: dayName(0)})
	awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
}

func TestUnreadableCertificatesStopAServiceAtOnce(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string][]string{
		"backup":  {"NIGHTSHARD_PRODUCTION_CA=/no/where", "NIGHTSHARD_PRODUCTION_URL=https://127.0.0.1:1"},
		"restore": {"NIGHTSHARD_INTERMEDIARY_CERT=/no/where", "NIGHTSHARD_INTERMEDIARY_URL=https://127.0.0.1:1"},
		"dumper":  {"NIGHTSHARD_INTERMEDIARY_KEY=/no/where", "NIGHTSHARD_MEASUREMENTS=cpu", "NIGHTSHARD_INTERMEDIARY_URL=https://127.0.0.1:1"},
	} {
		cmd := exec.CommandContext(t.Context(), testbed.Command(t, "./services/"+name))
		cmd.Env = append([]string{"NIGHTSHARD_DATABASE=" + database, "NIGHTSHARD_LISTEN=127.0.0.1:0"}, settings...)
		out, err := cmd.CombinedOutput()
		setting, _, _ := strings.Cut(settings[0], "=")
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != service.ExitMisuse || !strings.Contains(string(out), setting) {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
