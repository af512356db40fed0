package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"google.golang.org/protobuf/proto"

	nightshardv1 "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

// ask sends a request and reads the JSON of its one answer.
func ask[T any](t *testing.T, conn *nats.Conn, subject string) (answer T) {
	t.Helper()
	msg, err := conn.Request(subject, nil, patience)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		t.Fatalf("%s: %v in %s", subject, err, msg.Data)
	}
	return answer
}

func announce(t *testing.T, bus *events.Bus, name string) {
	t.Helper()
	if err := bus.Announce(events.Announcement{Name: name, Version: "1b2c3d-modified", About: "about " + name, Database: "sensu_db"}); err != nil {
		t.Fatal(err)
	}
	// An answer of the server: it has taken the subscriptions before that.
	if err := bus.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAServiceSaysWhatItIsDoing(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus := connect(t, srv.URL, func(c *events.Config) { c.Prefix = "site1" })
	announce(t, bus, "dumper")
	conn := plain(t, srv.URL)
	if s := ask[events.Status](t, conn, "site1.status.dumper"); s.State != "idle" || s.Service != "dumper" || len(s.Jobs) != 0 || s.Since.IsZero() {
		t.Errorf("an idle service says %+v", s)
	}
	at, goOn := make(chan string), make(chan error)
	handler := func(_ context.Context, d *events.Delivery) ([]proto.Message, error) {
		at <- d.ID
		return nil, <-goOn
	}
	consume(t, bus, events.Consumer{Durable: "dumper-x-cpu", Subjects: []string{events.RestoreCompleted}, Handler: handler})
	consume(t, bus, events.Consumer{Durable: "dumper", Subjects: []string{events.DumpRequested}, Handler: handler})
	publish(t, bus, &nightshardv1.RestoreCompleted{Day: "2016-06-01"}, "")
	restore := receive(t, "restore at work", at)
	publish(t, bus, &nightshardv1.DumpRequested{Measurement: "cpu", From: "2016-05-01", To: "2016-05-03"}, "")
	receive(t, "request at work", at)
	bus.Progress(&nightshardv1.Progress{Service: "dumper", Day: "2016-06-01", Step: "dump", Measurement: "x-cpu", Done: 7, Total: 16, Unit: "records"})
	bus.Progress(&nightshardv1.Progress{Service: "dumper", Day: "2016-05-02", Step: "dump", Measurement: "cpu", Done: 1, Total: 3, Unit: "records", Bytes: 5})

	s := ask[events.Status](t, conn, "site1.status.dumper")
	if s.State != "working" || len(s.Jobs) != 2 {
		t.Fatalf("two jobs in hand: %+v", s)
	}
	if j := s.Jobs[0]; j.Event != restore || j.Durable != "dumper-x-cpu" || j.Subject != events.RestoreCompleted || j.Day != "2016-06-01" || j.Attempt != 1 ||
		j.Measurement != "x-cpu" || j.Step != "dump" || j.Done != 7 || j.Total != 16 || j.Unit != "records" || time.Since(j.Since) > time.Hour {
		t.Errorf("the nightly dump: %+v", j)
	}
	if j := s.Jobs[1]; j.Subject != events.DumpRequested || j.Day != "2016-05-02" || j.Measurement != "cpu" || j.Done != 1 || j.Bytes != 5 {
		t.Errorf("the requested dump: %+v", j)
	}
	goOn <- nil
	goOn <- events.Permanent(errors.New("no such day"))
	awaitIdle(t, bus, "dumper")
	awaitIdle(t, bus, "dumper-x-cpu")
	eventually(t, "idle again", func() bool { return ask[events.Status](t, conn, "site1.status.dumper").State == "idle" })
	if got := ask[events.Status](t, conn, "site1.status.dumper").Tally; got.Done != 1 || got.Failed != 1 || got.Retried != 0 || got.Last == nil {
		t.Errorf("tally %+v", got)
	}
}

func TestAServiceIsKnownToTheToolsOfNATS(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus := connect(t, srv.URL)
	announce(t, bus, "backup")
	fail := make(chan error, 3)
	fail <- errors.New("first attempt")
	fail <- nil
	consume(t, bus, backups(func(context.Context, *events.Delivery) ([]proto.Message, error) { return nil, <-fail }))
	publish(t, bus, &nightshardv1.BackupRequested{Day: "2016-06-01"}, "")
	awaitIdle(t, bus, "backup")
	conn := plain(t, srv.URL)
	info := ask[micro.Info](t, conn, "$SRV.INFO.nightshard-backup")
	if info.Version != "0.0.0+1b2c3d-modified" || info.Description != "about backup" || info.Metadata["version"] != "1b2c3d-modified" ||
		info.Metadata["database"] != "sensu_db" || info.Metadata["stream"] != "NIGHTSHARD" || len(info.Endpoints) != 1 || info.Endpoints[0].Subject != "status.backup" {
		t.Errorf("info %+v", info)
	}
	var data events.Tally
	eventually(t, "the tally of both attempts", func() bool {
		stats := ask[micro.Stats](t, conn, "$SRV.STATS.nightshard-backup")
		data = events.Tally{}
		return len(stats.Endpoints) == 1 && json.Unmarshal(stats.Endpoints[0].Data, &data) == nil && data.Done == 1
	})
	if data.Retried != 1 || data.Failed != 0 || data.Last == nil || data.Last.Subject != events.BackupRequested || data.Last.Day != "2016-06-01" {
		t.Errorf("stats %+v", data)
	}
	// Nothing of it is an event.
	if all := history(t, bus); len(all) != 1 {
		t.Errorf("the stream holds %d events, want the request alone: %v", len(all), all)
	}
}

func TestReplicasAnswerEachForItself(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	for range 2 {
		announce(t, connect(t, srv.URL), "restore")
	}
	conn := plain(t, srv.URL)
	answers := make(chan *nats.Msg, 4)
	inbox := conn.NewRespInbox()
	if _, err := conn.ChanSubscribe(inbox, answers); err != nil {
		t.Fatal(err)
	}
	if err := conn.PublishRequest("status.restore", inbox, nil); err != nil {
		t.Fatal(err)
	}
	receive(t, "first answer", answers)
	receive(t, "second answer", answers)
}

func TestWithoutTheRightToAnnounceTheServiceWorks(t *testing.T) {
	t.Parallel()
	srv := startNATS(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Subscribe: &server.SubjectPermission{Deny: []string{"$SRV.>", "status.>"}},
		}}}
	})
	var said logs
	bus := connect(t, srv.URL, func(c *events.Config) { c.User, c.Password = "u", "p" }, logTo(&said))
	announce(t, bus, "backup")
	consume(t, bus, backups(func(context.Context, *events.Delivery) ([]proto.Message, error) { return completed("2016-06-01"), nil }))
	publish(t, bus, &nightshardv1.BackupRequested{}, "")
	awaitEvents(t, bus, events.BackupCompleted, 1)
	eventually(t, "the refusal in the log", func() bool { return strings.Contains(said.String(), "status.backup") })
}

func TestAClosedBusIsAnnouncedNoMore(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	bus, err := events.Connect(ctx, events.Config{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	announce(t, bus, "backup")
	if err := bus.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := plain(t, srv.URL).Request("$SRV.PING.nightshard-backup", nil, patience); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("%v, want no responders", err)
	}
	if err := bus.Announce(events.Announcement{Name: "backup"}); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("announce on a closed bus: %v", err)
	}
}
