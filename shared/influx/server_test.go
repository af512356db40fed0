package influx_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshard/shared/influx"
	"nightshard/shared/testbed"
)

const database = "sensu_db"

func httpClient(t *testing.T, s *testbed.InfluxServer) *influx.Client {
	t.Helper()
	c, err := influx.NewClient(influx.ClientConfig{URL: s.URL, User: s.User, Password: s.Password, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func snapshots(s *testbed.InfluxServer) *influx.Snapshot {
	return influx.NewSnapshot(influx.SnapshotConfig{Addr: s.Snapshot, IdleTimeout: 20 * time.Second})
}

// fill writes three days in two policies, with names of every kind.
func fill(t *testing.T, s *testbed.InfluxServer) {
	t.Helper()
	s.CreateDatabase(t, database)
	s.Query(t, database, `CREATE RETENTION POLICY "a.b c" ON "sensu_db" DURATION 520w REPLICATION 1 SHARD DURATION 12h`)
	for d := range 3 {
		var b strings.Builder
		for i := range 500 {
			at := start().AddDate(0, 0, d).Add(time.Duration(i) * time.Minute).UnixNano()
			fmt.Fprintf(&b, "cpu,host=h%d idle=%d,n=9007199254740993i %d\n", i%7, i, at)
			fmt.Fprintf(&b, "od\\,d\\ \"na/me\",t=x fi\\ eld=\"s%d\" %d\n", i, at)
		}
		s.Write(t, database, "", b.String())
		s.Write(t, database, "a.b c", b.String())
	}
}

func start() time.Time { return time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC) }

func everything(t *testing.T, c *influx.Client) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for _, rp := range []string{"autogen", "a.b c"} {
		counts, err := c.Count(t.Context(), database, rp, start().AddDate(-1, 0, 0), start().AddDate(1, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		for key, n := range counts {
			out[rp+"/"+key.Measurement+"/"+key.Field] = n
		}
	}
	return out
}

// renamed is an archive with its entries in another shard's folder.
func renamed(t *testing.T, archive []byte, folder string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		h.Name = folder + "/" + path.Base(h.Name)
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func shard(t *testing.T, s *influx.Snapshot, id uint64) []byte {
	t.Helper()
	body, err := s.Shard(t.Context(), id, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestABackupIsRestoredOnlineBetweenAllVersions(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]testbed.InfluxOptions{
		{{Version: testbed.Influx18}, {Version: testbed.Influx18, Index: "tsi1"}},
		{{Version: testbed.Influx16, Index: "tsi1"}, {Version: testbed.Influx18}},
		{{Version: testbed.Influx18}, {Version: testbed.Influx16}},
		{{Version: testbed.Influx16}, {Version: testbed.Influx16, Index: "tsi1"}},
	} {
		t.Run(c[0].Version+" to "+c[1].Version+c[1].Index, func(t *testing.T) {
			t.Parallel()
			from, to := testbed.Influx(t, c[0]), testbed.Influx(t, c[1])
			fill(t, from)
			source, target := snapshots(from), snapshots(to)
			raw, err := source.Metastore(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			meta, err := influx.ParseMetastore(raw)
			if err != nil {
				t.Fatal(err)
			}
			listed(t, httpClient(t, from), meta)
			blob, err := influx.RestoreBlob(raw, database)
			if err != nil {
				t.Fatal(err)
			}
			ids, err := target.UpdateMetastore(t.Context(), blob, database)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range meta.Shards(database) {
				body := renamed(t, shard(t, source, s.ID), fmt.Sprintf("%s/%s/%d", database, s.RetentionPolicy, ids[s.ID]))
				if err := target.UploadShard(t.Context(), ids[s.ID], bytes.NewReader(body)); err != nil {
					t.Fatal(err)
				}
			}
			want, got := everything(t, httpClient(t, from)), everything(t, httpClient(t, to))
			if len(want) != 6 || !maps.Equal(want, got) {
				t.Errorf("source has %v, target %v", want, got)
			}
			infinite(t, target)
			// A second time the database is in the way.
			if _, err := target.UpdateMetastore(t.Context(), blob, database); !errors.Is(err, influx.ErrRefused) {
				t.Errorf("update over an existing database: %v", err)
			}
		})
	}
}

// listed holds the metastore's shards against SHOW SHARDS.
func listed(t *testing.T, c *influx.Client, meta *influx.Metastore) {
	t.Helper()
	shards, err := c.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var a, b []string
	for _, s := range shards {
		a = append(a, fmt.Sprint(s.ID, s.Database, s.RetentionPolicy, s.Start.Unix(), s.End.Unix()))
	}
	for _, s := range meta.Shards(database) {
		b = append(b, fmt.Sprint(s.ID, s.Database, s.RetentionPolicy, s.Start.Unix(), s.End.Unix()))
	}
	slices.Sort(a)
	slices.Sort(b)
	if len(a) < 5 || !slices.Equal(a, b) {
		t.Errorf("SHOW SHARDS has %v, the metastore %v", a, b)
	}
}

// infinite looks at the retention policies that a restore made.
func infinite(t *testing.T, s *influx.Snapshot) {
	t.Helper()
	raw, err := s.Metastore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	meta, err := influx.ParseMetastore(raw)
	if err != nil {
		t.Fatal(err)
	}
	db, _ := meta.Database(database)
	if len(db.RetentionPolicies) != 2 || db.DefaultRetentionPolicy != "autogen" {
		t.Errorf("restored database %+v", db)
	}
	for _, rp := range db.RetentionPolicies {
		if rp.Duration != 0 {
			t.Errorf("policy %q keeps points for %s: the server would delete them", rp.Name, rp.Duration)
		}
	}
}

func TestClusterIDTellsServersApartAndStays(t *testing.T) {
	t.Parallel()
	id := func(s *testbed.InfluxServer) uint64 {
		raw, err := snapshots(s).Metastore(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		meta, err := influx.ParseMetastore(raw)
		if err != nil {
			t.Fatal(err)
		}
		return meta.ClusterID
	}
	a, b := testbed.Influx(t, testbed.InfluxOptions{}), testbed.Influx(t, testbed.InfluxOptions{Version: testbed.Influx16})
	one, two := id(a), id(b)
	a.Stop()
	a.Start()
	if one == 0 || one == two || id(a) != one {
		t.Errorf("ids %d and %d, after a restart %d", one, two, id(a))
	}
}

func TestMergedMetastoreKeepsWhatTheServerHad(t *testing.T) {
	t.Parallel()
	for _, version := range []string{testbed.Influx18, testbed.Influx16} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			from, to := testbed.Influx(t, testbed.InfluxOptions{}), testbed.Influx(t, testbed.InfluxOptions{Version: version})
			fill(t, from)
			to.CreateDatabase(t, "other")
			to.Write(t, "other", "", "kept v=1 1717200000000000000")
			to.Query(t, "", `CREATE USER "ann" WITH PASSWORD 'secret'`)
			raw, err := snapshots(from).Metastore(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			to.Stop()
			file := filepath.Join(to.MetaDir, "meta.db")
			existing, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			blob, ids, err := influx.MergeMetastore(existing, raw, database)
			if err != nil {
				t.Fatal(err)
			}
			before, err := influx.ParseMetastoreBlob(existing)
			if err != nil {
				t.Fatal(err)
			}
			after, err := influx.ParseMetastoreBlob(blob)
			if err != nil {
				t.Fatal(err)
			}
			if after.ClusterID != before.ClusterID || after.Users != 1 || len(after.Shards(database)) != len(ids) || after.MaxShardID != before.MaxShardID+uint64(len(ids)) {
				t.Errorf("merged: %+v; before: %+v", after, before)
			}
			for _, s := range after.Shards(database) {
				if s.ID <= before.MaxShardID {
					t.Errorf("shard %d of %q may be another's", s.ID, s.RetentionPolicy)
				}
			}
			if err := os.WriteFile(file, blob, 0o600); err != nil {
				t.Fatal(err)
			}
			to.Start()
			names, err := httpClient(t, to).Databases(t.Context())
			if err != nil || !slices.Contains(names, database) || !slices.Contains(names, "other") {
				t.Errorf("databases %v, %v", names, err)
			}
			if got := string(to.Query(t, "other", "SELECT * FROM kept")); !strings.Contains(got, "2024-06-01T00:00:00Z") {
				t.Errorf("the other database answers %s", got)
			}
		})
	}
}

func TestAStalledServerIsAnErrorWithinTheSetTime(t *testing.T) {
	t.Parallel()
	s := testbed.Influx(t, testbed.InfluxOptions{})
	fill(t, s)
	snap := influx.NewSnapshot(influx.SnapshotConfig{Addr: s.Snapshot, IdleTimeout: 300 * time.Millisecond})
	c, err := influx.NewClient(influx.ClientConfig{URL: s.URL, Timeout: 300 * time.Millisecond, TotalTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s.Pause()
	defer s.Resume()
	if _, err := snap.Metastore(t.Context()); !errors.Is(err, influx.ErrStalled) {
		t.Errorf("metastore: %v", err)
	}
	body, err := snap.Shard(t.Context(), 1, time.Time{})
	if err == nil {
		_, err = io.ReadAll(body)
		_ = body.Close()
	}
	if !errors.Is(err, influx.ErrStalled) || !strings.Contains(err.Error(), "shard 1 of "+s.Snapshot) {
		t.Errorf("shard: %v", err)
	}
	if err := snap.UploadShard(t.Context(), 1, endless{}); !errors.Is(err, influx.ErrStalled) {
		t.Errorf("upload: %v", err)
	}
	if _, err := c.Databases(t.Context()); err == nil {
		t.Error("a query of a stalled server succeeded")
	}
	if _, _, err := c.Ping(t.Context()); err == nil {
		t.Error("a ping of a stalled server succeeded")
	}
}

// endless is an upload that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestACancelledContextEndsAWaitAtOnce(t *testing.T) {
	t.Parallel()
	s := testbed.Influx(t, testbed.InfluxOptions{})
	fill(t, s)
	s.Pause()
	defer s.Resume()
	ctx, cancel := context.WithCancel(t.Context())
	body, err := influx.NewSnapshot(influx.SnapshotConfig{Addr: s.Snapshot, IdleTimeout: time.Hour}).Shard(ctx, 1, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	done := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(body)
		done <- err
	}()
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the read went on")
	}
}

func TestWhatTheServerDoesNotSayIsSaid(t *testing.T) {
	t.Parallel()
	s := testbed.Influx(t, testbed.InfluxOptions{})
	snap := snapshots(s)
	body, err := snap.Shard(t.Context(), 4711, time.Time{})
	if err == nil {
		_, err = io.ReadAll(body)
		_ = body.Close()
	}
	if !errors.Is(err, influx.ErrNoData) || !strings.Contains(err.Error(), "4711") {
		t.Errorf("an unknown shard: %v", err)
	}
	if _, err := influx.NewSnapshot(influx.SnapshotConfig{Addr: "127.0.0.1:1"}).Metastore(t.Context()); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("nobody there: %v", err)
	}
	// An HTTP port is no snapshot port.
	if _, err := influx.NewSnapshot(influx.SnapshotConfig{Addr: strings.TrimPrefix(s.URL, "http://"), IdleTimeout: 5 * time.Second}).UpdateMetastore(t.Context(), []byte("x"), "db"); err == nil {
		t.Error("an HTTP server took a metastore")
	}
	_, err = httpClient(t, s).Query(t.Context(), "", "SELEKT 1")
	if said, ok := errors.AsType[*influx.Error](err); !ok || !strings.Contains(said.Message, "SELEKT") {
		t.Errorf("a wrong statement: %v", err)
	}
}

func TestLoginIsAskedForAndNotShown(t *testing.T) {
	t.Parallel()
	s := testbed.Influx(t, testbed.InfluxOptions{Auth: true})
	c, err := influx.NewClient(influx.ClientConfig{URL: s.URL, User: s.User, Password: "wr0ng-secret"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Databases(t.Context())
	if !errors.Is(err, influx.ErrUnauthorized) || strings.Contains(err.Error(), "wr0ng-secret") {
		t.Errorf("a wrong password: %v", err)
	}
	if err := c.Stream(t.Context(), "db", "SELECT * FROM m", nil); !errors.Is(err, influx.ErrUnauthorized) {
		t.Errorf("stream: %v", err)
	}
	if _, err := httpClient(t, s).Databases(t.Context()); err != nil {
		t.Errorf("the right password: %v", err)
	}
	if _, err := influx.NewClient(influx.ClientConfig{URL: "http://ann:hidden@db:8086"}); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("a password in the address: %v", err)
	}
	if _, err := influx.NewClient(influx.ClientConfig{URL: "db:8086"}); err == nil {
		t.Error("an address without http:// was taken")
	}
}

func TestAnErrorInTheMiddleOfAChunkedAnswerIsAnError(t *testing.T) {
	t.Parallel()
	s := testbed.Influx(t, testbed.InfluxOptions{Config: map[string]string{"INFLUXDB_COORDINATOR_QUERY_TIMEOUT": "1s"}})
	fill(t, s)
	c := httpClient(t, s)
	rows := 0
	statement := `SELECT * FROM "sensu_db"."autogen"."cpu"`
	err := c.Stream(t.Context(), database, statement, func([]string, [][]byte) error { rows++; return nil })
	if err != nil || rows != 1500 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	// A reader that is slower than the server's limit. The answer must be larger
	// than what the connection holds.
	var b strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&b, "wide v=\"%s\" %d\n", strings.Repeat("x", 1000), start().UnixNano()+int64(i))
	}
	s.Write(t, database, "", b.String())
	slow := time.After(1500 * time.Millisecond)
	err = c.Stream(t.Context(), database, `SELECT * FROM wide`, func([]string, [][]byte) error { <-slow; slow = closed(); return nil })
	if said, ok := errors.AsType[*influx.Error](err); !ok || !strings.Contains(said.Message, "timeout") {
		t.Errorf("a query past the limit: %v", err)
	}
}

func closed() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}

func TestABodyThatEndsEarlyOrStallsIsAnError(t *testing.T) {
	t.Parallel()
	chunk := `{"results":[{"series":[{"name":"m","columns":["time","v"],"values":[["t",1]]}],"partial":true}]}` + "\n"
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, chunk)
		w.(http.Flusher).Flush()
		if r.URL.Query().Get("q") == "stall" {
			<-release
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.(*net.TCPConn).Close()
		}
	}))
	defer srv.Close()
	defer close(release)
	c, err := influx.NewClient(influx.ClientConfig{URL: srv.URL, Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ok := func([]string, [][]byte) error { return nil }
	if err := c.Stream(t.Context(), "db", "cut", ok); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut: %v", err)
	}
	if err := c.Stream(t.Context(), "db", "stall", ok); !errors.Is(err, influx.ErrStalled) {
		t.Errorf("stall: %v", err)
	}
}

