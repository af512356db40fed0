package events_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

func inspect(t *testing.T, cfg events.Config) *events.Inspection {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cfg.Log = zerolog.Nop()
	found, err := events.Inspect(ctx, cfg, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestInspectMakesNoStream(t *testing.T) {
	t.Parallel()
	n := testbed.NATS(t, testbed.NATSOptions{})
	for range 2 {
		if found := inspect(t, events.Config{URL: n.URL}); !found.Missing || found.Stream != "NIGHTSHARD" || found.Version == "" || len(found.Denied) > 0 {
			t.Errorf("found %+v", found)
		}
	}
}

func TestInspectStoresNothingAndTakesNoEvent(t *testing.T) {
	t.Parallel()
	n := testbed.NATS(t, testbed.NATSOptions{})
	bus, err := events.Connect(t.Context(), events.Config{URL: n.URL, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close(context.WithoutCancel(t.Context())) }()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- bus.Consume(ctx, events.Consumer{
			Durable: "backup", Subjects: []string{events.BackupRequested},
			Handler: func(context.Context, *events.Delivery) ([]proto.Message, error) { return nil, nil },
		})
	}()
	testbed.Eventually(t, time.Minute, "a process at the durable", func() bool {
		found := inspect(t, events.Config{URL: n.URL})
		return len(found.Consumers) == 1 && found.Consumers[0].Waiting == 1
	})
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Publish(t.Context(), events.BackupRequested, &pb.BackupRequested{}, ""); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		found := inspect(t, events.Config{URL: n.URL})
		if len(found.Wrong) > 0 || len(found.Denied) > 0 || found.Replicas != 1 {
			t.Errorf("found %+v", found)
		}
		if c := found.Consumers[0]; c.Pending != 1 || c.AckPending != 0 || len(c.Wrong) > 0 {
			t.Errorf("durable %+v", c)
		}
	}
	stored := 0
	err = bus.History(t.Context(), events.FromFirst(), func(events.Event) error { stored++; return nil })
	if err != nil || stored != 1 {
		t.Errorf("%d events are stored, %v", stored, err)
	}
}

func TestInspectNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	n := testbed.NATS(t, testbed.NATSOptions{})
	js, err := jetstream.New(n.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "NIGHTSHARD", Subjects: []string{"backup.*", "restore.>"}, Retention: jetstream.InterestPolicy, Storage: jetstream.MemoryStorage,
		MaxAge: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateConsumer(t.Context(), "NIGHTSHARD", jetstream.ConsumerConfig{
		Durable: "restore", FilterSubject: "backup.completed", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	found := inspect(t, events.Config{URL: n.URL, Replicas: 3})
	stream, durable := strings.Join(found.Wrong, "\n"), strings.Join(found.Consumers[0].Wrong, "\n")
	for text, in := range map[string]string{
		"retention is Interest": stream, "storage is Memory": stream, "it does not take dump.requested": stream,
		"NIGHTSHARD_STREAM_REPLICAS is 3": stream, "drops events after 1h0m0s": stream, "duplicate window": stream,
		"it takes backup.completed, not": durable, "events at a time": durable, "gives up after 3": durable,
	} {
		if !strings.Contains(in, text) {
			t.Errorf("no word of %q in\n%s", text, in)
		}
	}
	if strings.Contains(stream, "not take backup") {
		t.Errorf("a pattern counts: %s", stream)
	}
}

func TestInspectTriesTheRightsOut(t *testing.T) {
	t.Parallel()
	n := testbed.NATS(t, testbed.NATSOptions{Configure: func(o *server.Options) {
		o.Users = []*server.User{{Username: "ops", Password: "secret", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"backup.completed", "$JS.API.CONSUMER.MSG.NEXT.NIGHTSHARD.restore"}},
		}}, {Username: "all", Password: "secret"}}
	}})
	bus, err := events.Connect(t.Context(), events.Config{URL: n.URL, User: "all", Password: "secret", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bus.Close(context.WithoutCancel(t.Context())) }()
	found := inspect(t, events.Config{URL: n.URL, User: "ops", Password: "secret"})
	if want := []string{"$JS.API.CONSUMER.MSG.NEXT.NIGHTSHARD.restore", "backup.completed"}; !slices.Equal(found.Denied, want) {
		t.Errorf("denied: %q", found.Denied)
	}
	_, err = events.Inspect(t.Context(), events.Config{URL: n.URL, User: "ops", Password: "wrong", Log: zerolog.Nop()}, 0)
	if err == nil || !strings.Contains(err.Error(), "NATS_USER") {
		t.Errorf("wrong password: %v", err)
	}
}
