package events_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	nightshardv1 "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

// programs are all that have a user, each of which has its name as its password.
var programs = []string{events.Backup, events.Restore, events.Dumper, events.Operators}

// withUsers loads the generated users into a real server, as nats-server itself
// reads them. Beside them is "admin", who may do everything.
func withUsers(t *testing.T, o events.AccessOptions) *testbed.NATSServer {
	t.Helper()
	text, err := events.UsersFile(events.UsersOptions{AccessOptions: o, Passwords: "passwords.conf"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var passwords strings.Builder
	for _, p := range programs {
		fmt.Fprintf(&passwords, "%s: %q\n", events.PasswordVariable(p), p)
	}
	for name, content := range map[string]string{
		"permissions.conf": text, "passwords.conf": passwords.String(),
		"nats.conf": "authorization {\n  include permissions.conf\n}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return testbed.NATS(t, testbed.NATSOptions{Config: filepath.Join(dir, "nats.conf"), Configure: func(o *server.Options) {
		o.Users = append(o.Users, &server.User{Username: "admin", Password: "admin"})
	}})
}

// raw is a connection of a user without the bus, as an attacker has.
func raw(t *testing.T, url, user string) *nats.Conn {
	t.Helper()
	return plain(t, url, nats.UserInfo(user, user), nats.CustomInboxPrefix("_INBOX_"+user),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
}

// refusedTo says whether the server refuses what act sends.
func refusedTo(t *testing.T, url, user string, act func(*nats.Conn) error) bool {
	t.Helper()
	conn := raw(t, url, user)
	defer conn.Close()
	if err := act(conn); err != nil {
		t.Fatal(err)
	}
	// The server's refusal comes before its answer to the flush.
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	err := conn.LastError()
	if err != nil && !errors.Is(err, nats.ErrPermissionViolation) {
		t.Fatal(err)
	}
	return err != nil
}

// everySubject is what a program could try to publish on.
func everySubject() []string {
	all := append(events.Subjects(), "progress.backup", "progress.restore", "progress.dumper", "other.subject",
		"$SRV.PING", "$SRV.STATS.nightshard-backup", "status.backup", "status.dumper",
		"_INBOX.x", "_INBOX_backup.x", "_INBOX_restore.x", "_INBOX_dumper.x", "_INBOX_operators.x",
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.META.LEADER.STEPDOWN",
		"$JS.API.SERVER.REMOVE", "$JS.API.ACCOUNT.PURGE.$G", "$SYS.REQ.SERVER.PING")
	for _, stream := range []string{"NIGHTSHARD", "OTHER"} {
		for _, request := range []string{
			"STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.DELETE", "STREAM.PURGE", "STREAM.MSG.GET",
			"STREAM.MSG.DELETE", "STREAM.SNAPSHOT", "STREAM.RESTORE", "STREAM.LEADER.STEPDOWN", "STREAM.PEER.REMOVE",
			"CONSUMER.LIST", "CONSUMER.NAMES", "CONSUMER.CREATE", "DIRECT.GET",
		} {
			all = append(all, "$JS.API."+request+"."+stream)
		}
		for _, subject := range events.Subjects() {
			all = append(all, "$JS.API.DIRECT.GET."+stream+"."+subject)
		}
		for _, durable := range []string{"backup", "restore", "dumper", "dumper-cpu", "mine"} {
			for _, request := range []string{
				"INFO", "CREATE", "DURABLE.CREATE", "DELETE", "MSG.NEXT", "PAUSE", "RESET", "UNPIN", "LEADER.STEPDOWN",
			} {
				all = append(all, "$JS.API.CONSUMER."+request+"."+stream+"."+durable)
			}
			for _, filter := range []string{"backup.requested", "backup.completed", "restore.completed", "dump.requested"} {
				all = append(all, "$JS.API.CONSUMER.CREATE."+stream+"."+durable+"."+filter)
			}
			all = append(all, "$JS.ACK."+stream+"."+durable+".1.1.1.1.1", "$JS.ACK._.hash."+stream+"."+durable+".1.1.1.1.1")
		}
	}
	return all
}

// mayPublish is all that each program may. API stands for $JS.API.
var mayPublish = map[string][]string{
	"backup": {
		"backup.requested", "backup.completed", "backup.failed", "progress.backup",
		"API.STREAM.INFO.NIGHTSHARD", "API.STREAM.CREATE.NIGHTSHARD",
		"API.DIRECT.GET.NIGHTSHARD", "API.DIRECT.GET.NIGHTSHARD.backup.requested", "API.CONSUMER.LIST.NIGHTSHARD",
		"API.CONSUMER.CREATE.NIGHTSHARD.backup.backup.requested",
		"API.CONSUMER.INFO.NIGHTSHARD.backup", "API.CONSUMER.MSG.NEXT.NIGHTSHARD.backup",
		"$JS.ACK.NIGHTSHARD.backup.1.1.1.1.1", "$JS.ACK._.hash.NIGHTSHARD.backup.1.1.1.1.1",
	},
	"restore": {
		"restore.completed", "restore.failed", "progress.restore",
		"API.STREAM.INFO.NIGHTSHARD", "API.STREAM.CREATE.NIGHTSHARD", "API.CONSUMER.LIST.NIGHTSHARD",
		"API.DIRECT.GET.NIGHTSHARD.backup.completed", "API.DIRECT.GET.NIGHTSHARD.restore.requested",
		"API.CONSUMER.CREATE.NIGHTSHARD.restore",
		"API.CONSUMER.INFO.NIGHTSHARD.restore", "API.CONSUMER.MSG.NEXT.NIGHTSHARD.restore",
		"$JS.ACK.NIGHTSHARD.restore.1.1.1.1.1", "$JS.ACK._.hash.NIGHTSHARD.restore.1.1.1.1.1",
	},
	"dumper": {
		"dump.completed", "dump.failed", "progress.dumper",
		"API.STREAM.INFO.NIGHTSHARD", "API.STREAM.CREATE.NIGHTSHARD",
		"API.DIRECT.GET.NIGHTSHARD.restore.completed", "API.DIRECT.GET.NIGHTSHARD.dump.requested",
		"API.CONSUMER.CREATE.NIGHTSHARD.dumper.dump.requested", "API.CONSUMER.CREATE.NIGHTSHARD.dumper-cpu.restore.completed",
		"API.CONSUMER.INFO.NIGHTSHARD.dumper", "API.CONSUMER.INFO.NIGHTSHARD.dumper-cpu",
		"API.CONSUMER.MSG.NEXT.NIGHTSHARD.dumper", "API.CONSUMER.MSG.NEXT.NIGHTSHARD.dumper-cpu",
		"$JS.ACK.NIGHTSHARD.dumper.1.1.1.1.1", "$JS.ACK._.hash.NIGHTSHARD.dumper.1.1.1.1.1",
		"$JS.ACK.NIGHTSHARD.dumper-cpu.1.1.1.1.1", "$JS.ACK._.hash.NIGHTSHARD.dumper-cpu.1.1.1.1.1",
	},
	"operators": {
		"backup.requested", "restore.requested", "dump.requested",
		"$SRV.PING", "$SRV.STATS.nightshard-backup", "status.backup", "status.dumper",
		"API.STREAM.INFO.NIGHTSHARD", "API.STREAM.CREATE.NIGHTSHARD", "API.STREAM.UPDATE.NIGHTSHARD",
		"API.CONSUMER.LIST.NIGHTSHARD", "API.CONSUMER.NAMES.NIGHTSHARD", "API.DIRECT.GET.NIGHTSHARD", "API.STREAM.MSG.GET.NIGHTSHARD",
		"API.CONSUMER.CREATE.NIGHTSHARD.mine", "API.CONSUMER.MSG.NEXT.NIGHTSHARD.mine",
		"API.CONSUMER.DELETE.NIGHTSHARD.dumper-cpu", "API.CONSUMER.DELETE.NIGHTSHARD.mine",
	},
}

func expected(program string) []string {
	want := slices.Clone(mayPublish[program])
	if program == "operators" {
		for _, subject := range events.Subjects() {
			want = append(want, "API.DIRECT.GET.NIGHTSHARD."+subject)
		}
		for _, filter := range []string{"backup.requested", "backup.completed", "restore.completed", "dump.requested"} {
			want = append(want, "API.CONSUMER.CREATE.NIGHTSHARD.mine."+filter)
		}
		for _, durable := range []string{"backup", "restore", "dumper", "dumper-cpu", "mine"} {
			want = append(want, "API.CONSUMER.INFO.NIGHTSHARD."+durable)
		}
	}
	for i, subject := range want {
		if strings.HasPrefix(subject, "API.") {
			want[i] = "$JS." + subject
		}
	}
	return want
}

func TestEachUserMayPublishWhatItNeedsAndNothingElse(t *testing.T) {
	t.Parallel()
	srv := withUsers(t, events.AccessOptions{Measurements: []string{"cpu"}})
	for _, user := range programs {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			want := expected(user)
			if len(want) == 0 {
				t.Fatal("nothing is expected")
			}
			for _, subject := range everySubject() {
				refused := refusedTo(t, srv.URL, user, func(c *nats.Conn) error { return c.Publish(subject, nil) })
				if may := slices.Contains(want, subject); may == refused {
					t.Errorf("publish on %s: allowed %v, want %v", subject, !refused, may)
				}
			}
		})
	}
}