func TestNamesOfEveryKindAreCounted(t *testing.T) {
	t.Parallel()
	s := testbed.Influx(t, testbed.InfluxOptions{})
	fill(t, s)
	c := httpClient(t, s)
	counts, err := c.CountMeasurement(t.Context(), database, "a.b c", `od,d "na/me"`, start(), start().AddDate(0, 0, 1))
	if err != nil || counts["fi eld"] != 500 {
		t.Errorf("counts %v, %v", counts, err)
	}
	rough, err := c.CountRough(t.Context(), database, "a.b c", start(), start().AddDate(0, 0, 1))
	if err != nil || rough != 1500 {
		t.Errorf("%d values, %v", rough, err)
	}
	if rough, err = c.CountRough(t.Context(), database, "a.b c", start().AddDate(1, 0, 0), start().AddDate(2, 0, 0)); err != nil || rough != 0 {
		t.Errorf("%d values where there are none, %v", rough, err)
	}
	names, err := c.Measurements(t.Context(), database)
	if err != nil || !slices.Equal(names, []string{"cpu", `od,d "na/me"`}) {
		t.Errorf("measurements %q, %v", names, err)
	}
	policies, err := c.RetentionPolicies(t.Context(), database)
	if err != nil || len(policies) != 2 || !policies[0].Default || policies[1].Duration != 520*7*24*time.Hour {
		t.Errorf("policies %v, %v", policies, err)
	}
	version, at, err := c.Ping(t.Context())
	if err != nil || version == "" || time.Since(at).Abs() > time.Minute {
		t.Errorf("ping: %q %s %v", version, at, err)
	}
}
