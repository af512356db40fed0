package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
)

// Error says that client and server do not trust each other, or do not speak
// the same protocol. Another try changes nothing: its text says what does.
type Error struct {
	advice string
	err    error
}

// Error gives the reason and what to do.
func (e *Error) Error() string {
	if e.err == nil {
		return e.advice
	}
	return e.err.Error() + ": " + e.advice
}

// Unwrap gives the reason.
func (e *Error) Unwrap() error { return e.err }

// Is says whether an *Error is what went wrong.
func Is(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}

// explain says what to do about a failed handshake. Every other error stays as
// it is.
func (s Settings) explain(err error) error {
	if advice := s.advice(err); advice != "" {
		return &Error{advice: advice, err: err}
	}
	return err
}

func (s Settings) advice(err error) string {
	if v, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return s.unverified(v)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Sprintf("what listens there does not speak TLS: correct the port in %s, or write http:// if the server has no TLS", s.Names.URL)
	}
	// How crypto/tls marks what the other side said.
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return s.alert(op.Err.Error())
	}
	return ""
}

// unverified is about the server's certificate.
func (s Settings) unverified(v *tls.CertificateVerificationError) string {
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(v, &host):
		return fmt.Sprintf("write the server's name in %s as its certificate has it, or have the certificate issued for %s", s.Names.URL, host.Host)
	case errors.As(v, &invalid) && invalid.Reason == x509.Expired:
		return "have the server's certificate renewed, or set this machine's clock" + shown(v)
	case errors.As(v, &unknown) && s.CA == "":
		return fmt.Sprintf("set %s to a PEM file of the authority that issued the server's certificate%s", s.Names.CA, shown(v))
	case errors.As(v, &unknown):
		return fmt.Sprintf("%s %q does not hold the authority that issued the server's certificate%s: add it", s.Names.CA, s.CA, shown(v))
	}
	return "have a proper certificate issued for the server" + shown(v)
}

// shown is whose certificate the server has shown, and who issued it.
func shown(v *tls.CertificateVerificationError) string {
	if len(v.UnverifiedCertificates) == 0 {
		return ""
	}
	c := v.UnverifiedCertificates[0]
	return fmt.Sprintf(" (it is that of %q, by %q)", c.Subject.String(), c.Issuer.String())
}

// alert is about what the server said of us.
func (s Settings) alert(text string) string {
	has := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case has("certificate"), has("access denied"):
		return s.refused()
	case has("protocol version"), has("insufficient security"):
		return "the server and this client have no version of TLS in common: it needs 1.2 or newer"
	case has("unrecognized name"):
		return fmt.Sprintf("the server knows no such host: correct %s", s.Names.URL)
	case has("handshake failure"):
		return s.refused() + "; or it has no version or cipher of TLS 1.2 or newer"
	}
	return ""
}

// refused is what to do when the server does not take our certificate, or misses
// it.
func (s Settings) refused() string {
	if s.Cert == "" {
		return fmt.Sprintf("the server wants a client certificate: set %s and %s", s.Names.Cert, s.Names.Key)
	}
	return fmt.Sprintf("the server refuses the client certificate of %s %q: have one issued by an authority that it trusts", s.Names.Cert, s.Cert)
}