func TestEachUserHearsItsOwnInboxAndNoOther(t *testing.T) {
	t.Parallel()
	srv := withUsers(t, events.AccessOptions{})
	all := []string{
		">", "_INBOX.>", "_INBOX.x", "_INBOX_backup.>", "_INBOX_restore.>", "_INBOX_dumper.>", "_INBOX_operators.>", "*.>",
		"$JS.API.>", "$JS.ACK.>", "$SYS.>", "$JS.EVENT.>", "other", "progress.>", "progress.*", "backup.>", "restore.completed", "dump.*",
		"$SRV.>", "$SRV.PING", "$SRV.INFO.nightshard-backup", "$SRV.STATS.nightshard-backup.id", "status.*", "status.backup",
	}
	// What `nats service` and people ask of the backup service.
	asked := []string{"$SRV.INFO.nightshard-backup", "$SRV.STATS.nightshard-backup.id", "status.backup"}
	// For NATS progress.> is one of progress.*, and nothing is deeper.
	operators := []string{"_INBOX_operators.>", "progress.>", "progress.*", "backup.>", "restore.completed", "dump.*"}
	for _, user := range programs {
		for _, subject := range all {
			refused := refusedTo(t, srv.URL, user, func(c *nats.Conn) error {
				_, err := c.SubscribeSync(subject)
				return err
			})
			may := subject == "_INBOX_"+user+".>" || user == events.Operators && slices.Contains(operators, subject) ||
				user == events.Backup && slices.Contains(asked, subject) || user != events.Operators && subject == "$SRV.PING"
			if may == refused {
				t.Errorf("%s subscribes to %s: allowed %v, want %v", user, subject, !refused, may)
			}
		}
	}
}

