package e2e_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/influx"
	"nightshard/shared/testbed"
	"nightshard/shared/tsm"
)

// kinds are the servers that are told apart where deletes are concerned.
func kinds() []testbed.InfluxOptions {
	var all []testbed.InfluxOptions
	for _, version := range []string{testbed.Influx18, testbed.Influx16} {
		for _, index := range []string{"inmem", "tsi1"} {
			all = append(all, testbed.InfluxOptions{Version: version, Index: index})
		}
	}
	return all
}

// beside is a house with other servers that shares the Swift account.
func (h *house) beside(t *testing.T, prod, inter *testbed.InfluxServer) *house {
	t.Helper()
	n := &house{t: t, news: make(chan struct{}), prod: prod, inter: inter, swift: h.swift, env: maps.Clone(h.env), patience: h.patience}
	n.nats = testbed.NATS(t, testbed.NATSOptions{})
	maps.Copy(n.env, map[string]string{
		"NIGHTSHARD_PRODUCTION_URL": prod.URL, "NIGHTSHARD_PRODUCTION_SNAPSHOT": prod.Snapshot,
		"NIGHTSHARD_INTERMEDIARY_URL": inter.URL, "NIGHTSHARD_INTERMEDIARY_SNAPSHOT": inter.Snapshot,
		"NATS_URL": n.nats.URL,
	})
	n.connect()
	return n
}

// deletedDays is how many days the data with deletes spans, a shard each.
const deletedDays = 4

// policies are the retention policies with deletes.
func deletedPolicies() []string { return []string{"main", "two_weeks"} }

// escaped are the troublesome name's characters as line protocol wants them.
func escaped() *strings.Replacer { return strings.NewReplacer(",", `\,`, " ", `\ `) }

// generation writes one more file into each shard: points that overlap those of
// the generations before, so that deleted times come back, and series and
// measurements of its own. Then it is deleted from, in every way.
func (h *house) generation(n int) {
	t := h.t
	t.Helper()
	for _, rp := range deletedPolicies() {
		var b strings.Builder
		for d := range deletedDays {
			h.generationOfDay(&b, n, weekday0().AddDate(0, 0, d))
		}
		h.prod.Write(t, database, rp, b.String())
	}
	h.flushed()
	at := func(d, minutes int) string {
		return weekday0().AddDate(0, 0, d).Add(time.Duration(minutes) * time.Minute).Format("'2006-01-02T15:04:05Z'")
	}
	odd := quote(oddMeasurement)
	statements := []string{
		fmt.Sprintf(`DELETE FROM "cpu" WHERE "host" = 'b' AND time >= %s AND time <= %s`, at(0, 10+n*20), at(0, 50+n*20)),
		fmt.Sprintf(`DELETE FROM "cpu" WHERE time >= %s AND time < %s`, at(1, 30+n), at(2, 15+n)), // over two shards
		fmt.Sprintf(`DELETE FROM "cpu" WHERE "host" = 'gone%d'`, n),
		fmt.Sprintf(`DROP SERIES FROM "cpu" WHERE "host" = 'drop%d'`, n),
		fmt.Sprintf(`DROP MEASUREMENT "dropped%d"`, n),
		fmt.Sprintf(`DELETE FROM "emptied%d"`, n),
		fmt.Sprintf(`DELETE FROM %s WHERE "ta g" = 'a,b=c d%d' AND time > %s`, odd, n%2, at(2, 20)),
	}
	h.turn(n)
	for _, s := range statements {
		h.prod.Query(t, database, s)
	}
}

// turn drops a measurement, and brings it back with a field of another type. A
// server may hold on to the type for a moment.
func (h *house) turn(n int) {
	h.t.Helper()
	client, err := influx.NewClient(influx.ClientConfig{URL: h.prod.URL})
	must(h.t, err)
	value := []string{"1", "2i", `"three"`, "true"}[n%4]
	for d := range deletedDays {
		line := fmt.Sprintf("turns,h=x v=%s %d", value, weekday0().AddDate(0, 0, d).UnixNano())
		testbed.Eventually(h.t, patience, "a field to take another type", func() bool {
			if d == 0 {
				h.prod.Query(h.t, database, `DROP MEASUREMENT "turns"`)
			}
			return client.WritePoints(h.t.Context(), database, "main", []byte(line)) == nil
		})
	}
}

