package events_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"google.golang.org/protobuf/proto"

	nightshardv1 "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

// rights are those of the user "ops" beside everything, and may change between
// two starts of the server.
type rights struct {
	mu              sync.Mutex
	publish, listen []string // denied
}

func (r *rights) options(o *server.Options) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o.Users = []*server.User{
		{Username: "admin", Password: "admin"},
		{Username: "ops", Password: "s3cret", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Deny: r.publish},
			Subscribe: &server.SubjectPermission{Deny: r.listen},
		}},
	}
}

func (r *rights) deny(publish, listen string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.publish, r.listen = nil, nil
	if publish != "" {
		r.publish = []string{publish}
	}
	if listen != "" {
		r.listen = []string{listen}
	}
}

// without starts a server whose user ops lacks a right, with the stream made.
func without(t *testing.T, publish, listen string) (*testbed.NATSServer, *rights) {
	t.Helper()
	r := &rights{}
	r.deny(publish, listen)
	srv := startNATS(t, r.options)
	connect(t, srv.URL, as("admin", ""))
	return srv, r
}

func asOps(c *events.Config) { c.User, c.Password = "ops", "s3cret" }

// tells fails the test unless an error says what was denied, to whom, and what
// to do.
func tells(t *testing.T, what string, err error, verb, subject string) {
	t.Helper()
	if !errors.Is(err, events.ErrDenied) {
		t.Errorf("%s: %v", what, err)
		return
	}
	for _, want := range []string{`the NATS user "ops"`, verb, subject, "docs/security.md", "NATS_USER"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v: lacks %s", what, err, want)
		}
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%s: secret told: %v", what, err)
	}
}

func TestDeniedStartIsAnErrorThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ publish, listen, verb, subject string }{
		"stream": {publish: "$JS.API.STREAM.INFO.>", verb: "publish to", subject: `"$JS.API.STREAM.INFO.NIGHTSHARD"`},
		"inbox":  {listen: "_INBOX_operators.>", verb: "subscribe to", subject: `"_INBOX_operators.`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, _ := without(t, c.publish, c.listen)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := events.Connect(ctx, events.Config{URL: srv.URL, User: "ops", Password: "s3cret"})
			tells(t, "connect", err, c.verb, c.subject)
			if ctx.Err() != nil {
				t.Error("it took all the time that it had")
			}
		})
	}
}

func TestDeniedUserOfAURLIsNamedAndATokenIsNot(t *testing.T) {
	t.Parallel()
	srv, _ := without(t, "$JS.API.STREAM.INFO.>", "")
	text := refusal(t, patience, events.Config{URL: strings.Replace(srv.URL, "nats://", "nats://ops:s3cret@", 1)})
	if !strings.Contains(text, `the NATS user "ops"`) || !strings.Contains(text, "NATS_URL") || strings.Contains(text, "s3cret") {
		t.Error(text)
	}
	token := startNATS(t, func(o *server.Options) { o.Authorization = "t0ken"; o.JetStream = false })
	text = refusal(t, patience, events.Config{URL: strings.Replace(token.URL, "nats://", "nats://t0ken@", 1)})
	if strings.Contains(text, "t0ken") {
		t.Error(text)
	}
}

func TestDeniedCallIsAnErrorAtOnceAndNotLogged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		publish, listen, verb, subject string
		call                           func(context.Context, *events.Bus) error
	}{
		"publish": {publish: "backup.requested", verb: "publish to", subject: `"backup.requested"`, call: func(ctx context.Context, b *events.Bus) error {
			_, err := b.Publish(ctx, events.BackupRequested, &nightshardv1.BackupRequested{}, "id")
			return err
		}},
		"consumers": {publish: "$JS.API.CONSUMER.LIST.>", verb: "publish to", subject: `"$JS.API.CONSUMER.LIST.NIGHTSHARD"`, call: func(ctx context.Context, b *events.Bus) error {
			_, err := b.Consumers(ctx)
			return err
		}},
		"requested": {publish: "$JS.API.DIRECT.>", verb: "publish to", subject: `"$JS.API.DIRECT.GET.NIGHTSHARD"`, call: func(ctx context.Context, b *events.Bus) error {
			_, err := b.Requested(ctx, events.BackupRequested, "id", time.Now())
			return err
		}},
		"history": {publish: "$JS.API.CONSUMER.CREATE.>", verb: "publish to", subject: `"$JS.API.CONSUMER.CREATE.NIGHTSHARD.`, call: func(ctx context.Context, b *events.Bus) error {
			return b.History(ctx, events.FromFirst(), func(events.Event) error { return nil })
		}},
		"history, second step": {publish: "$JS.API.CONSUMER.MSG.NEXT.>", verb: "publish to", subject: `"$JS.API.CONSUMER.MSG.NEXT.NIGHTSHARD.`, call: func(ctx context.Context, b *events.Bus) error {
			return b.History(ctx, events.FromFirst(), func(events.Event) error { return nil })
		}},
		"watch": {publish: "$JS.API.CONSUMER.CREATE.>", verb: "publish to", subject: `"$JS.API.CONSUMER.CREATE.NIGHTSHARD.`, call: func(ctx context.Context, b *events.Bus) error {
			return b.Watch(ctx, events.FromFirst(), func(events.Event) error { return nil })
		}},
		"progress": {listen: "progress.>", verb: "subscribe to", subject: `"progress.*"`, call: func(ctx context.Context, b *events.Bus) error {
			return b.WatchProgress(ctx, func(*nightshardv1.Progress) {})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, _ := without(t, c.publish, c.listen)
			publish(t, connect(t, srv.URL, as("admin", "")), &nightshardv1.BackupRequested{}, "")
			var out logs
			bus := connect(t, srv.URL, asOps, logTo(&out))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			tells(t, name, c.call(ctx, bus), c.verb, c.subject)
			if ctx.Err() != nil {
				t.Error("it took all the time that it had")
			}
			if strings.Contains(out.String(), "denied") {
				t.Errorf("logged as well: %s", out.String())
			}
		})
	}
}

