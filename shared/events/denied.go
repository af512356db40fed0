package events

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// ErrDenied says that NATS does not let this program's user do what was tried.
var ErrDenied = errors.New("denied by NATS")

// deniedError is one refusal, in the operator's words.
type deniedError struct {
	who, setting, verb, subject string
}

func (e *deniedError) Error() string {
	return fmt.Sprintf("%s may not %s %q: give it the permissions of deploy/nats/permissions.conf "+
		"(made for your prefix and measurements, see docs/security.md), or correct %s", e.who, e.verb, e.subject, e.setting)
}

func (e *deniedError) Is(target error) bool { return target == ErrDenied }

// who names the NATS user of these settings, and the setting that chooses it.
func (c Config) who() (user, setting string) {
	switch {
	case c.Creds != "":
		return "the NATS user of " + c.Creds, "NATS_CREDS"
	case c.NKey != "":
		return "the NATS user of " + c.NKey, "NATS_NKEY"
	case c.Token != "":
		return "the NATS user of the token", "NATS_TOKEN"
	case c.User != "":
		return fmt.Sprintf("the NATS user %q", c.User), "NATS_USER"
	}
	first, _, _ := strings.Cut(c.URL, ",")
	if u, err := url.Parse(first); err == nil && u.User != nil {
		// Without a password it is a token, and so a secret.
		if _, ok := u.User.Password(); ok {
			return fmt.Sprintf("the NATS user %q", u.User.Username()), "NATS_URL"
		}
		return "the NATS user of the token", "NATS_URL"
	}
	if c.Cert != "" {
		return "the NATS user of " + c.Cert, "NATS_CERT"
	}
	return "a NATS client without a user", "NATS_USER"
}

// denials brings the server's refusals to whoever waits for an answer. NATS
// itself only sends them along the connection, and the caller waits in vain.
type denials struct {
	mu      sync.Mutex
	waiting map[*waiter]struct{}
	// inbox is why no answer can arrive at all, nil if they can.
	inbox *deniedError
	// told holds the subjects of refusals that were logged.
	told map[string]bool
}

// waiter is one who waits for an answer to what was sent on a subject.
type waiter struct {
	subject string
	cancel  context.CancelCauseFunc
}

// heed ends the context with the refusal when the server denies what begins with
// one of the subjects.
func (b *Bus) heed(ctx context.Context, subjects ...string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	d := &b.denials
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inbox != nil {
		cancel(d.inbox)
	}
	mine := make([]*waiter, len(subjects))
	for i, subject := range subjects {
		mine[i] = &waiter{subject: subject, cancel: cancel}
		d.waiting[mine[i]] = struct{}{}
	}
	return ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, w := range mine {
			delete(d.waiting, w)
		}
		cancel(nil)
	}
}

// handOut gives a refusal to those who wait. It reports whether nobody did, and
// the same was not said before.
func (b *Bus) handOut(refusal *deniedError) (news bool) {
	d := &b.denials
	d.mu.Lock()
	defer d.mu.Unlock()
	inbox := strings.HasPrefix(refusal.subject, b.prefix+b.cfg.InboxPrefix+".")
	if inbox && d.inbox != nil {
		refusal = d.inbox // the end of an inbox's name is another each time
	}
	if inbox {
		d.inbox = refusal
	}
	taken := false
	for w := range d.waiting {
		if inbox || strings.HasPrefix(refusal.subject, w.subject) {
			w.cancel(refusal)
			taken = true
		}
	}
	if taken || d.told[refusal.subject] {
		return false
	}
	d.told[refusal.subject] = true
	return true
}

// allowedAgain forgets the refusals: a new connection may have other rights.
func (b *Bus) allowedAgain() {
	d := &b.denials
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inbox, d.told = nil, map[string]bool{}
}

// violation finds the subject in the server's words.
func (b *Bus) violation(err error) (*deniedError, bool) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return nil, false
	}
	_, said, ok := strings.Cut(err.Error(), "Permissions Violation for ")
	words := strings.SplitN(said, `"`, 3)
	if !ok || len(words) < 3 {
		return nil, false
	}
	verb := "publish to"
	if strings.HasPrefix(said, "Subscription") {
		verb = "subscribe to"
	}
	who, setting := b.cfg.who()
	return &deniedError{who: who, setting: setting, verb: verb, subject: words[1]}, true
}

func newDenials() denials {
	return denials{waiting: map[*waiter]struct{}{}, told: map[string]bool{}}
}

// call bounds one request to the server, which is sent on a subject that begins
// like this.
func (b *Bus) call(ctx context.Context, subjects ...string) (context.Context, context.CancelFunc) {
	ctx, end := b.heed(ctx, subjects...)
	ctx, cancel := call(ctx)
	return ctx, func() { cancel(); end() }
}

// explainCall says why a request with this context failed, nil if it did not.
func explainCall(ctx context.Context, err error) error {
	if denied, ok := errors.AsType[*deniedError](context.Cause(ctx)); ok && err != nil {
		return denied
	}
	return explain(err)
}

// api is the subject of a request to JetStream about the stream.
func (b *Bus) api(request string, more ...string) string {
	return apiSubject(request, append([]string{b.stream}, more...)...)
}

// apiSubject is the subject of a request to JetStream.
func apiSubject(request string, more ...string) string {
	return strings.Join(append([]string{"$JS.API." + request}, more...), ".")
}
