package e2e_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/testbed"
)

// never is a NIGHTSHARD_FULL_EVERY for tests in which no shard's turn comes.
const never = "NIGHTSHARD_FULL_EVERY=100000"

// age has production write what it holds to files, and makes these files old: a
// shard is carried forward only if nothing of it is new.
func (h *house) age() {
	t := h.t
	t.Helper()
	run(t, t.TempDir(), nil, h.prod.Binary, "backup", "-database", database, "-host", h.prod.Snapshot, t.TempDir())
	h.prod.Stop()
	old := time.Now().Add(-3 * time.Hour)
	must(t, filepath.WalkDir(h.prod.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chtimes(path, old, old)
	}))
	h.prod.Start()
}

// carriers runs nights on days after each other.
type carriers struct {
	*house
	next int
}

// carried runs the next night, checks that it ended right, and gives how many of
// its shards were copied.
func (c *carriers) carried(t *testing.T) (carried, shards int) {
	t.Helper()
	c.t = t
	day := dayName(c.next)
	c.next++
	b, r, _ := c.night(&pb.BackupRequested{Day: day}, 1)
	if p, i := counts(t, c.prod, "main", "two_weeks"), counts(t, c.inter, "main", "two_weeks"); !reflect.DeepEqual(p, i) {
		t.Errorf("%s: production has %v, the intermediary %v", day, p, i)
	}
	m := c.manifest(day)
	if n := m.CarriedForward(); n != int(b.GetCarriedForward()) || len(r.GetVerdict().GetDifferences()) > 0 {
		t.Errorf("%s: the manifest has %d carried shards, the event %d", day, n, b.GetCarriedForward())
	}
	return m.CarriedForward(), len(m.Shards)
}

// Whatever happens to a shard between two nights, what is copied is what
// production has.
func TestOnlyUnchangedShardsAreCarriedForward(t *testing.T) {
	t.Parallel()
	for _, version := range []string{testbed.Influx18, testbed.Influx16} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			h := build(t, testbed.InfluxOptions{Version: version, Config: map[string]string{
				"INFLUXDB_DATA_COMPACT_FULL_WRITE_COLD_DURATION": "2s",
			}}, testbed.InfluxOptions{})
			h.fillWeek(5)
			h.age()
			h.startAll(never, "NIGHTSHARD_MEASUREMENTS=cpu")
			c := &carriers{house: h}
			if n, _ := c.carried(t); n != 0 {
				t.Fatalf("the first night carried %d shards", n)
			}
			n, all := c.carried(t)
			if n != all || all < 20 {
				t.Fatalf("%d of %d unchanged shards were carried", n, all)
			}
			for _, change := range c.changes() {
				before := n
				t.Run(change.name, func(t *testing.T) {
					change.do(t)
					if n, _ = c.carried(t); n != before-change.shards {
						t.Errorf("%d shards were carried, before it were %d; %d changed", n, before, change.shards)
					}
					tried(t, "Carried forward", change.name, "between two nights", endedRight)
				})
			}
		})
	}
}

// change is something that happens to production between two nights. Files stay
// new for an hour: a shard that changed is streamed in all later nights of the
// test.
type change struct {
	name   string
	shards int // how many change
	do     func(t *testing.T)
}

func (c *carriers) changes() []change {
	query := func(statement string) func(*testing.T) {
		return func(t *testing.T) { t.Helper(); c.prod.Query(t, database, statement) }
	}
	at := func(d time.Duration) string { return weekday0().Add(d).Format(time.RFC3339) }
	return []change{
		{"nothing", 0, func(*testing.T) {}},
		{"production restarted", 0, func(*testing.T) { c.prod.Stop(); c.prod.Start() }},
		{"late points", 1, func(t *testing.T) {
			t.Helper()
			c.prod.Write(t, database, "main", "cpu,host=late idle=1 "+nanos(weekday0().Add(time.Hour))+"\n")
		}},
		{"points written over with others", 1, func(t *testing.T) {
			t.Helper()
			c.prod.Write(t, database, "main", "cpu,host=web-00,region=eu idle=1.25 "+nanos(weekday0().Add(12*time.Hour))+"\n")
		}},
		{"points deleted", 2, query("DELETE FROM cpu WHERE host = 'web-01' AND time >= '" + at(24*time.Hour) + "' AND time < '" + at(48*time.Hour) + "'")},
		{"all points of a shard deleted, its files gone", 1, func(t *testing.T) {
			t.Helper()
			c.prod.Query(t, database, "DELETE FROM cpu WHERE time >= '"+at(48*time.Hour)+"' AND time < '"+at(60*time.Hour)+"'")
			c.filesGone(t)
		}},
		{"a shard dropped and written anew", 1, func(t *testing.T) {
			t.Helper()
			id := shardAt(t, c.prod, weekday0().Add(60*time.Hour))
			c.prod.Query(t, "", "DROP SHARD "+id)
			c.prod.Write(t, database, "main", "cpu,host=anew idle=1 "+nanos(weekday0().Add(61*time.Hour))+"\n")
		}},
		{"a measurement dropped", 15, query("DROP MEASUREMENT mem")},
	}
}

// shardAt is the id of the shard of the policy main that begins at a time.
func shardAt(t *testing.T, server *testbed.InfluxServer, at time.Time) string {
	t.Helper()
	for _, s := range ask(t, server, "SHOW SHARDS").Results[0].Series {
		for _, row := range s.Values {
			if row[1] == database && row[2] == "main" && row[4] == at.Format(time.RFC3339) {
				return row[0].(interface{ String() string }).String()
			}
		}
	}
	t.Fatalf("no shard begins at %s", at)
	return ""
}