// A refusal of one durable must not end the service, whose others may be allowed;
// the log says what is missing, and once it is given the work goes on.
func TestDeniedDurableIsToldOnceAndWorksWhenItIsAllowed(t *testing.T) {
	t.Parallel()
	for _, denied := range []string{
		"$JS.API.CONSUMER.INFO.NIGHTSHARD.backup", "$JS.API.CONSUMER.CREATE.NIGHTSHARD.backup.>", "$JS.API.CONSUMER.MSG.NEXT.NIGHTSHARD.backup",
	} {
		t.Run(denied, func(t *testing.T) {
			t.Parallel()
			srv, r := without(t, denied, "")
			admin := connect(t, srv.URL, as("admin", ""))
			publish(t, admin, &nightshardv1.BackupRequested{}, "")
			var out logs
			bus := connect(t, srv.URL, asOps, logTo(&out))
			done := make(chan bool, 1)
			follow(t, func(ctx context.Context) error {
				return bus.Consume(ctx, events.Consumer{
					Durable: "backup", Subjects: []string{events.BackupRequested}, Deliver: events.DeliverLast,
					Handler: func(context.Context, *events.Delivery) ([]proto.Message, error) {
						done <- true
						return nil, nil
					},
				})
			})
			eventually(t, "the refusal in the log", func() bool {
				return out.count(`may not publish to \"`+strings.TrimSuffix(denied, ">")) > 0
			})
			awaitRefusals(t, srv, 3)
			if n := out.count("cannot take events"); n != 1 {
				t.Errorf("told %d times: %s", n, out.String())
			}
			r.deny("", "")
			srv.Restart()
			receive(t, "work", done)
		})
	}
}

// Progress is lost without a word to the caller, so the log has to tell it, but
// not four times a second.
func TestDeniedProgressIsToldOnce(t *testing.T) {
	t.Parallel()
	srv, _ := without(t, "progress.>", "")
	var out logs
	bus := connect(t, srv.URL, asOps, logTo(&out))
	for i := range 3 {
		bus.Progress(&nightshardv1.Progress{Service: "backup", Step: strings.Repeat("x", i)})
		awaitRefusals(t, srv, i+1)
	}
	publish(t, bus, &nightshardv1.BackupRequested{}, "") // what was refused before is told by now
	eventually(t, "the refusal in the log", func() bool { return out.count(`\"progress.backup\"`) > 0 })
	if n := out.count(`\"progress.backup\"`); n != 1 {
		t.Errorf("told %d times: %s", n, out.String())
	}
}

// awaitRefusals waits until the server has refused so often.
func awaitRefusals(t *testing.T, srv *testbed.NATSServer, n int) {
	t.Helper()
	eventually(t, "refusals", func() bool {
		log, err := os.ReadFile(srv.LogFile)
		return err == nil && strings.Count(string(log), "Violation") >= n
	})
}

// The work is done and its result stored: only the line of the event can tell.
func TestDeniedAcknowledgementIsToldWithTheEvent(t *testing.T) {
	t.Parallel()
	srv, _ := without(t, "$JS.ACK.>", "")
	var out logs
	bus := connect(t, srv.URL, asOps, logTo(&out))
	consume(t, bus, events.Consumer{
		Durable: "backup", Subjects: []string{events.BackupRequested}, Deliver: events.DeliverLast,
		Handler: func(context.Context, *events.Delivery) ([]proto.Message, error) { return completed("2026-11-22"), nil },
	})
	publish(t, bus, &nightshardv1.BackupRequested{}, "")
	eventually(t, "the refusal in the log", func() bool {
		return out.count(`answer \"+ACK\": the NATS user \"ops\" may not publish to \"$JS.ACK.NIGHTSHARD.backup.`) > 0
	})
}
