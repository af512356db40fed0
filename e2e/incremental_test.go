package e2e_test

import (
	"fmt"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/testbed"
)

// keeper runs nights after which the intermediary keeps what it holds.
type keeper struct {
	*house
	next int
}

// kept runs the next night, checks that the intermediary then holds what
// production holds, and gives how many of its shards stayed.
func (k *keeper) kept(t *testing.T) (kept, shards int) {
	t.Helper()
	k.t = t
	day := dayName(k.next)
	k.next++
	_, r, _ := k.night(&pb.BackupRequested{Day: day}, 1)
	k.holds(t, day, r)
	return int(r.GetKept()), int(r.GetShards())
}

// holds checks that the intermediary holds what production holds.
func (k *keeper) holds(t *testing.T, day string, r *pb.RestoreCompleted) {
	t.Helper()
	if p, i := counts(t, k.prod, "main", "two_weeks"), counts(t, k.inter, "main", "two_weeks"); !reflect.DeepEqual(p, i) {
		t.Errorf("%s: production has %v, the intermediary %v", day, p, i)
	}
	parsed, err := night.ParseDay(day)
	must(t, err)
	d, err := night.ParseDrill(k.read(day, night.DrillObject(parsed)))
	must(t, err)
	if d.Kept != int(r.GetKept()) || len(d.Differences) > 0 {
		t.Errorf("%s: the drill says %d shards were kept, the event %d", day, d.Kept, r.GetKept())
	}
	for _, rp := range []string{"main", "two_weeks"} {
		for name := range counts(t, k.inter, rp) {
			if strings.Contains(name, "seed") {
				t.Errorf("%s: the intermediary has %s", day, name)
			}
		}
	}
}

// Whatever happened on either side since the restore before, the intermediary
// holds what production holds, and only what is certain stays.
func TestOnlyShardsThatTheIntermediaryHoldsAreKept(t *testing.T) {
	t.Parallel()
	for name, inter := range map[string]testbed.InfluxOptions{
		"1.8.10 tsi1":  {Index: "tsi1"},
		"1.8.10 inmem": {},
		"1.6.7":        {Version: testbed.Influx16},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := build(t, testbed.InfluxOptions{}, inter)
			h.fillWeek(4)
			h.startAll("NIGHTSHARD_RESTORE_MODE=incremental", "NIGHTSHARD_RESTORE_FULL_EVERY=1000", "NIGHTSHARD_MEASUREMENTS=cpu")
			k := &keeper{house: h}
			if n, _ := k.kept(t); n != 0 {
				t.Fatalf("the first restore kept %d shards", n)
			}
			for _, happening := range k.happenings() {
				t.Run(happening.name, func(t *testing.T) {
					happening.do(t)
					if n, all := k.kept(t); n != happening.kept(all) {
						t.Errorf("%d of %d shards were kept, want %d", n, all, happening.kept(all))
					}
					tried(t, "Kept by the intermediary", happening.name, "between two restores", endedRight)
				})
			}
		})
	}
}

// happening is something that happens between two restores.
type happening struct {
	name string
	kept func(all int) int
	do   func(t *testing.T)
}

func (k *keeper) happenings() []happening {
	but := func(n int) func(int) int { return func(all int) int { return all - n } }
	none := func(int) int { return 0 }
	in := func(s *testbed.InfluxServer, statement string) func(*testing.T) {
		return func(t *testing.T) { t.Helper(); s.Query(t, database, statement) }
	}
	point := func(s *testbed.InfluxServer, value string, at time.Duration) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			s.Write(t, database, "main", "cpu,host=web-00,region=eu idle="+value+" "+nanos(weekday0().Add(at))+"\n")
		}
	}
	first := "time >= '" + weekday0().Format(time.RFC3339) + "' AND time < '" + weekday0().Add(24*time.Hour).Format(time.RFC3339) + "'"
	return []happening{
		{"nothing", but(0), func(*testing.T) {}},
		{"the intermediary restarted", but(0), func(*testing.T) { k.inter.Stop(); k.inter.Start() }},
		{"a point of production written over", but(1), point(k.prod, "1.25", 12*time.Hour)},
		{"a new shard", but(1), point(k.prod, "1.5", -1000*time.Hour)},
		{"points of the intermediary deleted", but(2), in(k.inter, "DELETE FROM cpu WHERE host = 'web-00' AND "+first)},
		{"points of production deleted", but(2), func(t *testing.T) {
			t.Helper()
			k.prod.Query(t, database, "DELETE FROM cpu WHERE host = 'web-01' AND "+first)
			testbed.Eventually(t, patience, "files without the deleted points", func() bool {
				stones, err := filepath.Glob(filepath.Join(k.prod.DataDir, database, "*", "*", "*.tombstone"))
				return err == nil && len(stones) == 0
			})
		}},
		{"a point of the intermediary written over", but(1), point(k.inter, "77", 36*time.Hour)},
		{"a shard of production dropped", but(0), func(t *testing.T) {
			t.Helper()
			k.prod.Query(t, "", "DROP SHARD "+shardAt(t, k.prod, weekday0().Add(48*time.Hour)))
		}},
		{"a shard of the intermediary dropped", but(1), func(t *testing.T) {
			t.Helper()
			k.inter.Query(t, "", "DROP SHARD "+shardAt(t, k.inter, weekday0().Add(72*time.Hour)))
		}},
		{"the database dropped from the intermediary", none, in(k.inter, "DROP DATABASE "+database)},
		{"a retention policy with other shards", none, in(k.prod, "ALTER RETENTION POLICY main ON "+database+" SHARD DURATION 48h")},
		{"nothing once more", but(0), func(*testing.T) {}},
	}
}

