package events_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	nightshardv1 "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its certificate in PEM
}

// identity is a certificate and its key.
type identity struct {
	cert, key string // files in PEM
	pair      tls.Certificate
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// template is a certificate of a name for a time that includes now.
func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func pemFile(t *testing.T, kind string, der []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func newAuthority(t *testing.T, change ...func(*x509.Certificate)) *authority {
	t.Helper()
	want := template("authority")
	want.IsCA, want.BasicConstraintsValid, want.KeyUsage = true, true, x509.KeyUsageCertSign
	for _, c := range change {
		c(want)
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, want, want, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: cert, key: key, file: pemFile(t, "CERTIFICATE", der)}
}

// sign makes a certificate for 127.0.0.1.
func (a *authority) sign(t *testing.T, name string, change ...func(*x509.Certificate)) identity {
	t.Helper()
	want := template(name)
	for _, c := range change {
		c(want)
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, want, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return identity{
		cert: pemFile(t, "CERTIFICATE", der), key: pemFile(t, "PRIVATE KEY", secret),
		pair: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
	}
}

func expired(c *x509.Certificate) {
	c.NotAfter = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	c.NotBefore = c.NotAfter.AddDate(-1, 0, 0)
}

func notYet(c *x509.Certificate) {
	c.NotBefore = time.Date(2124, 2, 28, 12, 0, 0, 0, time.UTC)
	c.NotAfter = c.NotBefore.AddDate(1, 0, 0)
}

// guarded starts a server that shows a certificate and asks clients for one of
// the authority.
func guarded(t *testing.T, shows identity, asks *authority, change ...func(*tls.Config)) *testbed.NATSServer {
	t.Helper()
	return startNATS(t, func(o *server.Options) {
		o.TLS, o.TLSConfig = true, &tls.Config{Certificates: []tls.Certificate{shows.pair}, MinVersion: tls.VersionTLS12}
		if asks != nil {
			o.TLSVerify = true
			o.TLSConfig.ClientAuth, o.TLSConfig.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
			o.TLSConfig.ClientCAs.AddCert(asks.cert)
		}
		for _, c := range change {
			c(o.TLSConfig)
		}
	})
}

func trusting(ca *authority, me identity) func(*events.Config) {
	return func(c *events.Config) { c.CA, c.Cert, c.Key = ca.file, me.cert, me.key }
}

func TestClientCertificateOpensAServerThatAsksForOne(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for name, limit := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		srv := guarded(t, ca.sign(t, "nats"), ca, func(c *tls.Config) { c.MaxVersion = limit })
		bus := connect(t, srv.URL, trusting(ca, ca.sign(t, "backup")))
		publish(t, bus, &nightshardv1.BackupRequested{}, "")
		if n := len(history(t, bus)); n != 1 {
			t.Errorf("TLS %s: %d events", name, n)
		}
	}
}

func TestServerIsCheckedWithoutAClientCertificateToo(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	srv := guarded(t, ca.sign(t, "nats"), nil)
	connect(t, srv.URL, func(c *events.Config) { c.CA = ca.file })
	connect(t, strings.Replace(srv.URL, "nats://", "tls://", 1), func(c *events.Config) { c.CA = ca.file })
}

// A mistake about certificates does not pass by waiting: it is one error at once,
// with the setting and what to do.
func TestMistakeAboutCertificatesIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	ca, other, old := newAuthority(t), newAuthority(t), newAuthority(t, expired)
	stranger := other.sign(t, "backup")
	for name, c := range map[string]struct {
		shows identity
		asks  *authority
		cfg   events.Config
		want  []string
	}{
		"no authority": {
			shows: ca.sign(t, "nats"), cfg: events.Config{}, want: []string{"set NATS_CA"},
		},
		"wrong authority": {
			shows: ca.sign(t, "nats"), cfg: events.Config{CA: other.file}, want: []string{"NATS_CA (" + other.file + ")", "set NATS_CA"},
		},
		"expired authority": {
			shows: old.sign(t, "nats"), cfg: events.Config{CA: old.file}, want: []string{"NATS_CA", "2024-02-29", "renew"},
		},
		"no client certificate": {
			shows: ca.sign(t, "nats"), asks: ca, cfg: events.Config{CA: ca.file}, want: []string{"set NATS_CERT and NATS_KEY"},
		},
		"client certificate of a stranger": {
			shows: ca.sign(t, "nats"), asks: ca, cfg: events.Config{CA: ca.file, Cert: stranger.cert, Key: stranger.key},
			want: []string{"NATS_CERT (" + stranger.cert + ")", "authority signed", "NATS_KEY"},
		},
		"client certificate for servers": {
			shows: ca.sign(t, "nats"), asks: ca, cfg: func() events.Config {
				id := ca.sign(t, "backup", func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] })
				return events.Config{CA: ca.file, Cert: id.cert, Key: id.key}
			}(), want: []string{"NATS_CERT", "client authentication"},
		},
		"another host": {
			shows: ca.sign(t, "nats", func(c *x509.Certificate) { c.IPAddresses = nil; c.DNSNames = []string{"nats.example"} }),
			cfg:   events.Config{CA: ca.file}, want: []string{"NATS_URL", "127.0.0.1"},
		},
		"expired": {
			shows: ca.sign(t, "nats-7", expired), cfg: events.Config{CA: ca.file}, want: []string{"nats-7", "2024-02-29", "renew"},
		},
		"not valid yet": {
			shows: ca.sign(t, "nats-8", notYet), cfg: events.Config{CA: ca.file}, want: []string{"nats-8", "2124-02-28", "clock"},
		},
	} {
		for version, limit := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
			t.Run(name+" "+version, func(t *testing.T) {
				t.Parallel()
				srv := guarded(t, c.shows, c.asks, func(conf *tls.Config) { conf.MaxVersion = limit })
				cfg := c.cfg
				cfg.URL = srv.URL
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err := events.Connect(ctx, cfg)
				if err == nil || errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("not refused at once: %v", err)
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("lacks %q: %v", want, err)
					}
				}
			})
		}
	}
}