func (h *house) generationOfDay(b *strings.Builder, n int, day time.Time) {
	odd := escaped().Replace(oddMeasurement)
	for i := range 60 {
		at := day.Add(time.Duration(n*20+i) * time.Minute).UnixNano()
		for _, host := range []string{"a", "b", fmt.Sprint("gone", n), fmt.Sprint("drop", n), fmt.Sprint("only", n)} {
			fmt.Fprintf(b, "cpu,host=%s f=%g,i=%di,s=\"%s\",up=%t %d\n", host, float64(i*n)/7, i%9-4, strings.Repeat("x", i%20), i%3 == 0, at)
		}
		if i%10 == 0 {
			fmt.Fprintf(b, "dropped%d,h=x v=1i %d\nemptied%d v=%di %d\n", n, at, n, i, at)
			fmt.Fprintf(b, "%s,ta\\ g=a\\,b\\=c\\ d%d fi\\ el\\=d=%di,big=9223372036854775807i %d\n", odd, i/10%2, i, at)
		}
	}
}

// flushed has production put what it holds in memory into files: deletes leave
// tombstones only beside these.
func (h *house) flushed() {
	h.t.Helper()
	snap := influx.NewSnapshot(influx.SnapshotConfig{Addr: h.prod.Snapshot})
	loaded, err := snap.Loaded(h.t.Context(), database)
	must(h.t, err)
	for id := range loaded {
		testbed.Eventually(h.t, patience, "a shard to be flushed", func() bool { return snap.Flush(h.t.Context(), id) == nil })
	}
}

// withStones gives the shards of a day whose archive has a tombstone that
// deletes something.
func (h *house) withStones(day string) (ids []uint64) {
	h.t.Helper()
	for _, s := range h.manifest(day).Shards {
		a, err := tsm.Verify(bytes.NewReader(h.read(day, s.Object)), tsm.Options{Tombstones: true})
		must(h.t, err)
		plain := slices.DeleteFunc(slices.Clone(a.Files), func(f tsm.File) bool { return strings.HasSuffix(f.Name, ".tombstone") })
		if len(plain) < len(a.Files) && !slices.Equal(plain, a.Sent) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// files gives the content's hash of each file of an archive, by nothing of the
// project's.
func files(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	out := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			t.Fatal(err)
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, r); err != nil {
			t.Fatal(err)
		}
		out[path.Base(head.Name)] = fmt.Sprintf("%x", sum.Sum(nil))
	}
}

// asSent holds the stored archives against what production sent.
func (h *house) asSent(r *shardRelay, day string) {
	h.t.Helper()
	for _, s := range h.manifest(day).Shards {
		stored, sent := h.read(day, s.Object), r.last(s.ID)
		if s.ID%10 != 0 && !bytes.Equal(stored, sent) {
			h.t.Errorf("shard %d is stored with %d bytes, production sent %d", s.ID, len(stored), len(sent))
		}
		if got, want := files(h.t, stored), files(h.t, sent); len(want) == 0 || !maps.Equal(got, want) {
			h.t.Errorf("shard %d is stored with %v, production sent %v", s.ID, got, want)
		}
	}
}

// everything is every row of every measurement in every policy, day by day, and
// the lists of series and fields.
func everything(t *testing.T, s *testbed.InfluxServer) map[string][]string {
	t.Helper()
	out := map[string][]string{"series": records(t, s, "SHOW SERIES"), "fields": records(t, s, "SHOW FIELD KEYS")}
	for _, rp := range deletedPolicies() {
		for d := range deletedDays {
			from := weekday0().AddDate(0, 0, d)
			statement := fmt.Sprintf(`SELECT * FROM "sensu_db".%q./.*/ WHERE time >= %d AND time < %d`, rp, from.UnixNano(), from.AddDate(0, 0, 1).UnixNano())
			for _, series := range ask(t, s, statement).Results[0].Series {
				of := rp + " " + from.Format("2006-01-02") + " " + series.Name
				out[of] = recordsOf(t, series.Columns, series.Values)
			}
		}
	}
	return out
}

// recordsOf gives the rows as sorted records. A column without a value counts
// for nothing: a query of several measurements has the columns of all.
func recordsOf(t *testing.T, columns []string, rows [][]any) []string {
	t.Helper()
	var out []string
	for _, row := range rows {
		rec := map[string]any{}
		for i, c := range columns {
			if row[i] != nil {
				rec[c] = row[i]
			}
		}
		out = append(out, canon(t, rec))
	}
	slices.Sort(out)
	return out
}

