package events_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"google.golang.org/protobuf/proto"

	nightshardv1 "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

// refusal returns the error of a connection that must not come about.
func refusal(t *testing.T, wait time.Duration, cfg events.Config) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	bus, err := events.Connect(ctx, cfg)
	if err == nil {
		_ = bus.Close(ctx)
		t.Fatal("connected")
	}
	return err.Error()
}

func TestUnreachableServerIsNamedWithoutItsPassword(t *testing.T) {
	t.Parallel()
	var out logs
	cfg := events.Config{URL: "nats://ops:s3cret@127.0.0.1:1"}
	logTo(&out)(&cfg)
	text := refusal(t, 700*time.Millisecond, cfg)
	if !strings.Contains(text, "nats://127.0.0.1:1") || !strings.Contains(text, "NATS_URL") {
		t.Errorf("not helpful: %s", text)
	}
	if strings.Contains(text+out.String(), "s3cret") || strings.Contains(text, "ops") {
		t.Errorf("secret told: %s %s", text, out.String())
	}
}

func TestWrongSettingsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]events.Config{
		"SUBJECT_PREFIX":    {Prefix: "a..b"},
		"PREFIX is \"a.\"":  {Prefix: "a."},
		"PREFIX is \"a b\"": {Prefix: "a b"},
		"PREFIX is \"a.*\"": {Prefix: "a.*"},
		"STREAM_REPLICAS":   {Replicas: 7},
		"certificate":       {Cert: "x"},
		"without a user":    {Password: "s3cret"},
		"NATS URL":          {URL: "nats://u:s3cret%zz@host:4222"},
		"URL cannot":        {URL: "nats://"},
		"/nowhere/seed":     {NKey: "/nowhere/seed"},
		"/nowhere/ca.pem":   {CA: "/nowhere/ca.pem"},
	} {
		text := refusal(t, time.Minute, cfg)
		if !strings.Contains(text, name) || strings.Contains(text, "s3cret") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestRefusedCredentialsAreAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	srv := startNATS(t, func(o *server.Options) { o.Username, o.Password = "ops", "right" })
	var out logs
	cfg := events.Config{URL: srv.URL, User: "ops", Password: "wr0ng"}
	logTo(&out)(&cfg)
	text := refusal(t, patience, cfg)
	if !strings.Contains(text, "Authorization") || !strings.Contains(text, "NATS_PASSWORD") {
		t.Errorf("not helpful: %s", text)
	}
	if strings.Contains(text+out.String(), "wr0ng") {
		t.Errorf("secret told: %s", text)
	}
	connect(t, srv.URL, func(c *events.Config) { c.User, c.Password = "ops", "right" })
	connect(t, strings.Replace(srv.URL, "nats://", "nats://ops:right@", 1))
}

func TestTokenAndNKeyAreAccepted(t *testing.T) {
	t.Parallel()
	withToken := startNATS(t, func(o *server.Options) { o.Authorization = "t0ken" })
	connect(t, withToken.URL, func(c *events.Config) { c.Token = "t0ken" })

	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := pair.PublicKey()
	seed, _ := pair.Seed()
	file := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(file, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	withNKey := startNATS(t, func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} })
	connect(t, withNKey.URL, func(c *events.Config) { c.NKey = file })
}

func TestServerWithoutJetStreamIsExplained(t *testing.T) {
	t.Parallel()
	srv := startNATS(t, func(o *server.Options) { o.JetStream = false })
	if text := refusal(t, patience, events.Config{URL: srv.URL}); !strings.Contains(text, "JetStream is not enabled") {
		t.Error(text)
	}
}