// filesGone waits until compaction has left a shard of "main" without a file.
func (c *carriers) filesGone(t *testing.T) {
	t.Helper()
	testbed.Eventually(t, patience, "a shard without a file", func() bool {
		folders, err := filepath.Glob(filepath.Join(c.prod.DataDir, database, "main", "*"))
		return err == nil && slices.ContainsFunc(folders, func(folder string) bool {
			files, err := filepath.Glob(filepath.Join(folder, "*.t*"))
			return err == nil && len(files) == 0
		})
	})
}

// What is carried forward must be proved, and there.
func TestACopyComesFromAGoodSource(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(3)
	h.age()
	backup, restore, _ := h.startAll(never, "NIGHTSHARD_MEASUREMENTS=cpu")
	c := &carriers{house: h}
	c.carried(t)
	_, all := c.carried(t)
	object := func(n int) string { return c.manifest(dayName(c.next - 1)).Shards[n].Object }
	expect := func(t *testing.T, what string, want int) {
		t.Helper()
		if n, _ := c.carried(t); n != want {
			t.Errorf("%s: %d of %d shards were carried, want %d", what, n, all, want)
		}
		tried(t, "Carried forward", what, "the day that is copied from", endedRight)
	}
	must(t, h.store.Delete(t.Context(), dayName(1), object(0)))
	expect(t, "archive missing", all-1)
	h.put(dayName(2), object(1), []byte("something else"), nil)
	expect(t, "archive replaced", all-1)
	d := &disk{stored: &stored{house: h}}
	d.flipFile(t, dayName(3), object(2))
	expect(t, "bit changed on Swift's disk", all-1)

	// A day that no restore proved is passed over.
	must(t, restore.stop(syscall.SIGTERM))
	seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: dayName(c.next)})
	awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
	unproved, object0 := dayName(c.next), c.manifest(dayName(c.next)).Shards[0].Object
	data := h.read(unproved, object0)
	h.put(unproved, object0, []byte("nobody looks there"), nil)
	c.next++
	seq = h.publish(events.BackupRequested, &pb.BackupRequested{Day: dayName(c.next)})
	_, e := awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
	if n := c.manifest(dayName(c.next)).CarriedForward(); n != all {
		t.Errorf("after a day without a drill %d of %d shards were carried", n, all)
	}
	h.put(unproved, object0, data, nil)
	h.start("restore")
	h.await("the restore of both days", e.Seq, func(e events.Event) bool {
		r, ok := e.Message.(*pb.RestoreCompleted)
		return ok && r.GetDay() == dayName(c.next)
	})
	c.next++
	expect(t, "no drill", all)

	must(t, backup.stop(syscall.SIGTERM))
	h.start("backup", "NIGHTSHARD_FULL_EVERY=1")
	if n, _ := c.carried(t); n != 0 {
		t.Errorf("a full night carried %d shards", n)
	}
}

// A day whose restore failed is passed over, and so is one of another server.
func TestADayThatProvesNothingIsNoSource(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(2)
	h.age()
	h.startAll(never, "NIGHTSHARD_MEASUREMENTS=cpu")
	c := &carriers{house: h}
	c.carried(t)
	for name, spoil := range map[string]func(day string){
		"a drill that failed": func(day string) {
			object := day + "/drill.json"
			d, err := night.ParseDrill(h.read(day, object))
			must(t, err)
			d.Passed = false
			data, err := d.Encode()
			must(t, err)
			h.put(day, object, data, nil)
		},
		"a day of another server": func(day string) {
			h.change(day, func(m *night.Manifest) { m.Production.ClusterID = "1" })
		},
	} {
		if n, all := c.carried(t); n != all {
			t.Errorf("before %s %d of %d shards were carried", name, n, all)
		}
		day := dayName(c.next - 1)
		object := c.manifest(day).Shards[0].Object
		spoil(day)
		h.put(day, object, []byte("nobody looks there"), nil)
		if n, all := c.carried(t); n != all {
			t.Errorf("%s was copied from: %d of %d shards were carried", name, n, all)
		}
		tried(t, "Carried forward", name, "the newest day", endedRight)
	}
}

// Each day stands alone, large objects included.
func TestACarriedDayStandsAlone(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(3)
	h.age()
	h.env["NIGHTSHARD_SEGMENT_BYTES"] = "2048"
	h.startAll(never, "NIGHTSHARD_MEASUREMENTS=cpu")
	c := &carriers{house: h}
	c.carried(t)
	if n, all := c.carried(t); n != all {
		t.Errorf("%d of %d shards were carried", n, all)
	}
	// The day run again: copied beside it first.
	c.next--
	b, _, _ := h.night(&pb.BackupRequested{Day: dayName(c.next), Force: true}, 1)
	if b.GetCarriedForward() != b.GetShards() {
		t.Errorf("the second run carried %d of %d shards", b.GetCarriedForward(), b.GetShards())
	}
	for _, container := range []string{dayName(0), dayName(0) + "_segments"} {
		for name := range h.list(container) {
			must(t, h.store.Delete(t.Context(), container, name))
		}
	}
	for name := range h.list(dayName(1)) {
		if strings.Contains(name, "/incoming/") {
			t.Errorf("%s is left over", name)
		}
	}
	s := &stored{house: h, day: dayName(1)}
	if r := s.verify(t, night.LevelRestored.String()); !r.Good {
		t.Errorf("without the day before: %v", r.Problems)
	}
	seq := h.publish(events.RestoreRequested, &pb.RestoreRequested{Day: dayName(1)})
	awaitOn[*pb.RestoreCompleted](h, seq, events.RestoreCompleted, events.RestoreFailed)
	if p, i := counts(t, h.prod, "main", "two_weeks"), counts(t, h.inter, "main", "two_weeks"); !reflect.DeepEqual(p, i) {
		t.Errorf("production has %v, the intermediary %v", p, i)
	}
}
