package influx_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"nightshard/shared/influx"
	"nightshard/shared/testbed"
)

// server is a real InfluxDB and the clients under test.
type server struct {
	*testbed.InfluxServer
	http *influx.Client
	snap *influx.Snapshot
}

func newServer(t *testing.T, opts testbed.InfluxOptions) *server {
	t.Helper()
	s := testbed.Influx(t, opts)
	return &server{InfluxServer: s, http: httpClient(t, s), snap: snapshots(s)}
}

func client(t *testing.T, cfg influx.ClientConfig) *influx.Client {
	t.Helper()
	c, err := influx.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// exec runs statements, each on its own.
func (s *server) exec(t *testing.T, database string, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if err := s.http.Exec(t.Context(), database, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// create makes a database.
func (s *server) create(t *testing.T, database string) {
	t.Helper()
	s.exec(t, "", "CREATE DATABASE "+influx.QuoteIdent(database))
}

// write stores points through the client under test.
func (s *server) write(t *testing.T, database, policy, lines string) {
	t.Helper()
	if err := s.http.WritePoints(t.Context(), database, policy, []byte(lines)); err != nil {
		t.Fatal(err)
	}
}

// metastore reads the metastore and its archive.
func (s *server) metastore(t *testing.T) (*influx.Metastore, []byte) {
	t.Helper()
	raw, err := s.snap.Metastore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := influx.ParseMetastore(raw)
	if err != nil {
		t.Fatal(err)
	}
	return m, raw
}

// read reads a shard to its end.
func (s *server) read(ctx context.Context, id uint64, since time.Time) ([]byte, error) {
	body, err := s.snap.Shard(ctx, id, since)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	return io.ReadAll(body)
}

// points makes n points of a measurement, one for each step.
func points(measurement string, from time.Time, step time.Duration, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s,host=h%d value=%d.5,n=%di,ok=%t,text=\"t %d\" %d\n", measurement, i%3, i, i, i%2 == 0, i, from.Add(time.Duration(i)*step).UnixNano())
	}
	return b.String()
}

// noise makes n points of 1 KB that cannot be compressed much.
func noise(measurement string, from time.Time, n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	text := make([]byte, 1024)
	for i := range n {
		for k := range text {
			text[k] = letters[r.IntN(len(letters))]
		}
		fmt.Fprintf(&b, "%s text=\"%s\" %d\n", measurement, text, from.Add(time.Duration(i)*time.Second).UnixNano())
	}
	return b.String()
}

func TestAShardUnchangedSinceHasNoFiles(t *testing.T) {
	t.Parallel()
	s := newServer(t, testbed.InfluxOptions{})
	s.create(t, "d")
	s.write(t, "d", "", points("m", start(), time.Second, 10))
	m, _ := s.metastore(t)
	shard := m.Shards("d")[0]
	all, err := s.read(t.Context(), shard.ID, time.Time{})
	if err != nil || len(all) < 2048 {
		t.Fatalf("%d bytes, %v", len(all), err)
	}
	again, err := s.read(t.Context(), shard.ID, time.Time{})
	if err != nil || !bytes.Equal(all, again) {
		t.Errorf("the second archive differs: %d bytes, %v", len(again), err)
	}
	if none, err := s.read(t.Context(), shard.ID, time.Now().Add(time.Minute)); err != nil || len(none) != 1024 {
		t.Errorf("%d bytes, %v", len(none), err)
	}
}
