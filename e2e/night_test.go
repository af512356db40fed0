package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/testbed"
)

// answer is InfluxDB's JSON, decoded without loss.
type answer struct {
	Results []struct {
		Error  string
		Series []struct {
			Name    string
			Columns []string
			Values  [][]any
		}
	}
}

// ask runs a query on a server, by nothing of the project's.
func ask(t *testing.T, s *testbed.InfluxServer, statement string) answer {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(s.Query(t, database, statement)))
	dec.UseNumber()
	var a answer
	if err := dec.Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a
}

// records gives what a query answers as records, each as sorted JSON.
func records(t *testing.T, s *testbed.InfluxServer, statement string) []string {
	t.Helper()
	var out []string
	for _, r := range ask(t, s, statement).Results {
		for _, series := range r.Series {
			for _, row := range series.Values {
				rec := map[string]any{}
				for i, c := range series.Columns {
					if row[i] != nil {
						rec[c] = row[i]
					}
				}
				out = append(out, canon(t, rec))
			}
		}
	}
	sort.Strings(out)
	return out
}

func canon(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// dumped reads a dump's document as records, each as sorted JSON, and checks
// its form: one record a line.
func dumped(t *testing.T, data []byte) []string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var all []map[string]any
	if err := dec.Decode(&all); err != nil {
		t.Fatalf("the dump is not valid JSON: %v\n%.300s", err, data)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) != len(all)+2 || lines[0] != "[" || lines[len(lines)-1] != "]" {
		t.Fatalf("%d records in %d lines", len(all), len(lines))
	}
	var out []string
	for _, rec := range all {
		out = append(out, canon(t, rec))
	}
	sort.Strings(out)
	return out
}

// counts asks a server for the values of every field of both policies.
func counts(t *testing.T, s *testbed.InfluxServer, policies ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, rp := range policies {
		for _, r := range ask(t, s, fmt.Sprintf(`SELECT count(*) FROM "sensu_db".%q./.*/`, rp)).Results {
			for _, series := range r.Series {
				for i, c := range series.Columns[1:] {
					out[rp+"/"+series.Name+"/"+c] = fmt.Sprint(series.Values[0][i+1])
				}
			}
		}
	}
	return out
}

// sameDump holds a dump against an independent query of production.
func (h *house) sameDump(d *pb.DumpCompleted) {
	h.t.Helper()
	want := records(h.t, h.prod, fmt.Sprintf(`SELECT * FROM "sensu_db".%q.%s WHERE time >= %d AND time < %d`,
		d.GetRetentionPolicy(), quote(d.GetMeasurement()), d.GetFrom().AsTime().UnixNano(), d.GetTo().AsTime().UnixNano()))
	if len(want) == 0 {
		h.t.Fatalf("production has no record of %q on %s: the test proves nothing", d.GetMeasurement(), d.GetDay())
	}
	got := dumped(h.t, h.read(d.GetDay(), d.GetObject()))
	if !slices.Equal(got, want) {
		h.t.Errorf("dump of %q of %s: %d records, production has %d; first of each:\n%.400s\n%.400s", d.GetMeasurement(), d.GetDay(), len(got), len(want), got, want)
	}
	if d.GetRecords() != int64(len(want)) || d.GetBytes() != h.list(d.GetDay())[d.GetObject()].Size {
		h.t.Errorf("the event says %d records and %d bytes", d.GetRecords(), d.GetBytes())
	}
}

func quote(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

func TestNightEndsWithDumpsThatEqualProduction(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		prod, inter testbed.InfluxOptions
		segments    string
	}{
		{testbed.InfluxOptions{Version: testbed.Influx18}, testbed.InfluxOptions{Version: testbed.Influx18, Index: "tsi1"}, "0"},
		// All but the smallest objects are large ones, in segments: plain swift
		// and plain influxd restore must bring them back like any other.
		{testbed.InfluxOptions{Version: testbed.Influx16}, testbed.InfluxOptions{Version: testbed.Influx18}, "2048"},
		{testbed.InfluxOptions{Version: testbed.Influx18, Index: "tsi1"}, testbed.InfluxOptions{Version: testbed.Influx16}, "0"},
	} {
		t.Run(c.prod.Version+c.prod.Index+" to "+c.inter.Version+c.inter.Index, func(t *testing.T) {
			t.Parallel()
			h := build(t, c.prod, c.inter)
			h.env["NIGHTSHARD_SEGMENT_BYTES"] = c.segments
			h.fillWeek(6)
			h.fillOdd(weekday0().AddDate(0, 0, 2))
			list, err := json.Marshal([]string{"cpu", oddMeasurement, "nothing"})
			if err != nil {
				t.Fatal(err)
			}
			h.startAll("NIGHTSHARD_MEASUREMENTS=" + string(list))
			b, r, dumps := h.night(&pb.BackupRequested{Day: dayName(2)}, 3)
			h.checkNight(b, r, dumps)
			if n := len(h.list(b.GetDay() + "_segments")); (n > 25) != (c.segments != "0") {
				t.Errorf("%d segments", n)
			}
			h.checkByHand(b)
			h.checkHandover()
		})
	}
}

