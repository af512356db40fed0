package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/influx"
	"nightshard/shared/intermediary"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/objstore/memory"
	"nightshard/shared/testbed"
)

const database = "sensu_db"

// shelf is an intermediary with one restored day, and a store for its dumps.
type shelf struct {
	influx *testbed.InfluxServer
	http   *influx.Client
	store  *memory.Store
	task   task
}

// perShard is how many records each half of the day has.
const perShard = 3000

// newShelf restores, so to speak, a day of two shards. Field n is an integer in
// the first and a float in the second, word a string and then a boolean, late
// is in the second alone.
func newShelf(t *testing.T, version string) *shelf {
	t.Helper()
	s := &shelf{influx: testbed.Influx(t, testbed.InfluxOptions{Version: version}), store: memory.New()}
	var err error
	s.http, err = influx.NewClient(influx.ClientConfig{URL: s.influx.URL})
	if err != nil {
		t.Fatal(err)
	}
	s.influx.CreateDatabase(t, database)
	s.influx.Query(t, database, `CREATE RETENTION POLICY "half" ON "sensu_db" DURATION INF REPLICATION 1 SHARD DURATION 12h DEFAULT`)
	day, err := night.ParseDay("2016-06-01")
	if err != nil {
		t.Fatal(err)
	}
	from, to := day.Window(time.UTC)
	var b strings.Builder
	for i := range perShard {
		morning := from.Add(time.Duration(i) * time.Second)
		fmt.Fprintf(&b, "cpu,host=web-%d n=%di,word=\"say \\\"%d\\\", twice\" %d\n", i%7, 9007199254740993+i, i, morning.UnixNano())
		fmt.Fprintf(&b, "cpu,host=web-%d n=%d.5,word=%t,late=%di %d\n", i%7, i, i%2 == 0, i, morning.Add(12*time.Hour).UnixNano())
	}
	s.influx.Write(t, database, "half", b.String())
	id := intermediary.Identity{RestoreID: "1@1", Day: day.String(), State: intermediary.Complete, Cutoff: to}
	if err := intermediary.Write(t.Context(), s.http, database, id); err != nil {
		t.Fatal(err)
	}
	s.task = task{day: day, measurement: "cpu", policy: "half", identity: id}
	return s
}

// dumper is one that writes in a format.
func (s *shelf) dumper(f night.Format) *dumper {
	cfg := &config{Format: string(f)}
	cfg.Database = database
	return &dumper{
		cfg: cfg, loc: time.UTC, store: s.store, http: s.http,
		progress: func(*pb.Progress) {}, now: time.Now, log: zerolog.Nop(),
	}
}

