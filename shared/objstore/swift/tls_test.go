package swift_test

import (
	"crypto/tls"
	"maps"
	"strings"
	"testing"
	"time"

	"nightshard/shared/testbed"
	"nightshard/shared/trust"
)

// secured is an account behind TLS.
type secured struct {
	authority, stranger *testbed.Authority
	account             *testbed.SwiftAccount
	client, strange     testbed.Cert
}

func newSecured(t *testing.T) *secured {
	t.Helper()
	s := &secured{authority: testbed.NewAuthority(t, "our authority"), stranger: testbed.NewAuthority(t, "a stranger"), account: testbed.SwiftHTTPS(t)}
	s.client = s.authority.Issue(t, testbed.CertOptions{Client: true})
	s.strange = s.stranger.Issue(t, testbed.CertOptions{Client: true})
	return s
}

// env is the login behind a proxy of its own, with certificate settings.
func (s *secured) env(t *testing.T, change func(*testbed.TLSProxyOptions), files map[string]string) map[string]string {
	t.Helper()
	opts := testbed.TLSProxyOptions{Cert: s.authority.Issue(t, testbed.CertOptions{})}
	if change != nil {
		change(&opts)
	}
	env := s.account.Behind(testbed.NewTLSProxy(t, s.account.Addr, opts).Addr).Env
	maps.Copy(env, files)
	return env
}

func (s *secured) wanting(o *testbed.TLSProxyOptions) { o.ClientCA = s.authority.CAFile }

func TestSwiftWorksBehindTLS(t *testing.T) {
	t.Parallel()
	s := newSecured(t)
	ours := map[string]string{"OS_CACERT": s.authority.CAFile}
	shown := map[string]string{"OS_CACERT": s.authority.CAFile, "OS_CERT": s.client.CertFile, "OS_KEY": s.client.KeyFile}
	for name, env := range map[string]map[string]string{
		"authority":           s.env(t, nil, ours),
		"certificate":         s.env(t, s.wanting, shown),
		"certificate, polite": s.env(t, func(o *testbed.TLSProxyOptions) { s.wanting(o); o.Polite = true }, shown),
		"certificate, 1.2":    s.env(t, func(o *testbed.TLSProxyOptions) { s.wanting(o); o.MaxVersion = tls.VersionTLS12 }, shown),
	} {
		store, err := openEnv(t, env)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := roundTrip(t, store); err != nil || !strings.HasPrefix(store.Endpoint(), "https://") {
			t.Errorf("%s: %s: %v", name, store.Endpoint(), err)
		}
	}
}

func TestWrongCertificatesOfSwiftNameTheSetting(t *testing.T) {
	t.Parallel()
	s := newSecured(t)
	ours := map[string]string{"OS_CACERT": s.authority.CAFile}
	plain := maps.Clone(s.account.Env)
	plain["ST_AUTH"] = strings.Replace(plain["ST_AUTH"], "http", "https", 1)
	secret := s.env(t, nil, nil)
	secret["ST_AUTH"] = strings.Replace(secret["ST_AUTH"], "https", "http", 1)
	for name, c := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"no authority":      {s.env(t, nil, nil), []string{"unknown authority", "set OS_CACERT"}},
		"another authority": {s.env(t, nil, map[string]string{"OS_CACERT": s.stranger.CAFile}), []string{"unknown authority", "OS_CACERT", s.stranger.CAFile}},
		"another host": {
			s.env(t, func(o *testbed.TLSProxyOptions) {
				o.Cert = s.authority.Issue(t, testbed.CertOptions{Hosts: []string{"swift.example"}})
			}, ours), []string{"ST_AUTH", "127.0.0.1"},
		},
		"ended": {
			s.env(t, func(o *testbed.TLSProxyOptions) {
				o.Cert = s.authority.Issue(t, testbed.CertOptions{NotAfter: time.Now().Add(-time.Hour)})
			}, ours), []string{"expired", "renewed"},
		},
		"no certificate":      {s.env(t, s.wanting, ours), []string{"set OS_CERT and OS_KEY"}},
		"none, polite":        {s.env(t, func(o *testbed.TLSProxyOptions) { s.wanting(o); o.Polite = true }, ours), []string{"set OS_CERT and OS_KEY"}},
		"strange certificate": {s.env(t, s.wanting, map[string]string{"OS_CACERT": s.authority.CAFile, "OS_CERT": s.strange.CertFile, "OS_KEY": s.strange.KeyFile}), []string{"OS_CERT", "refuses"}},
		"https to http":       {plain, []string{"does not speak TLS", "ST_AUTH"}},
	} {
		_, err := openEnv(t, c.env)
		if !trust.Is(err) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %q does not say %q in one line", name, err, want)
			}
		}
	}
	// A TLS server that does not speak HTTP to who speaks no TLS just ends.
	if _, err := openEnv(t, secret); err == nil {
		t.Error("http to https: no error")
	}
}

// keystoneTLS has Keystone and Swift behind TLS, with an authority of their own.
func keystoneTLS(t *testing.T, k *testbed.KeystoneServer) {
	authority := testbed.NewAuthority(t, "our authority")
	client := authority.Issue(t, testbed.CertOptions{Client: true})
	front := func(target string, hosts ...string) string {
		return testbed.NewTLSProxy(t, target, testbed.TLSProxyOptions{
			Cert: authority.Issue(t, testbed.CertOptions{Hosts: hosts}), ClientCA: authority.CAFile,
		}).URL
	}
	k.AddEndpoint(t, "secured", "public", front(k.Swift))
	k.AddEndpoint(t, "misnamed", "public", front(k.Swift, "swift.example"))
	settings := map[string]string{
		"OS_AUTH_URL": front(k.Addr) + "/v3", "OS_REGION_NAME": "secured",
		"OS_CACERT": authority.CAFile, "OS_CERT": client.CertFile, "OS_KEY": client.KeyFile,
	}
	u := k.NewUser(t, "member")
	store, err := openEnv(t, u.With(settings))
	if err != nil {
		t.Fatal(err)
	}
	if err := roundTrip(t, store); err != nil || !strings.HasPrefix(store.Endpoint(), "https://") {
		t.Errorf("%s: %v", store.Endpoint(), err)
	}
	settings["OS_REGION_NAME"] = "misnamed"
	store, err = openEnv(t, u.With(settings))
	if err != nil {
		t.Fatal(err)
	}
	if err := roundTrip(t, store); !trust.Is(err) || !strings.Contains(err.Error(), "catalog") {
		t.Errorf("%v", err)
	}
}
