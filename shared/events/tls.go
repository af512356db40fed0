package events

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go"
)

// errTLS says that client and server do not trust each other, which waiting does
// not mend.
var errTLS = errors.New("no trusted connection")

func (b *Bus) tlsOptions() []nats.Option {
	opts := []nats.Option{b.noteCertificateRequest}
	if b.cfg.CA != "" {
		opts = append(opts, nats.RootCAs(b.cfg.CA))
	}
	if b.cfg.Cert != "" {
		opts = append(opts, nats.Secure())
	}
	return opts
}

// noteCertificateRequest gives the client certificate, and remembers that the server asked for a client certificate.
// It refuses one after the client's side of the handshake is over, and often the
// client sees no more of that than a connection that ends.
func (b *Bus) noteCertificateRequest(o *nats.Options) error {
	o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	o.TLSConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		b.certAsked.Store(true)
		if b.cfg.Cert == "" {
			return &tls.Certificate{}, nil // none: the server says what it thinks of that
		}
		// Read anew each time, since certificates are renewed.
		pair, err := tls.LoadX509KeyPair(b.cfg.Cert, b.cfg.Key)
		if err != nil {
			return nil, fmt.Errorf("load NATS_CERT and NATS_KEY: %w", err)
		}
		return &pair, nil
	}
	return nil
}

// explainTLS puts a failed connection into the operator's words, if it failed for
// TLS. asked says that the server wanted a client certificate.
func (c Config) explainTLS(err error, asked bool) error {
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	switch {
	case errors.Is(err, nats.ErrSecureConnWanted):
		return fmt.Errorf("%w: %w: the server has no TLS, which NATS_CA, NATS_CERT or tls:// in NATS_URL ask for: "+
			"unset them, or give the server certificates", errTLS, err)
	case errors.As(err, &authority) && c.CA == "":
		return fmt.Errorf("%w: %w: this machine does not know who signed the server's certificate: "+
			"set NATS_CA to the certificate of that authority", errTLS, err)
	case errors.As(err, &authority):
		return fmt.Errorf("%w: %w: another authority than that of NATS_CA (%s) signed the server's certificate: "+
			"set NATS_CA to the certificate of the one that did", errTLS, err, c.CA)
	case errors.As(err, &host):
		return fmt.Errorf("%w: %w: use a name that the server's certificate has in NATS_URL, "+
			"or give the server a certificate with this name", errTLS, err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w: %w: the certificate %q of the server, or of NATS_CA, is valid from %s to %s: renew it, "+
			"or correct this machine's clock", errTLS, err, invalid.Cert.Subject, day(invalid.Cert.NotBefore), day(invalid.Cert.NotAfter))
	case asked && hungUp(err) && c.Cert == "":
		return fmt.Errorf("%w: %w: the server asks for a client certificate: set NATS_CERT and NATS_KEY", errTLS, err)
	case asked && hungUp(err):
		return fmt.Errorf("%w: %w: the server refuses the client certificate of NATS_CERT (%s): give one that the server's "+
			"own authority signed, for client authentication, with its key in NATS_KEY", errTLS, err, c.Cert)
	case errors.Is(err, nats.ErrTLS):
		return fmt.Errorf("%w: %w: check NATS_CA, NATS_CERT and NATS_KEY", errTLS, err)
	}
	return err
}

// hungUp reports whether the other side ended the connection or sent an alert.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		strings.Contains(err.Error(), "remote error: tls: ")
}