// objects are the names of the day's dumps.
func (s *shelf) objects(t *testing.T) []string {
	t.Helper()
	var names []string
	err := s.store.List(t.Context(), s.task.day.String(), night.DumpPrefix(s.task.day), func(o objstore.Object) error {
		names = append(names, o.Name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func (s *shelf) name(t *testing.T, f night.Format) string {
	t.Helper()
	name, err := night.DumpObjectIn(s.task.day, s.task.measurement, f)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// TestEveryFormatHoldsEveryRecord reads each dump back and compares it, field by
// field, with the one as JSON.
func TestEveryFormatHoldsEveryRecord(t *testing.T) {
	t.Parallel()
	for _, version := range []string{testbed.Influx18, testbed.Influx16} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := newShelf(t, version)
			read := map[night.Format][]string{}
			for _, f := range night.Formats() {
				out, err := s.dumper(f).dump(t.Context(), s.task)
				if err != nil {
					t.Fatalf("%s: %v", f, err)
				}
				if out.GetRecords() != 2*perShard || out.GetObject() != s.name(t, f) || !out.GetComplete() {
					t.Errorf("%s: %v", f, out)
				}
				read[f] = s.read(t, f, out.GetBytes())
			}
			for f, got := range read {
				if !slices.Equal(got, read[night.JSON]) {
					t.Errorf("%s holds other records than json: %d and %d, the first %s and %s", f, len(got), len(read[night.JSON]), got[0], read[night.JSON][0])
				}
			}
			if first := read[night.JSON][0]; first != "host=web-0 n=9007199254740993 time=1464739200000000000 word=say \"0\", twice" {
				t.Errorf("the first record is %s", first)
			}
			if last := read[night.JSON][2*perShard-1]; last != "host=web-3 late=2999 n=2999.5 time=1464785399000000000 word=false" {
				t.Errorf("the last record is %s", last)
			}
		})
	}
}

// read reads a dump back, a line for each record in the order of time.
func (s *shelf) read(t *testing.T, f night.Format, bytes int64) []string {
	t.Helper()
	var data []byte
	err := s.store.Get(t.Context(), s.task.day.String(), s.name(t, f), func(o objstore.Object, r io.Reader) (err error) {
		if o.Size != bytes || o.Meta[metaComplete] != "true" || o.Meta[metaRestore] != "1@1" {
			t.Errorf("%s: %d bytes, the event says %d; %v", f, o.Size, bytes, o.Meta)
		}
		data, err = io.ReadAll(r)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	plain, _ := f.Plain()
	switch plain {
	case night.Parquet:
		_, rows, _ = cells(t, data)
	case night.CSV:
		rows = recordsOf(t, tool(t, []byte(unpacked(t, f, data)), "python3", "-X", "utf8", "-c", csvToLines))
	case night.NDJSON:
		rows = recordsOf(t, unpacked(t, f, data))
	default:
		dec := json.NewDecoder(strings.NewReader(unpacked(t, f, data)))
		dec.UseNumber()
		if err := dec.Decode(&rows); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
	}
	lines := make([]string, 0, len(rows))
	for _, r := range rows {
		lines = append(lines, line(t, r))
	}
	slices.Sort(lines)
	slices.SortStableFunc(lines, func(x, y string) int { return strings.Compare(timeIn(x), timeIn(y)) })
	return lines
}

func timeIn(line string) string {
	_, rest, _ := strings.Cut(line, " time=")
	return rest[:19]
}

// csvToLines gives each record of a CSV dump as a line of JSON, without what is
// missing.
const csvToLines = `
import csv, json, sys
sys.stdin.reconfigure(newline="")
for r in csv.DictReader(sys.stdin, strict=True):
    print(json.dumps({k: v for k, v in r.items() if v != ""}))
`

func recordsOf(t *testing.T, text string) (rows []map[string]any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	for dec.More() {
		var r map[string]any
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	return rows
}

// line is a record as text, whatever the types of its values, the time in
// nanoseconds.
func line(t *testing.T, r map[string]any) string {
	t.Helper()
	if text, ok := r["time"].(string); ok {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		r["time"] = at.UnixNano()
	}
	var parts []string
	for k, v := range r {
		parts = append(parts, fmt.Sprintf("%s=%v", k, v))
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

func TestADumpThatMissesARecordIsNotStored(t *testing.T) {
	t.Parallel()
	s := newShelf(t, testbed.Influx18)
	from, to := s.task.day.Window(time.UTC)
	for _, f := range night.Formats() {
		counts := map[string]int64{"n": 2*perShard + 1, "word": 2 * perShard, "late": perShard}
		_, _, err := s.dumper(f).upload(t.Context(), s.task, s.name(t, f), from, to, counts, true)
		if err == nil || !strings.Contains(err.Error(), `field "n" has 6000 values, the server counts 6001`) {
			t.Errorf("%s: %v", f, err)
		}
	}
	if err := s.store.List(t.Context(), s.task.day.String(), "", func(o objstore.Object) error {
		t.Errorf("%s was stored", o.Name)
		return nil
	}); err != nil && !strings.Contains(err.Error(), "not found") {
		t.Error(err)
	}
}

func TestAnOldDumpOfAnotherFormatStays(t *testing.T) {
	t.Parallel()
	s := newShelf(t, testbed.Influx18)
	for _, f := range []night.Format{night.JSON, night.CSVGz} {
		if _, err := s.dumper(f).dump(t.Context(), s.task); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := s.objects(t), []string{s.name(t, night.CSVGz), s.name(t, night.JSON)}; !slices.Equal(got, want) {
		t.Errorf("the day holds %v, want %v", got, want)
	}
}

func TestADayWithoutRecordsKeepsNoDumpInAnyFormat(t *testing.T) {
	t.Parallel()
	s := newShelf(t, testbed.Influx18)
	for _, f := range []night.Format{night.JSON, night.Parquet, night.NDJSONGz} {
		if _, err := s.dumper(f).dump(t.Context(), s.task); err != nil {
			t.Fatal(err)
		}
	}
	s.influx.Query(t, database, `DROP MEASUREMENT "cpu"`)
	s.http.ForgetFields()
	out, err := s.dumper(night.NDJSON).dump(t.Context(), s.task)
	if err != nil || out.GetObject() != "" || out.GetRecords() != 0 {
		t.Errorf("%v, %v", out, err)
	}
	if left := s.objects(t); len(left) > 0 {
		t.Errorf("still there: %v", left)
	}
}

func TestADumpOfARestoreThatWasReplacedIsNotStored(t *testing.T) {
	t.Parallel()
	s := newShelf(t, testbed.Influx18)
	s.task.identity.RestoreID = "0@0"
	for _, f := range []night.Format{night.CSV, night.Parquet, night.JSONGz} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.dumper(f).dump(ctx, s.task); err == nil || !strings.Contains(err.Error(), "another restore has taken its place") {
			t.Errorf("%s: %v", f, err)
		}
	}
}