func TestServerWithoutTLSIsToldFromOneThatIsNotTrusted(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	text := refusal(t, patience, events.Config{URL: startNATS(t).URL, CA: ca.file})
	if !strings.Contains(text, "the server has no TLS") || !strings.Contains(text, "NATS_CA") {
		t.Error(text)
	}
}

func TestOneTrustedServerOfSeveralIsEnough(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	bad, good := guarded(t, other.sign(t, "nats"), nil), guarded(t, ca.sign(t, "nats"), nil)
	for range 4 { // the client tries them in any order
		connect(t, bad.URL+","+good.URL, func(c *events.Config) { c.CA = ca.file })
	}
	text := refusal(t, patience, events.Config{URL: bad.URL + "," + guarded(t, other.sign(t, "nats"), nil).URL, CA: ca.file})
	if !strings.Contains(text, "set NATS_CA") || strings.Contains(text, "deadline") {
		t.Error(text)
	}
}

// Certificates are renewed while services run.
func TestRenewedCertificateIsShownAtTheNextConnection(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	names := make(chan string, 100)
	srv := guarded(t, ca.sign(t, "nats"), ca, func(c *tls.Config) {
		c.VerifyConnection = func(s tls.ConnectionState) error {
			names <- s.PeerCertificates[0].Subject.CommonName
			return nil
		}
	})
	first, second := ca.sign(t, "first"), ca.sign(t, "second")
	connect(t, srv.URL, trusting(ca, first))
	if got := receive(t, "connection", names); got != "first" {
		t.Errorf("client %s", got)
	}
	for from, to := range map[string]string{second.cert: first.cert, second.key: first.key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	srv.Restart()
	eventually(t, "the renewed certificate", func() bool { return receive(t, "connection", names) == "second" })
}

// The server's new certificate is not to be trusted: a service that runs already
// goes on trying, and says why.
func TestServerThatIsNotTrustedAnyMoreIsTold(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	good, bad := ca.sign(t, "nats"), other.sign(t, "nats")
	shown := make(chan identity, 1)
	shown <- good
	srv := startNATS(t, func(o *server.Options) {
		o.TLS, o.TLSConfig = true, &tls.Config{Certificates: []tls.Certificate{(<-shown).pair}, MinVersion: tls.VersionTLS12}
	})
	var out logs
	bus := connect(t, srv.URL, logTo(&out), func(c *events.Config) { c.CA = ca.file })
	srv.Shutdown()
	shown <- bad
	srv.Start()
	eventually(t, "the reason in the log", func() bool { return out.count("set NATS_CA") > 0 })
	srv.Shutdown()
	shown <- good
	srv.Start()
	eventually(t, "the connection", func() bool { return bus.Check(t.Context()) == nil })
	if n := out.count("set NATS_CA"); n != 1 {
		t.Errorf("told %d times: %s", n, out.String())
	}
}

func TestFilesThatCannotBeAreNamedWithTheirSetting(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	id, late := ca.sign(t, "backup"), ca.sign(t, "backup", expired)
	early, other := ca.sign(t, "backup", notYet), ca.sign(t, "other")
	rubbish := pemFile(t, "RUBBISH", []byte("s3cret"))
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := account.Seed()
	if err != nil {
		t.Fatal(err)
	}
	noUser := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(noUser, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg  events.Config
		want []string
	}{
		"CA":                {events.Config{CA: "/nowhere/ca.pem"}, []string{`NATS_CA is "/nowhere/ca.pem"`, "no such file"}},
		"CA rubbish":        {events.Config{CA: rubbish}, []string{"NATS_CA is", "no certificate", "authority"}},
		"cert":              {events.Config{Cert: "/nowhere/c", Key: id.key}, []string{`NATS_CERT is "/nowhere/c"`, "no such file"}},
		"cert rubbish":      {events.Config{Cert: rubbish, Key: id.key}, []string{"NATS_CERT is", rubbish}},
		"cert expired":      {events.Config{Cert: late.cert, Key: late.key}, []string{"NATS_CERT is", "expired on 2024-02-29"}},
		"cert early":        {events.Config{Cert: early.cert, Key: early.key}, []string{"NATS_CERT is", "not valid before 2124-02-28"}},
		"key":               {events.Config{Cert: id.cert, Key: "/nowhere/k"}, []string{`NATS_KEY is "/nowhere/k"`, "no such file"}},
		"key rubbish":       {events.Config{Cert: id.cert, Key: rubbish}, []string{"NATS_KEY is", rubbish}},
		"key of other":      {events.Config{Cert: id.cert, Key: other.key}, []string{"NATS_KEY is", "does not match"}},
		"cert alone":        {events.Config{Cert: id.cert}, []string{"NATS_CERT", "NATS_KEY"}},
		"creds":             {events.Config{Creds: "/nowhere/c"}, []string{`NATS_CREDS is "/nowhere/c"`, "no such file", "JWT"}},
		"creds rubbish":     {events.Config{Creds: rubbish}, []string{"NATS_CREDS is", "no JWT"}},
		"creds of a folder": {events.Config{Creds: t.TempDir()}, []string{"NATS_CREDS is", "directory"}},
		"nkey":              {events.Config{NKey: "/nowhere/n"}, []string{`NATS_NKEY is "/nowhere/n"`, "no such file"}},
		"nkey rubbish":      {events.Config{NKey: rubbish}, []string{"NATS_NKEY is", "SU"}},
		"nkey account":      {events.Config{NKey: noUser}, []string{"NATS_NKEY is", "SU"}},
		"all of them":       {events.Config{CA: "/nowhere/a", NKey: "/nowhere/b", Replicas: 9}, []string{"NATS_CA", "NATS_NKEY", "NIGHTSHARD_STREAM_REPLICAS"}},
	} {
		text := strings.Join(c.cfg.Problems(), "\n")
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: lacks %q: %s", name, want, text)
			}
		}
		if strings.Contains(text, "s3cret") || strings.Contains(text, string(seed)) {
			t.Errorf("%s: secret told: %s", name, text)
		}
		if got := refusal(t, patience, c.cfg); !strings.Contains(got, text) {
			t.Errorf("%s: connect says %s", name, got)
		}
	}
	fine := events.Config{CA: ca.file, Cert: id.cert, Key: id.key}
	if problems := fine.Problems(); len(problems) > 0 {
		t.Errorf("good files: %v", problems)
	}
}
