package influx_test

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"nightshard/shared/influx"
	"nightshard/shared/testbed"
	"nightshard/shared/trust"
)

// tlsWorld is one InfluxDB that speaks TLS, one that does not, and what stands
// before that one.
type tlsWorld struct {
	authority, stranger *testbed.Authority
	secure, plain       *testbed.InfluxServer
	client, strange     testbed.Cert
}

func newTLSWorld(t *testing.T) *tlsWorld {
	t.Helper()
	w := &tlsWorld{authority: testbed.NewAuthority(t, "our authority"), stranger: testbed.NewAuthority(t, "a stranger")}
	cert := w.authority.Issue(t, testbed.CertOptions{})
	w.client = w.authority.Issue(t, testbed.CertOptions{Client: true})
	w.strange = w.stranger.Issue(t, testbed.CertOptions{Client: true})
	w.secure = testbed.Influx(t, testbed.InfluxOptions{HTTPS: &cert, Auth: true})
	w.plain = testbed.Influx(t, testbed.InfluxOptions{})
	return w
}

// proxy ends TLS before the plain server.
func (w *tlsWorld) proxy(t *testing.T, change func(*testbed.TLSProxyOptions)) string {
	t.Helper()
	opts := testbed.TLSProxyOptions{Cert: w.authority.Issue(t, testbed.CertOptions{})}
	change(&opts)
	return testbed.NewTLSProxy(t, strings.TrimPrefix(w.plain.URL, "http://"), opts).URL
}

// wanting is such a proxy that wants certificates of clients.
func (w *tlsWorld) wanting(t *testing.T, change func(*testbed.TLSProxyOptions)) string {
	t.Helper()
	return w.proxy(t, func(o *testbed.TLSProxyOptions) {
		o.ClientCA = w.authority.CAFile
		change(o)
	})
}

func asIs(*testbed.TLSProxyOptions) {}

// settings are those of a client that trusts ca and shows cert.
func (w *tlsWorld) settings(ca *testbed.Authority, cert testbed.Cert) trust.Settings {
	s := trust.Settings{Names: trust.Prefixed("NIGHTSHARD_PRODUCTION"), Cert: cert.CertFile, Key: cert.KeyFile}
	if ca != nil {
		s.CA = ca.CAFile
	}
	return s
}

func TestHTTPSWorksWithAndWithoutClientCertificates(t *testing.T) {
	t.Parallel()
	w := newTLSWorld(t)
	for name, c := range map[string]struct {
		server *testbed.InfluxServer
		url    string
		cert   testbed.Cert
	}{
		"InfluxDB's own":         {w.secure, w.secure.URL, testbed.Cert{}},
		"InfluxDB's own by name": {w.secure, strings.Replace(w.secure.URL, "127.0.0.1", "localhost", 1), testbed.Cert{}},
		"proxy":                  {w.plain, w.proxy(t, asIs), testbed.Cert{}},
		"proxy, certificate":     {w.plain, w.wanting(t, asIs), w.client},
		"proxy, TLS 1.2":         {w.plain, w.wanting(t, func(o *testbed.TLSProxyOptions) { o.MaxVersion = tls.VersionTLS12 }), w.client},
		"proxy like nginx":       {w.plain, w.wanting(t, func(o *testbed.TLSProxyOptions) { o.Polite = true }), w.client},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asking := client(t, influx.ClientConfig{
				URL: c.url, User: c.server.User, Password: c.server.Password, TLS: w.settings(w.authority, c.cert), ChunkSize: 10,
			})
			if err := asking.Exec(t.Context(), "", `CREATE DATABASE "`+name+`"`); err != nil {
				t.Fatal(err)
			}
			if err := asking.WritePoints(t.Context(), name, "", []byte("m v=1\nm v=2 1\nm v=3 2\n")); err != nil {
				t.Fatal(err)
			}
			rows := 0
			err := asking.Stream(t.Context(), name, "SELECT * FROM m", func([]string, [][]byte) error { rows++; return nil })
			if err != nil || rows != 3 {
				t.Errorf("%d rows, %v", rows, err)
			}
			if version, _, err := asking.Ping(t.Context()); err != nil || version == "" {
				t.Errorf("ping: %q, %v", version, err)
			}
		})
	}
}