// Operators see what the services do, and a service answers them alone.
func TestAServiceUnderItsUserAnswersOperators(t *testing.T) {
	t.Parallel()
	srv := withUsers(t, events.AccessOptions{})
	bus := connect(t, srv.URL, func(c *events.Config) {
		c.User, c.Password, c.InboxPrefix = events.Backup, events.Backup, events.InboxPrefix(events.Backup)
	})
	if err := bus.Announce(events.Announcement{Name: events.Backup, Version: "1.0.0"}); err != nil {
		t.Fatal(err)
	}
	conn := raw(t, srv.URL, events.Operators)
	for _, subject := range []string{"$SRV.PING", "$SRV.INFO.nightshard-backup", "$SRV.STATS.nightshard-backup", "status.backup"} {
		// The service's subscriptions may still be on their way.
		testbed.Eventually(t, patience, "an answer on "+subject, func() bool {
			msg, err := conn.Request(subject, nil, time.Second)
			return err == nil && len(msg.Data) > 0
		})
	}
	if !refusedTo(t, srv.URL, events.Backup, func(c *nats.Conn) error { return c.Publish("_INBOX_operators.x", nil) }) {
		t.Error("the backup's user may publish to operators who asked nothing")
	}
}

// Under each of the users nothing is missed that its program needs.
func TestTheUsersLackNothing(t *testing.T) {
	t.Parallel()
	srv := withUsers(t, events.AccessOptions{})
	for _, user := range programs {
		found := inspect(t, events.Config{URL: srv.URL, User: user, Password: user, InboxPrefix: events.InboxPrefix(user)})
		if len(found.Denied) > 0 || !found.Missing {
			t.Errorf("%s: %+v", user, found)
		}
	}
}

