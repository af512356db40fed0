package testbed

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority issues certificates, as a company's own does.
type Authority struct {
	// CAFile is its own certificate, in PEM: what a client has to trust.
	CAFile string

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Cert is a certificate in files, all in PEM.
type Cert struct {
	CertFile, KeyFile string
	// CAFile is the certificate of the authority that issued it.
	CAFile string
}

// CertOptions choose what a certificate is for. The zero value is one for
// 127.0.0.1 and localhost that holds for a day.
type CertOptions struct {
	// Hosts are the names and addresses of a server.
	Hosts []string
	// NotAfter is when it ends, tomorrow when zero.
	NotAfter time.Time
	// Client makes it one of a client in place of a server.
	Client bool
}

// NewAuthority makes an authority of its own for this test.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	a := &Authority{CAFile: filepath.Join(t.TempDir(), "ca.pem")}
	template := certTemplate(t, name)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	a.cert, a.key = template, newKey(t)
	a.cert = sign(t, a, template, a.key, a.CAFile)
	return a
}

// Issue makes a certificate and its key.
func (a *Authority) Issue(t testing.TB, opts CertOptions) Cert {
	t.Helper()
	dir := t.TempDir()
	c := Cert{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), CAFile: a.CAFile}
	template := certTemplate(t, "nightshard test")
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if opts.Client {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	if !opts.NotAfter.IsZero() {
		template.NotAfter = opts.NotAfter
	}
	if len(opts.Hosts) == 0 {
		opts.Hosts = []string{"127.0.0.1", "localhost"}
	}
	for _, host := range opts.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	key := newKey(t)
	sign(t, a, template, key, c.CertFile)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatalf("encode key: %v", err)
	}
	writePEM(t, c.KeyFile, "PRIVATE KEY", der)
	return c
}

func certTemplate(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatalf("choose serial number: %v", err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make key: %v", err)
	}
	return key
}

// sign has the authority sign a certificate for key, and writes it to file.
func sign(t testing.TB, by *Authority, template *x509.Certificate, key *ecdsa.PrivateKey, file string) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatalf("sign certificate: %v", err)
	}
	writePEM(t, file, "CERTIFICATE", der)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("read certificate: %v", err)
	}
	return cert
}

func writePEM(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatalf("write %s: %v", file, err)
	}
}

// serverTLS is the configuration of a server with this certificate. clientCA,
// where it is not empty, makes it want certificates of clients.
func (c Cert) serverTLS(t testing.TB, clientCA string) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		t.Fatalf("read certificate: %v", err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{pair}}
	if clientCA != "" {
		conf.ClientAuth, conf.ClientCAs = tls.RequireAndVerifyClientCert, certPool(t, clientCA)
	}
	return conf
}

func certPool(t testing.TB, file string) *x509.CertPool {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("read authority: %v", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		t.Fatalf("read authority: no certificate in %s", file)
	}
	return pool
}

// client trusts the certificate's authority only. It keeps no connection, so
// that none outlives the test.
func (c Cert) client(t testing.TB) *http.Client {
	t.Helper()
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: certPool(t, c.CAFile)},
	}}
}

// influxConfig are the lines of influxd's section [http]; none without a
// certificate.
func (c *Cert) influxConfig() string {
	if c == nil {
		return ""
	}
	return fmt.Sprintf("  https-enabled = true\n  https-certificate = %q\n  https-private-key = %q\n", c.CertFile, c.KeyFile)
}
