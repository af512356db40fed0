package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
)

// Names are what an operator calls the settings, for messages.
type Names struct {
	// URL is the setting of the server's address.
	URL string
	// CA, Cert and Key are those of the three files.
	CA, Cert, Key string
}

// Prefixed are names that begin alike, such as NIGHTSHARD_PRODUCTION_CA.
func Prefixed(prefix string) Names {
	return Names{URL: prefix + "_URL", CA: prefix + "_CA", Cert: prefix + "_CERT", Key: prefix + "_KEY"}
}

// Settings are a client's TLS settings. Its files are in PEM.
type Settings struct {
	Names Names
	// CA holds the authorities to trust in place of the system's.
	CA string
	// Cert and Key are the client's own certificate, with those between it and
	// its authority behind it, and its private key. Both or none are set.
	Cert, Key string
}

// Problems are what is wrong with the files, each naming the setting, the reason
// and what to do. address is the server's: an authority for a connection without
// TLS would be a setting that somebody believes in and nobody heeds.
func (s Settings) Problems(address string) []string {
	var problems []string
	if _, err := s.config(); err != nil {
		problems = strings.Split(err.Error(), "\n")
	}
	if set := s.anySet(); set != "" && strings.HasPrefix(address, "http://") {
		problems = append(problems, fmt.Sprintf("%s is set, but %s begins with http://: nothing is encrypted; write https://, or unset %s", set, s.Names.URL, set))
	}
	return problems
}

// anySet is the name of the first setting that has a value.
func (s Settings) anySet() string {
	switch {
	case s.CA != "":
		return s.Names.CA
	case s.Cert != "":
		return s.Names.Cert
	case s.Key != "":
		return s.Names.Key
	}
	return ""
}

// config is what crypto/tls needs. Its error has one problem in each line.
func (s Settings) config() (*tls.Config, error) {
	var problems []error
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CA != "" {
		pool, err := s.pool()
		c.RootCAs, problems = pool, append(problems, err)
	}
	if s.Cert+s.Key != "" {
		first, err := s.pair()
		c.GetClientCertificate, problems = s.renewed(first), append(problems, err)
	}
	return c, errors.Join(problems...)
}

func (s Settings) pool() (*x509.CertPool, error) {
	const want = "want a PEM file of the authorities to trust"
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, fmt.Errorf("%s is %q: %w; %s", s.Names.CA, s.CA, reason(err), want)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s is %q: no certificate is in it; %s", s.Names.CA, s.CA, want)
	}
	return pool, nil
}

// pair reads the client's certificate and key.
func (s Settings) pair() (*tls.Certificate, error) {
	if s.Cert == "" {
		return nil, fmt.Errorf("%s is set without %s: set that to the PEM file of the certificate", s.Names.Key, s.Names.Cert)
	}
	if s.Key == "" {
		return nil, fmt.Errorf("%s is set without %s: set that to the PEM file of its private key", s.Names.Cert, s.Names.Key)
	}
	cert, err := os.ReadFile(s.Cert)
	if err != nil {
		return nil, fmt.Errorf("%s is %q: %w; want a PEM file of the client certificate", s.Names.Cert, s.Cert, reason(err))
	}
	key, err := os.ReadFile(s.Key)
	if err != nil {
		return nil, fmt.Errorf("%s is %q: %w; want a PEM file of the private key", s.Names.Key, s.Key, reason(err))
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s %q with %s %q: %w; want a certificate and its own private key, in PEM and without a password",
			s.Names.Cert, s.Cert, s.Names.Key, s.Key, err)
	}
	if end := pair.Leaf.NotAfter; time.Now().After(end) {
		return nil, fmt.Errorf("%s is %q: the certificate has ended on %s; have it renewed", s.Names.Cert, s.Cert, end.Format(time.DateOnly))
	}
	return &pair, nil
}

// renewed reads the files anew for each connection, since such certificates are
// often renewed every few days. While they do not fit together, as in the middle
// of a renewal, the last good ones serve.
func (s Settings) renewed(last *tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	var mu sync.Mutex
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		if pair, err := s.pair(); err == nil {
			last = pair
		}
		return last, nil
	}
}

// reason leaves out the file, which the message names already.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