// sameAs holds a server's rows against those of another.
func sameAs(t *testing.T, s *testbed.InfluxServer, want map[string][]string) {
	t.Helper()
	got := everything(t, s)
	for what, rows := range want {
		if !slices.Equal(got[what], rows) {
			t.Errorf("%s: %d rows, production has %d: %.300q\n%.300q", what, len(got[what]), len(rows), got[what], rows)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d queries, want %d", len(got), len(want))
	}
}

// deleter is a production with deletes, backed up.
type deleter struct {
	*house
	name, day string
	rows      map[string][]string
	restored  sync.Mutex // one night writes a day's drill and dumps at a time
}

// backUpDeletes fills production, deletes from it and backs it up while the
// tombstones stand: an idle server soon compacts them away, so it is tried again
// until the archives have some.
func (h *house) backUpDeletes(opts testbed.InfluxOptions, day string) *deleter {
	t := h.t
	t.Helper()
	for _, rp := range deletedPolicies() {
		h.prod.Query(t, "", fmt.Sprintf(`CREATE RETENTION POLICY %q ON "sensu_db" DURATION INF REPLICATION 1 SHARD DURATION 1d`, rp))
	}
	h.prod.Query(t, "", `ALTER RETENTION POLICY "main" ON "sensu_db" DEFAULT`)
	relay := newShardRelay(t, h.prod.Snapshot)
	h.start("backup", "NIGHTSHARD_PRODUCTION_SNAPSHOT="+relay.addr)
	for n := range 3 {
		h.generation(n)
	}
	d := &deleter{house: h, name: opts.Version + " " + opts.Index, day: day}
	for n := 3; ; n++ {
		h.generation(n)
		seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: day, Force: true})
		awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
		stones := h.withStones(day)
		t.Logf("%s: tombstones in %d of %d shards", d.name, len(stones), len(h.manifest(day).Shards))
		if len(stones) >= deletedDays {
			break
		}
		if n == 20 {
			t.Fatal("the archives have no tombstones: the test proves nothing")
		}
	}
	h.asSent(relay, day)
	d.rows = everything(t, h.prod)
	return d
}

// restore brings the backup into another server, and compares every row and the
// dump.
func (d *deleter) restore(t *testing.T, h *house, force bool) {
	t.Helper()
	d.restored.Lock()
	defer d.restored.Unlock()
	h.prod = d.prod
	seq := h.publish(events.RestoreRequested, &pb.RestoreRequested{Day: d.day, Force: force})
	r, e := awaitOn[*pb.RestoreCompleted](h, seq, events.RestoreCompleted, events.RestoreFailed)
	if len(r.GetVerdict().GetDifferences()) > 0 || r.GetVerdict().GetCompared() == 0 {
		t.Errorf("restore %v", r)
	}
	sameAs(t, h.inter, d.rows)
	h.sameDump(h.dumps(e.Seq, 1)[0])
}

func TestWhatWasDeletedStaysDeletedBetweenAllServers(t *testing.T) {
	t.Parallel()
	first := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	sources := make([]*deleter, len(kinds()))
	t.Run("from", func(t *testing.T) {
		for i, opts := range kinds() {
			prod := first.prod
			if i > 0 {
				prod = testbed.Influx(first.t, opts)
				prod.CreateDatabase(t, database)
			}
			t.Run(opts.Version+" "+opts.Index, func(t *testing.T) {
				t.Parallel()
				sources[i] = first.beside(t, prod, first.inter).backUpDeletes(opts, dayName(i))
			})
		}
	})
	if t.Failed() {
		return
	}
	for i, opts := range kinds() {
		t.Run("to "+opts.Version+" "+opts.Index, func(t *testing.T) {
			t.Parallel()
			inter := first.inter
			if i > 0 {
				inter = testbed.Influx(t, opts)
			}
			h := first.beside(t, first.prod, inter)
			h.start("restore")
			h.start("dumper")
			var last *deleter
			for n := range sources {
				last = sources[(i+n)%len(sources)]
				last.restore(t, h, n > 0)
				tried(t, "InfluxDB", "deletes not yet compacted", last.name+" to "+opts.Version+" "+opts.Index, endedRight)
			}
			inter.Stop()
			inter.Start()
			sameAs(t, inter, last.rows)
		})
	}
}
