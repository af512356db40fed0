package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/testbed"
)

// put stores an object as some other program may have.
func (h *house) put(container, name string, data []byte, meta map[string]string) {
	h.t.Helper()
	src := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	if _, err := h.store.Put(h.t.Context(), container, name, src, objstore.PutOptions{Meta: meta}); err != nil {
		h.t.Fatal(err)
	}
}

// oldScript does what the old scripts did: influxd backup, swift upload.
func (h *house) oldScript(day string) {
	h.t.Helper()
	dir := h.t.TempDir()
	folder := filepath.Join(dir, day, "shards")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		h.t.Fatal(err)
	}
	run(h.t, dir, nil, h.prod.Binary, "backup", "-database", database, "-host", h.prod.Snapshot, folder)
	run(h.t, dir, h.swift, testbed.SwiftClient(h.t), "upload", day, day)
}

func TestAnOldScriptsContainerIsRestoredFromItsListing(t *testing.T) {
	t.Parallel()
	for _, version := range []string{testbed.Influx18, testbed.Influx16} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			h := build(t, testbed.InfluxOptions{Version: version}, testbed.InfluxOptions{})
			h.fillWeek(6)
			day := dayName(3)
			h.oldScript(day)
			h.start("restore")
			seq := h.publish(events.RestoreRequested, &pb.RestoreRequested{Day: day})
			r, _ := awaitOn[*pb.RestoreCompleted](h, seq, events.RestoreCompleted, events.RestoreFailed)
			if r.GetVerdict().GetNote() != night.NoFingerprint || r.GetVerdict().GetCompared() != 0 || r.GetShards() < 25 {
				t.Errorf("restore %v", r)
			}
			if p, i := counts(t, h.prod, "main", "two_weeks"), counts(t, h.inter, "main", "two_weeks"); !reflect.DeepEqual(p, i) {
				t.Errorf("production has %v, the intermediary %v", p, i)
			}
			if d, err := night.ParseDrill(h.read(day, day+"/drill.json")); err != nil || d.Note != night.NoFingerprint {
				t.Errorf("drill %v, %v", d, err)
			}
			h.checkConverted(day)
			// It counts as finished: a past day is not replaced without force.
			h.start("backup")
			seq = h.publish(events.BackupRequested, &pb.BackupRequested{Day: day})
			f, _ := awaitOn[*pb.BackupFailed](h, seq, events.BackupFailed, events.BackupCompleted)
			if !strings.Contains(f.GetError(), "force") {
				t.Errorf("backup over an old script's day: %v", f)
			}
		})
	}
}

func TestADumpThatEndedAtTheCutoffIsCompletedTheNextNight(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(4)
	h.startAll()
	// The first night, cut off before midnight: its manifest and its dump say so.
	_, _, dumps := h.night(&pb.BackupRequested{Day: dayName(1)}, 1)
	if !dumps[0].GetComplete() {
		t.Fatalf("dump of a day long past: %v", dumps[0])
	}
	_, end := mustDay(t, dayName(1)).Window(weekday0().Location())
	h.change(dayName(1), func(m *night.Manifest) { m.Cutoff = end.Add(-5 * time.Minute) })
	h.put(dayName(1), dumps[0].GetObject(), []byte("[]\n"), map[string]string{"complete": "false"})
	// The next night writes both.
	_, _, dumps = h.night(&pb.BackupRequested{Day: dayName(2)}, 2)
	if dumps[0].GetDay() != dayName(1) || dumps[1].GetDay() != dayName(2) {
		t.Fatalf("dumps %v", dumps)
	}
	for _, d := range dumps {
		if !d.GetComplete() {
			t.Errorf("dump %v", d)
		}
		h.sameDump(d)
	}
	// The night after finds that one complete.
	_, _, dumps = h.night(&pb.BackupRequested{Day: dayName(3)}, 1)
	if dumps[0].GetDay() != dayName(3) {
		t.Errorf("dumps %v", dumps)
	}
}

func TestTodaysDumpIsMarkedIncomplete(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(1)
	h.startAll()
	b, _, dumps := h.night(&pb.BackupRequested{}, 1)
	if dumps[0].GetComplete() || dumps[0].GetObject() != "" {
		t.Errorf("dump of today: %v", dumps[0])
	}
	// A request for a past day, from what the intermediary holds.
	seq := h.publish(events.DumpRequested, &pb.DumpRequested{Measurement: "mem", RetentionPolicy: "two_weeks", From: dayName(0)})
	d, _ := awaitOn[*pb.DumpCompleted](h, seq, events.DumpCompleted, events.DumpFailed)
	h.sameDump(d)
	if !d.GetComplete() || b.GetDay() == d.GetDay() {
		t.Errorf("dump %v", d)
	}
}

