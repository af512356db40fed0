package events_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	nightshardv1 "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

func TestAnswersArriveInTheProgramsOwnInbox(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ program, prefix, want string }{
		{events.Backup, "", "_INBOX_backup."},
		{events.Restore, "site1", "site1._INBOX_restore."},
		{events.Dumper, "eu.site-2", "eu.site-2._INBOX_dumper."},
		{"cli", "", "_INBOX_operators."},
		{"", "site1", "site1._INBOX_operators."},
	} {
		t.Run(c.program+" "+c.prefix, func(t *testing.T) {
			t.Parallel()
			srv := startNATS(t)
			bus := connect(t, srv.URL, func(cfg *events.Config) {
				cfg.Prefix = c.prefix
				if c.program != "" {
					cfg.InboxPrefix = events.InboxPrefix(c.program)
				}
			})
			publish(t, bus, &nightshardv1.BackupRequested{}, "")
			history(t, bus)
			subs := subscriptions(t, srv.Server())
			if len(subs) == 0 {
				t.Error("no inbox")
			}
			for _, subject := range subs {
				if !strings.HasPrefix(subject, c.want) {
					t.Errorf("subscribed to %s, want %s", subject, c.want)
				}
			}
		})
	}
}

// subscriptions lists what the clients of a server are subscribed to.
func subscriptions(t *testing.T, srv *server.Server) []string {
	t.Helper()
	state, err := srv.Connz(&server.ConnzOptions{Subscriptions: true})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, conn := range state.Conns {
		all = append(all, conn.Subs...)
	}
	return all
}
