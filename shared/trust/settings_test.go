package trust_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nightshard/shared/testbed"
	"nightshard/shared/trust"
)

func names() trust.Names { return trust.Prefixed("SITE") }

// file writes a file and gives its path.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGoodFilesAndNoFilesAreNoProblem(t *testing.T) {
	t.Parallel()
	cert := testbed.NewAuthority(t, "ca").Issue(t, testbed.CertOptions{Client: true})
	for _, s := range []trust.Settings{{}, {CA: cert.CAFile}, {CA: cert.CAFile, Cert: cert.CertFile, Key: cert.KeyFile}} {
		s.Names = names()
		if problems := s.Problems("https://db:8086"); len(problems) > 0 {
			t.Errorf("%+v: %q", s, problems)
		}
	}
	if problems := (trust.Settings{Names: names()}).Problems("http://db:8086"); len(problems) > 0 {
		t.Errorf("without TLS: %q", problems)
	}
}

func TestEachWrongFileIsNamedWithWhatToDo(t *testing.T) {
	t.Parallel()
	authority := testbed.NewAuthority(t, "ca")
	cert, other := authority.Issue(t, testbed.CertOptions{Client: true}), authority.Issue(t, testbed.CertOptions{Client: true})
	ended := authority.Issue(t, testbed.CertOptions{Client: true, NotAfter: time.Date(2020, 2, 3, 0, 0, 0, 0, time.UTC)})
	locked := file(t, string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("hush")})))
	for name, c := range map[string]struct {
		s    trust.Settings
		want []string
	}{
		"no CA":         {trust.Settings{CA: "/no/where"}, []string{"SITE_CA", `"/no/where"`, "no such file", "want a PEM file"}},
		"CA is text":    {trust.Settings{CA: file(t, "hello")}, []string{"SITE_CA", "no certificate is in it"}},
		"CA is a key":   {trust.Settings{CA: cert.KeyFile}, []string{"SITE_CA", "no certificate is in it"}},
		"folder":        {trust.Settings{CA: t.TempDir()}, []string{"SITE_CA", "is a directory"}},
		"no key":        {trust.Settings{Cert: cert.CertFile}, []string{"SITE_CERT is set without SITE_KEY"}},
		"no cert":       {trust.Settings{Key: cert.KeyFile}, []string{"SITE_KEY is set without SITE_CERT"}},
		"cert is away":  {trust.Settings{Cert: "/no/where", Key: cert.KeyFile}, []string{"SITE_CERT", "no such file"}},
		"key is away":   {trust.Settings{Cert: cert.CertFile, Key: "/no/where"}, []string{"SITE_KEY", "no such file"}},
		"another's key": {trust.Settings{Cert: cert.CertFile, Key: other.KeyFile}, []string{"SITE_CERT", "SITE_KEY", "does not match"}},
		"exchanged":     {trust.Settings{Cert: cert.KeyFile, Key: cert.CertFile}, []string{"SITE_CERT", "SITE_KEY"}},
		"locked key":    {trust.Settings{Cert: cert.CertFile, Key: locked}, []string{"SITE_KEY", "without a password"}},
		"ended":         {trust.Settings{Cert: ended.CertFile, Key: ended.KeyFile}, []string{"SITE_CERT", "2020-02-03", "renewed"}},
	} {
		c.s.Names = names()
		problems := c.s.Problems("https://db:8086")
		if len(problems) != 1 {
			t.Errorf("%s: %q", name, problems)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(problems[0], want) {
				t.Errorf("%s: %q does not say %q", name, problems[0], want)
			}
		}
	}
}

func TestAllProblemsAreListed(t *testing.T) {
	t.Parallel()
	s := trust.Settings{Names: names(), CA: "/no/where", Cert: "/nor/there"}
	if problems := s.Problems("http://db:8086"); len(problems) != 3 || !strings.Contains(problems[2], "SITE_URL begins with http://") {
		t.Errorf("%q", problems)
	}
}

// Without TLS a certificate protects nothing, and the operator thinks it does.
func TestCertificatesWithoutTLSAreAProblem(t *testing.T) {
	t.Parallel()
	cert := testbed.NewAuthority(t, "ca").Issue(t, testbed.CertOptions{Client: true})
	for want, s := range map[string]trust.Settings{
		"SITE_CA is set":   {CA: cert.CAFile, Cert: cert.CertFile, Key: cert.KeyFile},
		"SITE_CERT is set": {Cert: cert.CertFile, Key: cert.KeyFile},
	} {
		s.Names = names()
		if problems := s.Problems("http://db:8086"); len(problems) != 1 || !strings.Contains(problems[0], want) || !strings.Contains(problems[0], "https://") {
			t.Errorf("%s: %q", want, problems)
		}
	}
}

// Client certificates that live for days are renewed under a running service.
func TestARenewedClientCertificateIsShownWithoutARestart(t *testing.T) {
	t.Parallel()
	old, new := testbed.NewAuthority(t, "old"), testbed.NewAuthority(t, "new")
	first, second := old.Issue(t, testbed.CertOptions{Client: true}), new.Issue(t, testbed.CertOptions{Client: true})
	hello := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer hello.Close()
	front := func(clients *testbed.Authority) string {
		return testbed.NewTLSProxy(t, strings.TrimPrefix(hello.URL, "http://"), testbed.TLSProxyOptions{
			Cert: old.Issue(t, testbed.CertOptions{}), ClientCA: clients.CAFile,
		}).URL
	}
	toOld, toNew := front(old), front(new)
	transport, err := trust.Settings{Names: names(), CA: old.CAFile, Cert: first.CertFile, Key: first.KeyFile}.Transport(&http.Transport{DisableKeepAlives: true})
	if err != nil {
		t.Fatal(err)
	}
	get := func(url string) error {
		resp, err := (&http.Client{Transport: transport}).Get(url)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	if err := get(toOld); err != nil {
		t.Fatal(err)
	}
	replace(t, second.CertFile, first.CertFile)
	if err := get(toOld); err != nil {
		t.Errorf("in the middle of a renewal: %v", err)
	}
	replace(t, second.KeyFile, first.KeyFile)
	if err := get(toNew); err != nil {
		t.Errorf("after the renewal: %v", err)
	}
}

func replace(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