func TestOfflineRestoreWritesTheFoldersAndKeepsTheRest(t *testing.T) {
	t.Parallel()
	for _, inter := range []testbed.InfluxOptions{{}, {Index: "tsi1"}, {Version: testbed.Influx16}} {
		t.Run(inter.Version+inter.Index, func(t *testing.T) {
			t.Parallel()
			h := build(t, testbed.InfluxOptions{}, inter)
			h.fillWeek(5)
			h.inter.CreateDatabase(t, "other")
			h.inter.Write(t, "other", "", "kept v=1 1464739200000000000\n")
			stop, start := control(t, h.inter)
			h.env["NIGHTSHARD_RESTORE_MODE"] = "offline"
			h.env["NIGHTSHARD_RESTORE_METADIR"], h.env["NIGHTSHARD_RESTORE_DATADIR"] = h.inter.MetaDir, h.inter.DataDir
			h.env["NIGHTSHARD_RESTORE_STOP"], h.env["NIGHTSHARD_RESTORE_START"] = stop, start
			h.startAll()
			for n := range 2 {
				_, r, dumps := h.night(&pb.BackupRequested{Day: dayName(n)}, 1)
				if len(r.GetVerdict().GetDifferences()) > 0 || r.GetVerdict().GetCompared() == 0 {
					t.Errorf("restore %v", r)
				}
				h.sameDump(dumps[0])
				if p, i := counts(t, h.prod, "main", "two_weeks"), counts(t, h.inter, "main", "two_weeks"); !reflect.DeepEqual(p, i) {
					t.Errorf("production has %v, the intermediary %v", p, i)
				}
			}
			if got := records(t, h.inter, `SELECT * FROM "other"."autogen"."kept"`); len(got) != 1 {
				t.Errorf("the other database has %v", got)
			}
		})
	}
}

// control gives commands that stop and start a server of the testbed, and
// return when they have. The server stays the test's child.
func control(t *testing.T, s *testbed.InfluxServer) (stop, start string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/stop", func(http.ResponseWriter, *http.Request) { s.Stop() })
	mux.HandleFunc("/start", func(http.ResponseWriter, *http.Request) { s.Start() })
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return "curl -sSf " + srv.URL + "/stop", fmt.Sprintf(`["curl","-sSf","%s/start"]`, srv.URL)
}

// A field may have another type in another shard. InfluxDB's SELECT * over both
// leaves rows out without a word.
func TestAFieldThatChangedItsTypeIsDumpedWhole(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(1) // a shard each 12 hours
	var lines strings.Builder
	for i := range 24 {
		at := weekday0().Add(time.Duration(i) * time.Hour).UnixNano()
		if i < 12 {
			fmt.Fprintf(&lines, "mixed v=%d,w=1i %d\n", i, at)
		} else {
			fmt.Fprintf(&lines, "mixed v=\"text %d\",w=true %d\n", i, at)
		}
	}
	h.prod.Write(t, database, "main", lines.String())
	h.env["NIGHTSHARD_MEASUREMENTS"] = "mixed"
	h.startAll()
	_, _, dumps := h.night(&pb.BackupRequested{Day: dayName(0)}, 1)
	var want []string
	for half := range 2 {
		from := weekday0().Add(time.Duration(half) * 12 * time.Hour)
		want = append(want, records(t, h.prod, fmt.Sprintf(`SELECT * FROM "sensu_db"."main"."mixed" WHERE time >= %d AND time < %d`,
			from.UnixNano(), from.Add(12*time.Hour).UnixNano()))...)
	}
	slices.Sort(want)
	if got := dumped(t, h.read(dayName(0), dumps[0].GetObject())); len(want) != 24 || !slices.Equal(got, want) {
		t.Errorf("%d records, want %d:\n%s", len(got), len(want), got)
	}
}

func TestARestoreOfADayThatIsNotThereDoesNotHoldTheNight(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(1)
	h.startAll()
	seq := h.publish(events.RestoreRequested, &pb.RestoreRequested{Day: "2001-01-01"})
	f, _ := awaitOn[*pb.RestoreFailed](h, seq, events.RestoreFailed, events.RestoreCompleted)
	if f.GetAttempts() != 1 || !strings.Contains(f.GetError(), "2001-01-01") {
		t.Errorf("restore of a day without a container: %v", f)
	}
	_, _, dumps := h.night(&pb.BackupRequested{Day: dayName(0)}, 1)
	h.sameDump(dumps[0])
}