// Every so many restores replace everything, and so does one by another service
// that knows nothing of this.
func TestTheIntermediaryIsReplacedEverySoManyNights(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(2)
	h.start("backup")
	h.start("dumper", "NIGHTSHARD_MEASUREMENTS=cpu")
	restore := h.start("restore", "NIGHTSHARD_RESTORE_MODE=incremental", "NIGHTSHARD_RESTORE_FULL_EVERY=3")
	k := &keeper{house: h}
	expect := func(wholes ...bool) {
		t.Helper()
		for i, whole := range wholes {
			if n, all := k.kept(t); whole && n != 0 || !whole && n != all {
				t.Errorf("night %d: %d of %d shards were kept", i, n, all)
			}
		}
	}
	expect(true, false, false, true, false)
	must(t, restore.stop(syscall.SIGTERM))
	restore = h.start("restore")
	expect(true)
	must(t, restore.stop(syscall.SIGTERM))
	h.start("restore", "NIGHTSHARD_RESTORE_MODE=incremental", "NIGHTSHARD_RESTORE_FULL_EVERY=1000")
	expect(true, false)
}

// A restore that is killed while the place of a shard is made anew is done in
// full by the next try: nothing is kept of a half-done one.
func TestARestoreKilledWhileItReplacesAShardIsDoneInFull(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(2)
	proxy := testbed.NewHTTPProxy(t, strings.TrimPrefix(h.inter.URL, "http://"))
	settings := []string{"NIGHTSHARD_INTERMEDIARY_URL=http://" + proxy.Addr, "NIGHTSHARD_RESTORE_MODE=incremental", "NIGHTSHARD_RESTORE_FULL_EVERY=1000"}
	h.start("backup")
	h.start("dumper", "NIGHTSHARD_MEASUREMENTS=cpu")
	restore := h.start("restore", settings...)
	k := &keeper{house: h}
	k.kept(t)
	for value, moment := range []string{"DROP SHARD", "/write?db=" + database, "DROP MEASUREMENT", "SHOW MEASUREMENTS WITH"} {
		if n, all := k.kept(t); n != all {
			t.Errorf("before %s %d of %d shards were kept", moment, n, all)
		}
		h.prod.Write(t, database, "main", fmt.Sprintf("cpu,host=web-00,region=eu idle=%d %s\n", value, nanos(weekday0())))
		killed := make(chan struct{})
		kill := sync.OnceFunc(func() { _ = restore.cmd.Process.Kill(); close(killed) })
		proxy.OnRequest(func(r testbed.HTTPRequest) testbed.HTTPFault {
			if said, _ := url.QueryUnescape(r.Path + "?" + r.Query); strings.Contains(said, moment) {
				return testbed.HTTPFault{After: kill}
			}
			return testbed.HTTPFault{}
		})
		day := dayName(k.next)
		k.next++
		seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: day})
		select {
		case <-killed:
		case <-time.After(patience):
			t.Fatalf("no %s", moment)
		}
		proxy.OnRequest(nil)
		restore = h.start("restore", settings...)
		r, e := awaitOn[*pb.RestoreCompleted](h, seq, events.RestoreCompleted, events.RestoreFailed)
		h.dumps(e.Seq, 1)
		if k.holds(t, day, r); r.GetKept() != 0 {
			t.Errorf("killed at %s: %d shards were kept", moment, r.GetKept())
		}
		tried(t, "Kept by the intermediary", "the restore killed after "+moment, "at that request", endedRight)
	}
}
