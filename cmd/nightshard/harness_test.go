package main

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/objstore/memory"
	"nightshard/shared/objstore/objstoretest"
	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// patience bounds every wait of a test. It is no measurement.
const patience = 60 * time.Second

// nobody is an address at which no server answers.
const nobody = "nats://127.0.0.1:1"

// buffer is an output that may be read while it is written.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// cli calls the command as a shell would.
type cli struct {
	env   map[string]string
	store objstore.Account // nil: the environment's Swift
	// change prepares the app, if not nil.
	change func(*app)
}

type answer struct {
	code     int
	out, err string
}

func (c cli) run(t *testing.T, args ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errs buffer
	code := c.start(ctx, &out, &errs, args)
	return answer{code: code, out: out.String(), err: errs.String()}
}

// start is run for a test that acts while the command runs.
func (c cli) start(ctx context.Context, out, errs *buffer, args []string) int {
	env := map[string]string{"NATS_URL": nobody}
	maps.Copy(env, c.env)
	a := newApp(env, out, errs)
	a.grace = 3 * time.Second
	if c.store != nil {
		a.store = func(context.Context) (objstore.Account, string, error) { return c.store, "memory", nil }
	}
	if c.change != nil {
		c.change(a)
	}
	return a.run(ctx, args)
}

// done fails the test unless the command ended with code 0.
func (r answer) done(t *testing.T) answer {
	t.Helper()
	if r.code != service.ExitDone {
		t.Fatalf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	return r
}

// shows fails the test unless the output holds each text.
func (r answer) shows(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.out, text) {
			t.Errorf("the output does not show %q:\n%s%s", text, r.out, r.err)
		}
	}
}

// decode reads the output as JSON.
func decode[T any](t *testing.T, r answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		t.Fatalf("read %s: %v", r.out, err)
	}
	return v
}

// startBus starts a NATS and connects as a service would.
func startBus(t *testing.T, prefix string) (*events.Bus, map[string]string) {
	t.Helper()
	return busAt(t, testbed.NATS(t, testbed.NATSOptions{SyncAlways: true}), prefix)
}

func busAt(t *testing.T, server *testbed.NATSServer, prefix string) (*events.Bus, map[string]string) {
	t.Helper()
	env := map[string]string{"NATS_URL": server.URL, "NIGHTSHARD_SUBJECT_PREFIX": prefix}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	bus, err := events.Connect(ctx, events.Config{URL: server.URL, Prefix: prefix, AckWait: 5 * time.Second, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close(context.WithoutCancel(t.Context())) })
	return bus, env
}

func mustDay(t *testing.T, text string) night.Day {
	t.Helper()
	day, err := night.ParseDay(text)
	if err != nil {
		t.Fatal(err)
	}
	return day
}

// put stores an object.
func put(t *testing.T, store objstore.Account, container, name string, data []byte, meta map[string]string) {
	t.Helper()
	if _, err := store.Put(t.Context(), container, name, objstore.NewSource(data), objstore.PutOptions{Meta: meta}); err != nil {
		t.Fatal(err)
	}
}

// oldDay stores what the old scripts left: archives without a manifest.
func oldDay(t *testing.T, store objstore.Account, text string) {
	t.Helper()
	for _, name := range []string{"meta.00", "db.autogen.00009.00", "db.autogen.00010.00"} {
		put(t, store, text, text+"/shards/"+name, []byte("12345"), nil)
	}
}

// fullDay stores a finished day with two shards, 1,150 bytes in all.
func fullDay(t *testing.T, store objstore.Account, text string) *night.Manifest {
	t.Helper()
	day := mustDay(t, text)
	from, to := day.Window(time.UTC)
	m := &night.Manifest{
		Schema: night.Schema, Day: text, Database: "db", TimeZone: "UTC",
		Production: night.Production{URL: "http://influx-1:8086", Snapshot: "influx-1:8088", Version: "1.8.10"},
		Cutoff:     to.Add(-5 * time.Minute), StartedAt: to.Add(-5 * time.Minute), FinishedAt: to.Add(-4 * time.Minute),
		RetentionPolicies: []night.RetentionPolicy{
			{Name: "autogen", Default: true, Duration: "0s", ShardGroupDuration: "168h0m0s"},
		},
		Meta: stored(t, store, text, night.MetaObject(day), 150),
	}
	for _, id := range []uint64{9, 10} {
		name := night.ShardName{Database: "db", RetentionPolicy: "autogen", ID: id}
		m.Shards = append(m.Shards, night.Shard{
			Stored: stored(t, store, text, name.Object(day), 500), ID: id, RetentionPolicy: "autogen", Start: from, End: to,
			Files: []night.File{{Name: "000000001-000000001.tsm", Bytes: 400}},
			Counts: night.Fingerprint{
				"cpu": {"idle": {Min: 1000, Max: 1000}, "user": {Min: 1000, Max: 1000 + int64(id%2)}},
			},
		})
	}
	m.Shards[1].Carried = &night.Reading{Day: "2016-05-20", Clock: from}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, text, night.ManifestObject(day), data, nil)
	return m
}

func stored(t *testing.T, store objstore.Account, container, name string, size int) night.Stored {
	t.Helper()
	data := make([]byte, size)
	put(t, store, container, name, data, nil)
	return night.Stored{Object: name, Bytes: int64(size), MD5: objstoretest.MD5(data)}
}

// drillOf stores the verdict of a day.
func drillOf(t *testing.T, store objstore.Account, text string, d night.Drill) {
	t.Helper()
	d.Schema, d.Day, d.Mode, d.Compared, d.Values = night.Schema, text, "online", 4, 4000
	d.FinishedAt = time.Date(2016, 6, 2, 0, 20, 0, 0, time.UTC)
	data, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, text, night.DrillObject(mustDay(t, text)), data, nil)
}

func dumpOf(t *testing.T, store objstore.Account, text, measurement, complete string) {
	t.Helper()
	name, err := night.DumpObject(mustDay(t, text), measurement)
	if err != nil {
		t.Fatal(err)
	}
	meta := map[string]string{}
	if complete != "" {
		meta[metaComplete] = complete
	}
	put(t, store, text, name, []byte("[\n]\n"), meta)
}

// house is an account with a week of days in all states.
func house(t *testing.T) objstore.Account {
	t.Helper()
	store := memory.New()
	put(t, store, "not-a-day", "x", []byte("x"), nil)
	put(t, store, "2016-06-01_segments", "x", []byte("x"), nil)
	oldDay(t, store, "2016-05-25")
	fullDay(t, store, "2016-06-01")
	dumpOf(t, store, "2016-06-01", "cpu", "true")
	dumpOf(t, store, "2016-06-01", "disk/free", "false")
	drillOf(t, store, "2016-06-01", night.Drill{Passed: true})
	fullDay(t, store, "2016-06-02")
	drillOf(t, store, "2016-06-02", night.Drill{Differences: []night.Difference{
		{Shard: 9, RetentionPolicy: "autogen", Measurement: "cpu", Field: "idle", Want: night.Range{Min: 1000, Max: 1000}, Got: 999},
	}})
	put(t, store, "2016-06-04", "2016-06-04/incoming/run.json", []byte("{}"), nil)
	put(t, store, "2016-06-04", "2016-06-04/shards/db.autogen.00009.00", make([]byte, 2000), nil)
	put(t, store, "2016-06-05", "2016-06-05/notes.txt", []byte("x"), nil)
	return store
}