// checkNight holds events, objects and dumps of the third day against
// production.
func (h *house) checkNight(b *pb.BackupCompleted, r *pb.RestoreCompleted, dumps []*pb.DumpCompleted) {
	t := h.t
	t.Helper()
	if b.GetShards() < 25 || b.GetCutoff().AsTime().After(time.Now()) || b.GetContainer() != dayName(2) {
		t.Errorf("backup %+v", b)
	}
	if r.GetVerdict().GetCompared() == 0 || len(r.GetVerdict().GetDifferences()) > 0 || r.GetShards() != b.GetShards() {
		t.Errorf("restore %+v", r)
	}
	if p, i := counts(t, h.prod, "main", "two_weeks"), counts(t, h.inter, "main", "two_weeks"); !reflect.DeepEqual(p, i) {
		t.Errorf("production has %v, the intermediary %v", p, i)
	}
	listed := h.list(b.GetContainer())
	var sum int64
	for name, o := range listed {
		if strings.HasPrefix(name, night.ShardPrefix(mustDay(t, b.GetDay()))) {
			sum += o.Size
		}
		if strings.Contains(name, "/incoming/") {
			t.Errorf("%s is left over", name)
		}
	}
	if sum != b.GetBytes() {
		t.Errorf("%d bytes are stored, the event says %d", sum, b.GetBytes())
	}
	seen := map[string]bool{}
	for _, d := range dumps {
		seen[d.GetMeasurement()] = true
		if !d.GetComplete() || d.GetDay() != dayName(2) {
			t.Errorf("dump %+v", d)
		}
		if d.GetMeasurement() == "nothing" {
			if d.GetObject() != "" || d.GetRecords() != 0 {
				t.Errorf("a measurement without records: %+v", d)
			}
			continue
		}
		h.sameDump(d)
	}
	if len(seen) != 3 {
		t.Errorf("dumps of %v", seen)
	}
}

func mustDay(t *testing.T, text string) night.Day {
	t.Helper()
	d, err := night.ParseDay(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// checkByHand restores the day with the plain swift client and plain influxd
// restore into empty folders, and starts a server on them.
func (h *house) checkByHand(b *pb.BackupCompleted) {
	t := h.t
	t.Helper()
	client := testbed.SwiftClient(t)
	dir := t.TempDir()
	day := b.GetDay()
	run(t, dir, h.swift, client, "list", day, "-p", day+"/shards/")
	run(t, dir, h.swift, client, "download", day, "-p", day+"/shards/")
	files, err := filepath.Glob(filepath.Join(dir, day, "shards", "*0_.00"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%d archives of shards that end in 0: the test proves nothing", len(files))
	}
	h.checkRestorable(filepath.Join(dir, day, "shards"))
	h.checkBrought(b, filepath.Join(dir, day, "shards"))
	run(t, dir, h.swift, "sh", "-c", "for i in $("+client+" list | grep 2016-05); do "+client+" download $i -p $i/influxdb; done")
	dumps, err := filepath.Glob(filepath.Join(dir, day, "influxdb", "*.json"))
	if err != nil || len(dumps) != 2 {
		t.Errorf("the month's loop brought %v", dumps)
	}
}

// checkRestorable restores a folder with plain influxd restore into empty
// folders, starts a server on them, and compares its counts with production's.
func (h *house) checkRestorable(folder string) {
	t := h.t
	t.Helper()
	third := testbed.Influx(t, testbed.InfluxOptions{Version: testbed.Influx18})
	third.Stop()
	for _, d := range []string{third.MetaDir, third.DataDir, third.WALDir} {
		if err := os.RemoveAll(d); err != nil {
			t.Fatal(err)
		}
	}
	run(t, folder, nil, third.Binary, "restore", "-metadir", third.MetaDir, "-datadir", third.DataDir, "-database", database, folder)
	third.Start()
	if p, i := counts(t, h.prod, "main", "two_weeks"), counts(t, third, "main", "two_weeks"); !reflect.DeepEqual(p, i) {
		t.Errorf("production has %v, the restore by hand %v", p, i)
	}
}

// run runs a command as an operator would.
func run(t *testing.T, dir string, env map[string]string, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = os.Environ()
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// checkHandover holds the time between an event and the first action on it
// against nothing: it is printed. A limit in a test would fail on a busy
// machine.
func (h *house) checkHandover() {
	h.t.Helper()
	done := h.all(events.BackupCompleted)[0]
	restored := h.all(events.RestoreCompleted)[0]
	dump := h.all(events.DumpCompleted)[0]
	r, _ := restored.Message.(*pb.RestoreCompleted)
	d, _ := dump.Message.(*pb.DumpCompleted)
	h.t.Logf("backup.completed to restore: %s; restore.completed to dump: %s",
		r.GetStartedAt().AsTime().Sub(done.Time), d.GetStartedAt().AsTime().Sub(restored.Time))
}

func TestServicesStopAtOnceOnASignal(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	b, r, d := h.startAll()
	for _, p := range []*proc{b, r, d} {
		testbed.Eventually(t, time.Minute, p.name+" to wait for events", func() bool { return strings.Contains(p.logged(), "waiting for") })
		if err := p.stop(syscall.SIGTERM); err != nil {
			t.Errorf("%s ended with %v", p.name, err)
		}
	}
}