// Before it removes old days the backup sees who works on which.
func TestTheBackupsUserSeesWhoIsAtWork(t *testing.T) {
	t.Parallel()
	srv := withUsers(t, events.AccessOptions{})
	under := func(program string) *events.Bus {
		return connect(t, srv.URL, func(c *events.Config) {
			c.User, c.Password, c.InboxPrefix = program, program, events.InboxPrefix(program)
		})
	}
	operators := under(events.Operators)
	for _, day := range []string{"2016-06-01", "2016-06-02"} {
		if _, err := operators.Publish(t.Context(), events.RestoreRequested, &nightshardv1.RestoreRequested{Day: day}, ""); err != nil {
			t.Fatal(err)
		}
	}
	bus := under(events.Backup)
	if _, err := bus.Consumers(t.Context()); err != nil {
		t.Error(err)
	}
	var days []string
	err := bus.EventsFrom(t.Context(), 1, func(e events.Event) error {
		m, _ := e.Message.(*nightshardv1.RestoreRequested)
		days = append(days, m.GetDay())
		return nil
	}, events.BackupCompleted, events.RestoreRequested)
	if err != nil || !slices.Equal(days, []string{"2016-06-01", "2016-06-02"}) {
		t.Errorf("days %v, %v", days, err)
	}
}

// Without the measurements' names the dumper may use consumers of any name, but
// for those of the others.
func TestDumperOfAnyMeasurementLeavesTheOthersConsumersAlone(t *testing.T) {
	t.Parallel()
	srv := withUsers(t, events.AccessOptions{})
	for subject, may := range map[string]bool{
		"$JS.API.CONSUMER.CREATE.NIGHTSHARD.dumper-x.restore.completed": true,
		"$JS.API.CONSUMER.CREATE.NIGHTSHARD.dumper-x.backup.requested":  false,
		"$JS.API.CONSUMER.CREATE.NIGHTSHARD.dumper-x":                   false,
		"$JS.API.CONSUMER.MSG.NEXT.NIGHTSHARD.dumper-x":                 true,
		"$JS.ACK.NIGHTSHARD.dumper-x.1.1.1.1.1":                         true,
		"$JS.API.CONSUMER.CREATE.NIGHTSHARD.backup.restore.completed":   false,
		"$JS.API.CONSUMER.CREATE.NIGHTSHARD.restore.restore.completed":  false,
		"$JS.API.CONSUMER.MSG.NEXT.NIGHTSHARD.backup":                   false,
		"$JS.API.CONSUMER.MSG.NEXT.NIGHTSHARD.restore":                  false,
		"$JS.ACK.NIGHTSHARD.backup.1.1.1.1.1":                           false,
		"$JS.ACK._.hash.NIGHTSHARD.restore.1.1.1.1.1":                   false,
		"$JS.API.CONSUMER.DELETE.NIGHTSHARD.dumper-x":                   false,
	} {
		refused := refusedTo(t, srv.URL, events.Dumper, func(c *nats.Conn) error { return c.Publish(subject, nil) })
		if refused == may {
			t.Errorf("publish on %s: allowed %v, want %v", subject, !refused, may)
		}
	}
}

