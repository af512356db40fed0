package events

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// fileProblems are what is wrong with the files that the settings name. A wrong
// one shows before NATS is asked, and not as a server that refuses.
func (c Config) fileProblems(now time.Time) []string {
	var problems []string
	wrong := func(setting, file string, err error, want string) {
		problems = append(problems, fmt.Sprintf("%s is %q: %v; want %s", setting, file, err, want))
	}
	if c.CA != "" {
		if err := checkCA(c.CA); err != nil {
			wrong("NATS_CA", c.CA, err, "the certificates of the authority that signed those of the NATS servers, in PEM")
		}
	}
	if c.Cert != "" && c.Key != "" {
		if setting, file, err := checkPair(c.Cert, c.Key, now); err != nil {
			wrong(setting, file, err, "a client certificate and its key, in PEM, in NATS_CERT and NATS_KEY")
		}
	}
	if c.Creds != "" {
		if err := checkCreds(c.Creds); err != nil {
			wrong("NATS_CREDS", c.Creds, err, "a credentials file as nsc writes it, with the user's JWT and seed")
		}
	}
	if c.NKey != "" {
		if _, err := nats.NkeyOptionFromSeed(c.NKey); err != nil {
			wrong("NATS_NKEY", c.NKey, plainly(err), "a file with a user's seed, which begins with SU")
		}
	}
	return problems
}

func checkCA(file string) error {
	data, err := os.ReadFile(file) //nolint:gosec // the operator's own setting
	if err != nil {
		return plainly(err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		return errors.New("it holds no certificate")
	}
	return nil
}

// checkPair names the setting that is wrong, and its file.
func checkPair(certFile, keyFile string, now time.Time) (setting, file string, err error) {
	cert, err := os.ReadFile(certFile) //nolint:gosec // the operator's own setting
	if err != nil {
		return "NATS_CERT", certFile, plainly(err)
	}
	key, err := os.ReadFile(keyFile) //nolint:gosec // the operator's own setting
	if err != nil {
		return "NATS_KEY", keyFile, plainly(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		if bytes.Contains(cert, []byte("-----BEGIN CERTIFICATE-----")) {
			return "NATS_KEY", keyFile, err //nolint:wrapcheck // fileProblems names the file
		}
		return "NATS_CERT", certFile, err //nolint:wrapcheck // fileProblems names the file
	}
	switch leaf := pair.Leaf; {
	case now.After(leaf.NotAfter):
		return "NATS_CERT", certFile, fmt.Errorf("it expired on %s", day(leaf.NotAfter))
	case now.Before(leaf.NotBefore):
		return "NATS_CERT", certFile, fmt.Errorf("it is not valid before %s", day(leaf.NotBefore))
	}
	return "", "", nil
}

func checkCreds(file string) error {
	data, err := os.ReadFile(file) //nolint:gosec // the operator's own setting
	if err != nil {
		return plainly(err)
	}
	if !bytes.Contains(data, []byte("BEGIN NATS USER JWT")) {
		return errors.New("it holds no JWT")
	}
	if _, err := nkeys.ParseDecoratedUserNKey(data); err != nil {
		return err //nolint:wrapcheck // fileProblems names the file
	}
	return nil
}

// plainly leaves out the file's name, which stands in front already.
func plainly(err error) error {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return path.Err
	}
	return errors.New(strings.TrimPrefix(err.Error(), "nats: "))
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