// Each of these is an operator's mistake, or a certificate that ended: one error
// names the setting, and it is marked as one that no other try changes.
func TestWrongCertificatesNameTheSetting(t *testing.T) {
	t.Parallel()
	w := newTLSWorld(t)
	none := testbed.Cert{}
	old := func(o *testbed.TLSProxyOptions) {
		o.Cert = w.authority.Issue(t, testbed.CertOptions{NotAfter: time.Now().Add(-time.Hour)})
	}
	named := func(o *testbed.TLSProxyOptions) {
		o.Cert = w.authority.Issue(t, testbed.CertOptions{Hosts: []string{"influx.example"}})
	}
	tls12 := func(o *testbed.TLSProxyOptions) { o.MaxVersion = tls.VersionTLS12 }
	for name, c := range map[string]struct {
		url  string
		tls  trust.Settings
		want []string
	}{
		"no authority":          {w.secure.URL, w.settings(nil, none), []string{"unknown authority", "set NIGHTSHARD_PRODUCTION_CA", "our authority"}},
		"another authority":     {w.secure.URL, w.settings(w.stranger, none), []string{"unknown authority", "NIGHTSHARD_PRODUCTION_CA", w.stranger.CAFile, "our authority"}},
		"another host":          {w.proxy(t, named), w.settings(w.authority, none), []string{"127.0.0.1", "NIGHTSHARD_PRODUCTION_URL"}},
		"certificate has ended": {w.proxy(t, old), w.settings(w.authority, none), []string{"expired", "renewed"}},
		"http to https":         {strings.Replace(w.secure.URL, "https", "http", 1), w.settings(nil, none), []string{"write https:// in NIGHTSHARD_PRODUCTION_URL"}},
		"https to http":         {strings.Replace(w.plain.URL, "http", "https", 1), w.settings(w.authority, none), []string{"does not speak TLS", "NIGHTSHARD_PRODUCTION_URL"}},
		"no certificate":        {w.wanting(t, asIs), w.settings(w.authority, none), []string{"set NIGHTSHARD_PRODUCTION_CERT and NIGHTSHARD_PRODUCTION_KEY"}},
		"none, TLS 1.2":         {w.wanting(t, tls12), w.settings(w.authority, none), []string{"set NIGHTSHARD_PRODUCTION_CERT"}},
		"none, like nginx":      {w.wanting(t, func(o *testbed.TLSProxyOptions) { o.Polite = true }), w.settings(w.authority, none), []string{"set NIGHTSHARD_PRODUCTION_CERT"}},
		"strange certificate":   {w.wanting(t, asIs), w.settings(w.authority, w.strange), []string{"refuses", "NIGHTSHARD_PRODUCTION_CERT", w.strange.CertFile}},
		"strange, TLS 1.2":      {w.wanting(t, tls12), w.settings(w.authority, w.strange), []string{"refuses", "NIGHTSHARD_PRODUCTION_CERT"}},
		"a server's, not a client's": {
			w.wanting(t, asIs), w.settings(w.authority, w.authority.Issue(t, testbed.CertOptions{})), []string{"refuses", "NIGHTSHARD_PRODUCTION_CERT"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asking := client(t, influx.ClientConfig{URL: c.url, User: "admin", Password: "hush hush", TLS: c.tls})
			for what, call := range map[string]func() error{
				"query":  func() error { _, err := asking.Databases(t.Context()); return err },
				"stream": func() error { return asking.Stream(t.Context(), "d", "SELECT * FROM m", nil) },
				"ping":   func() error { _, _, err := asking.Ping(t.Context()); return err },
				"write":  func() error { return asking.WritePoints(t.Context(), "d", "", []byte("m v=1")) },
			} {
				err := call()
				if !trust.Is(err) {
					t.Errorf("%s: %v is not about trust", what, err)
					continue
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "\n") {
						t.Errorf("%s: %q does not say %q in one line", what, err, want)
					}
				}
			}
		})
	}
}

// A server that is away, or breaks off in the handshake, may be back.
func TestABrokenHandshakeIsNoMatterOfTrust(t *testing.T) {
	t.Parallel()
	w := newTLSWorld(t)
	cut := testbed.TCPProxy(t, strings.TrimPrefix(w.secure.URL, "https://"))
	cut.OnConn(func(int) []testbed.Fault {
		return []testbed.Fault{{Direction: testbed.FromServer, After: 20, Action: testbed.Reset}}
	})
	for _, url := range []string{"https://" + cut.Addr, "https://" + net.JoinHostPort("127.0.0.1", "1")} {
		c := client(t, influx.ClientConfig{URL: url, TLS: w.settings(w.authority, testbed.Cert{})})
		_, err := c.Databases(t.Context())
		if trust.Is(err) || err == nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestUnreadableCertificatesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := influx.NewClient(influx.ClientConfig{URL: "https://db:8086", TLS: trust.Settings{
		Names: trust.Prefixed("NIGHTSHARD_PRODUCTION"), CA: "/does/not/exist", Cert: "/nor/does/this",
	}})
	if err == nil || !strings.Contains(err.Error(), "NIGHTSHARD_PRODUCTION_CA") || !strings.Contains(err.Error(), "NIGHTSHARD_PRODUCTION_KEY") {
		t.Errorf("%v", err)
	}
}