// A request on a subject that is allowed must not reach further by its body.
func TestBodyOfAnAllowedRequestReachesNoFurther(t *testing.T) {
	t.Parallel()
	srv := withUsers(t, events.AccessOptions{})
	admin, err := jetstream.New(raw(t, srv.URL, "admin"))
	if err != nil {
		t.Fatal(err)
	}
	connect(t, srv.URL, as(events.Backup, ""))
	before := streamConfig(t, admin, "NIGHTSHARD")
	for _, c := range []struct{ user, subject, body string }{
		{"backup", "STREAM.CREATE.NIGHTSHARD", `{"name":"NIGHTSHARD","subjects":["backup.requested"],"max_msgs":1}`},
		{"backup", "STREAM.CREATE.NIGHTSHARD", `{"name":"OTHER","subjects":["other.>"]}`},
		{"dumper", "CONSUMER.CREATE.NIGHTSHARD.dumper-x.restore.completed", `{"stream_name":"NIGHTSHARD","config":{"durable_name":"dumper-x","filter_subject":"backup.requested"}}`},
		{"dumper", "CONSUMER.CREATE.NIGHTSHARD.dumper-x.restore.completed", `{"stream_name":"NIGHTSHARD","config":{"durable_name":"dumper-x","filter_subjects":["restore.completed","backup.requested"]}}`},
		{"dumper", "CONSUMER.CREATE.NIGHTSHARD.dumper-x.restore.completed", `{"stream_name":"NIGHTSHARD","config":{"durable_name":"backup","filter_subject":"restore.completed"}}`},
		{"dumper", "CONSUMER.CREATE.NIGHTSHARD.dumper-x.restore.completed", `{"stream_name":"OTHER","config":{"durable_name":"dumper-x","filter_subject":"restore.completed"}}`},
		{"restore", "CONSUMER.CREATE.NIGHTSHARD.restore", `{"stream_name":"NIGHTSHARD","config":{"durable_name":"backup"}}`},
	} {
		answer, err := raw(t, srv.URL, c.user).Request("$JS.API."+c.subject, []byte(c.body), patience)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(answer.Data), `"error"`) {
			t.Errorf("%s: %s was taken: %s", c.user, c.body, answer.Data)
		}
	}
	after := streamConfig(t, admin, "NIGHTSHARD")
	if after.MaxMsgs != before.MaxMsgs || !slices.Equal(after.Subjects, before.Subjects) {
		t.Errorf("the stream was changed: %+v", after)
	}
}

// A whole chain under the users, with everything that the programs ask of the
// bus. The server's log would tell of each refusal, those too that nobody
// notices.
func TestEverythingThatAProgramDoesIsAllowed(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]events.AccessOptions{
		"any measurement": {}, "named": {Measurements: []string{"cpu", "a b/c"}}, "prefix": {Prefix: "eu.site-2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := withUsers(t, o)
			chain(t, srv, o.Prefix)
			log, err := os.ReadFile(srv.LogFile)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(log)) {
				if strings.Contains(line, "Violation") {
					t.Error(line)
				}
			}
		})
	}
}

