package events

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

const (
	defaultAckWait = time.Minute
	// callTimeout bounds one request to the server.
	callTimeout   = 5 * time.Second
	reconnectWait = 500 * time.Millisecond
)

// Config says where NATS is and how the bus behaves. The names of the
// connection settings are those of the nats command: URL is NATS_URL, Creds is
// NATS_CREDS, and so on.
type Config struct {
	// URL of the server, or several separated by commas. Empty:
	// nats://127.0.0.1:4222.
	URL string
	// Creds is a file with a JWT and its seed.
	Creds string
	// User and Password, if the server asks for them.
	User, Password string
	// Token, if the server asks for one.
	Token string
	// NKey is a file with the seed of an nkey.
	NKey string
	// CA, Cert and Key are files in PEM for TLS. Cert needs Key.
	CA, Cert, Key string
	// InboxPrefix is the subject below which answers arrive, without Prefix.
	// Empty: that of the operators, see [InboxPrefix].
	InboxPrefix string
	// Name of the client in the server's lists. Empty: nightshard.
	Name string
	// Prefix is put before every subject and a dot: with site1 the bus
	// publishes site1.backup.requested. Tokens of [A-Za-z0-9_-] joined by dots.
	Prefix string
	// Database is the one that this process works for, empty for a tool. The
	// durables carry it, so that no other database's service takes their events.
	Database string
	// Replicas of the stream: 1, 3 or 5. 0: 1 for a new stream. An existing one
	// may get more, and never fewer.
	Replicas int
	// AckWait is how long an event stays with a replica that does not confirm
	// that it is at work. 0: one minute.
	AckWait time.Duration
	// Log takes the state of the connection and the outcome of each event.
	Log zerolog.Logger
}

func (c Config) withDefaults() Config {
	if c.URL == "" {
		c.URL = nats.DefaultURL
	}
	if c.Name == "" {
		c.Name = "nightshard"
	}
	if c.AckWait <= 0 {
		c.AckWait = defaultAckWait
	}
	if c.InboxPrefix == "" {
		c.InboxPrefix = InboxPrefix(Operators)
	}
	return c
}

// Problems are what is wrong with the settings, and with the files that they
// name, each with what to do. None holds a secret.
func (c Config) Problems() []string {
	return append(c.withDefaults().wordProblems(), c.fileProblems(time.Now())...)
}

// wordProblems are what is wrong with the settings by themselves.
func (c Config) wordProblems() []string {
	var wrong []string
	if c.Prefix != "" {
		for token := range strings.SplitSeq(c.Prefix, ".") {
			if !isSlug(token) {
				wrong = append(wrong, fmt.Sprintf("NIGHTSHARD_SUBJECT_PREFIX is %q, want tokens of A-Z a-z 0-9 _ - joined by dots", c.Prefix))
				break
			}
		}
	}
	if (c.Cert == "") != (c.Key == "") {
		wrong = append(wrong, only(c.Cert, "NATS_CERT", "NATS_KEY")+": a client certificate and its key are needed together, set both")
	}
	if c.Password != "" && c.User == "" {
		wrong = append(wrong, "NATS_PASSWORD is set without a user: set NATS_USER too")
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		wrong = append(wrong, fmt.Sprintf("NIGHTSHARD_STREAM_REPLICAS is %d, want 1, 3 or 5", c.Replicas))
	}
	if _, err := redact(c.URL); err != nil {
		wrong = append(wrong, err.Error())
	}
	return wrong
}

// only says which one of two settings is set. first is the value of the one.
func only(first, one, other string) string {
	if first == "" {
		one, other = other, one
	}
	return one + " is set without " + other
}

// check reports every setting that cannot work.
func (c Config) check() error {
	if problems := c.Problems(); len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n"))
	}
	return nil
}

// streamName is NIGHTSHARD, or NIGHTSHARD_PREFIX.
func (c Config) streamName() string {
	if c.Prefix == "" {
		return "NIGHTSHARD"
	}
	return "NIGHTSHARD_" + strings.Map(func(r rune) rune {
		if (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') {
			return r
		}
		return '_'
	}, strings.ToUpper(c.Prefix))
}

// redact returns the addresses of a URL list without user, password and token.
// Its error does not quote the URL, since that may hold them.
func redact(list string) (string, error) {
	var clean []string
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimSpace(one)
		if !strings.Contains(one, "://") {
			one = "nats://" + one
		}
		u, err := url.Parse(one)
		if err != nil || u.Host == "" {
			return "", errors.New("NATS_URL: the NATS URL cannot be read: use nats://HOST:PORT, with special characters of a password percent-encoded")
		}
		clean = append(clean, (&url.URL{Scheme: u.Scheme, Host: u.Host}).String())
	}
	return strings.Join(clean, ","), nil
}