func TestConnectWaitsForAServerThatComesLater(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	srv.Shutdown()
	url := srv.URL
	connected := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		bus, err := events.Connect(ctx, events.Config{URL: url})
		if err == nil {
			err = bus.Close(ctx)
		}
		connected <- err
	}()
	select {
	case err := <-connected:
		t.Fatalf("connected to nothing: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	srv.Start()
	if err := receive(t, "connection", connected); err != nil {
		t.Error(err)
	}
}

func streamConfig(t *testing.T, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().Config
}

func TestNewStreamKeepsEverythingForEveryone(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	before := time.Now()
	bus := connect(t, srv.URL)
	cfg := streamConfig(t, plainJS(t, srv.URL), "NIGHTSHARD")
	if cfg.Retention != jetstream.LimitsPolicy || cfg.Storage != jetstream.FileStorage || cfg.Replicas != 1 ||
		cfg.Duplicates < 24*time.Hour || cfg.MaxAge != 0 || !slices.Equal(cfg.Subjects, events.Subjects()) {
		t.Errorf("stream: %+v", cfg)
	}
	created, err := bus.StreamCreated(t.Context())
	if err != nil || created.Before(before.Add(-time.Minute)) || created.After(time.Now().Add(time.Minute)) {
		t.Errorf("created %v, %v", created, err)
	}
	if err := bus.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestBusesThatStartTogetherMakeOneStream(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
			defer cancel()
			bus, err := events.Connect(ctx, events.Config{URL: srv.URL})
			if err != nil {
				t.Error(err)
				return
			}
			if err := bus.Close(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	streamConfig(t, plainJS(t, srv.URL), "NIGHTSHARD")
}

func TestExistingStreamIsCompletedAndOtherwiseKept(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	js := plainJS(t, srv.URL)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "NIGHTSHARD", Subjects: []string{"backup.*", "restore.requested", "my.own"}, Description: "mine", MaxMsgs: 12345,
	})
	if err != nil {
		t.Fatal(err)
	}
	var out logs
	connect(t, srv.URL, logTo(&out))
	connect(t, srv.URL, logTo(&out))
	cfg := streamConfig(t, js, "NIGHTSHARD")
	want := []string{
		"backup.*", "restore.requested", "my.own", "restore.completed", "restore.failed",
		"dump.requested", "dump.completed", "dump.failed",
	}
	if !slices.Equal(cfg.Subjects, want) || cfg.Description != "mine" || cfg.MaxMsgs != 12345 || cfg.Duplicates < 24*time.Hour || !cfg.AllowDirect {
		t.Errorf("stream: %+v", cfg)
	}
	if n := out.count("updated the stream"); n != 1 {
		t.Errorf("updated %d times", n)
	}
}

func TestStreamWithShortAgeKeepsItsAge(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	js := plainJS(t, srv.URL)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "NIGHTSHARD", Subjects: events.Subjects(), MaxAge: 6 * time.Hour, Duplicates: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	connect(t, srv.URL)
	if cfg := streamConfig(t, js, "NIGHTSHARD"); cfg.MaxAge != 6*time.Hour || cfg.Duplicates != 6*time.Hour {
		t.Errorf("age %v, window %v", cfg.MaxAge, cfg.Duplicates)
	}
}

func TestWorkQueueStreamIsRefused(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	_, err := plainJS(t, srv.URL).CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "NIGHTSHARD", Subjects: events.Subjects(), Retention: jetstream.WorkQueuePolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	if text := refusal(t, patience, events.Config{URL: srv.URL}); !strings.Contains(text, "retention") {
		t.Error(text)
	}
}

func TestReplicasWithoutAClusterAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	began := time.Now()
	text := refusal(t, patience, events.Config{URL: srv.URL, Replicas: 3})
	if !strings.Contains(text, "replicas") || time.Since(began) > patience/2 {
		t.Errorf("%s after %v", text, time.Since(began))
	}
}

func TestPrefixSeparatesTwoSites(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	one := connect(t, srv.URL, func(c *events.Config) { c.Prefix = "site1" })
	two := connect(t, srv.URL, func(c *events.Config) { c.Prefix = "eu.site-2" })
	if one.StreamName() != "NIGHTSHARD_SITE1" || two.StreamName() != "NIGHTSHARD_EU_SITE_2" {
		t.Errorf("streams %s, %s", one.StreamName(), two.StreamName())
	}
	seen := make(chan *events.Delivery, 10)
	consume(t, one, events.Consumer{
		Durable: "backup", Subjects: []string{events.BackupRequested},
		Handler: func(_ context.Context, d *events.Delivery) ([]proto.Message, error) {
			seen <- d
			return completed("2026-11-22"), nil
		},
	})
	publish(t, two, &nightshardv1.BackupRequested{Day: "other"}, "")
	if err := plain(t, srv.URL).Publish("site1.backup.requested", []byte(`{"day":"2026-11-22"}`)); err != nil {
		t.Fatal(err)
	}
	d := receive(t, "event", seen)
	if in, ok := d.Message.(*nightshardv1.BackupRequested); !ok || in.GetDay() != "2026-11-22" || d.Subject != events.BackupRequested {
		t.Errorf("delivery %+v", d)
	}
	awaitEvents(t, one, events.BackupCompleted, 1)
	if got := history(t, two); len(got) != 1 || got[0].Subject != events.BackupRequested {
		t.Errorf("the other site has %v", got)
	}
}

func TestAnotherPrefixWithTheSameStreamNameIsRefused(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	connect(t, srv.URL, func(c *events.Config) { c.Prefix = "site-1" })
	for _, prefix := range []string{"SITE-1", "site_1", "site.1"} {
		text := refusal(t, patience, events.Config{URL: srv.URL, Prefix: prefix})
		if !strings.Contains(text, `subject prefix "site-1"`) {
			t.Errorf("%s: %s", prefix, text)
		}
	}
}

// Both would have one night asked for, since the stream takes one request for
// each day, and either would take it.
func TestTwoDatabasesDoNotShareADurable(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	of := func(database string) func(*events.Config) { return func(c *events.Config) { c.Database = database } }
	c := events.Consumer{
		Durable: "backup", Subjects: []string{events.BackupRequested},
		Handler: func(context.Context, *events.Delivery) ([]proto.Message, error) { return nil, nil },
	}
	consume(t, connect(t, srv.URL), c)() // an older version's, without a name
	consume(t, connect(t, srv.URL, of("sensu_db")), c)
	consume(t, connect(t, srv.URL, of("sensu_db")), c)
	consume(t, connect(t, srv.URL), c)
	eventually(t, "the durable to carry the database's name", func() bool {
		cons, err := plainJS(t, srv.URL).Consumer(t.Context(), "NIGHTSHARD", "backup")
		return err == nil && cons.CachedInfo().Config.Metadata["nightshard-database"] == "sensu_db"
	})
	err := connect(t, srv.URL, of("telegraf")).Consume(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), `database "sensu_db", this service works for "telegraf"`) {
		t.Errorf("the other database's service: %v", err)
	}
	consume(t, connect(t, srv.URL, of("telegraf"), func(c *events.Config) { c.Prefix = "telegraf" }), c)
}