// chain passes one night through the services, with an operator who looks on.
func chain(t *testing.T, srv *testbed.NATSServer, prefix string) {
	t.Helper()
	bus := map[string]*events.Bus{}
	for _, p := range programs {
		bus[p] = connect(t, srv.URL, as(p, prefix))
	}
	ops := bus[events.Operators]
	seen, progress := make(chan string, 64), make(chan string, 64)
	follow(t, func(ctx context.Context) error {
		return ops.WatchProgress(ctx, func(p *nightshardv1.Progress) { progress <- p.GetService() })
	})
	follow(t, func(ctx context.Context) error {
		return ops.Watch(ctx, events.FromFirst(), func(e events.Event) error { seen <- e.Subject; return nil })
	})
	answer := func(program, durable string, result proto.Message, subjects ...string) {
		follow(t, func(ctx context.Context) error {
			return bus[program].Consume(ctx, events.Consumer{
				Durable: durable, Subjects: subjects, Deliver: events.DeliverLast,
				Handler: func(context.Context, *events.Delivery) ([]proto.Message, error) { return []proto.Message{result}, nil },
			})
		})
		awaitDurable(t, ops, durable)
	}
	answer(events.Backup, events.BackupDurable, &nightshardv1.BackupCompleted{}, events.BackupRequested)
	answer(events.Restore, events.RestoreDurable, &nightshardv1.RestoreCompleted{}, events.BackupCompleted, events.RestoreRequested)
	answer(events.Dumper, events.DumperDurable, &nightshardv1.DumpFailed{}, events.DumpRequested)
	answer(events.Dumper, events.MeasurementDurable("cpu"), &nightshardv1.DumpCompleted{Measurement: "cpu"}, events.RestoreCompleted)
	answer(events.Dumper, events.MeasurementDurable("a b/c"), &nightshardv1.DumpCompleted{Measurement: "a b/c"}, events.RestoreCompleted)
	publish(t, bus[events.Backup], &nightshardv1.BackupRequested{}, "nightly/1")
	publish(t, ops, &nightshardv1.DumpRequested{}, "")
	for range 7 {
		receive(t, "event", seen)
	}
	for _, service := range programs[:3] {
		// A progress message is lost when nobody listens yet.
		eventually(t, "progress of "+service, func() bool {
			bus[service].Progress(&nightshardv1.Progress{Service: service, Step: fmt.Sprint(len(progress))})
			select {
			case got := <-progress:
				return got == service
			default:
				return false
			}
		})
		if err := bus[service].Check(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if asked, err := bus[events.Backup].Requested(t.Context(), events.BackupRequested, "nightly/1", time.Now().Add(-time.Hour)); err != nil || !asked {
		t.Errorf("asked %v, %v", asked, err)
	}
	for _, p := range []string{events.Restore, events.Operators} {
		if states, err := bus[p].Consumers(t.Context()); err != nil || len(states) != 5 {
			t.Errorf("%s sees %d durables, %v", p, len(states), err)
		}
	}
	if got := history(t, ops, events.DumpCompleted); len(got) != 2 {
		t.Errorf("%d dumps", len(got))
	}
}

// A service may not change the stream: it says who can, and after that it starts.
func TestStreamThatHasToChangeIsChangedByOperators(t *testing.T) {
	t.Parallel()
	srv := withUsers(t, events.AccessOptions{})
	admin, err := jetstream.New(raw(t, srv.URL, "admin"))
	if err != nil {
		t.Fatal(err)
	}
	old := jetstream.StreamConfig{Name: "NIGHTSHARD", Subjects: events.Subjects()[:8]}
	if _, err := admin.CreateStream(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	cfg := events.Config{URL: srv.URL}
	as(events.Restore, "")(&cfg)
	text := refusal(t, patience, cfg)
	for _, want := range []string{`"restore" may not publish to "$JS.API.STREAM.UPDATE.NIGHTSHARD"`, "nightshard status", "operators"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s: lacks %s", text, want)
		}
	}
	connect(t, srv.URL, as(events.Operators, ""))
	connect(t, srv.URL, as(events.Restore, ""))
	if got := streamConfig(t, admin, "NIGHTSHARD"); !slices.Equal(got.Subjects, events.Subjects()) {
		t.Errorf("subjects %v", got.Subjects)
	}
}
