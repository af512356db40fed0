package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/testbed"
)

// fillTroublesome writes what makes a shard's files hard to count: points that
// were written again, late points between the others, values of another type in
// another shard, deleted ranges, a deleted series that came back, points of
// today beyond the cut-off. Each step ends in files of its own.
func (h *house) fillTroublesome() {
	h.t.Helper()
	flush := func() { h.oldScript("2001-01-01") } // a plain backup writes the cache to files
	hours := func(format string, from, to, step int) {
		var b strings.Builder
		for m := from * 60; m < to*60; m += step {
			fmt.Fprintf(&b, format+" %d\n", m, weekday0().Add(time.Duration(m)*time.Minute).UnixNano())
		}
		h.prod.Write(h.t, database, "main", b.String())
	}
	h.fillWeek(2)
	h.fillOdd(weekday0())
	hours("again,host=a v=%di", 0, 10, 10)
	hours("late,host=a v=%d.5", 0, 10, 20)
	hours("mixed v=%di,w=true", 0, 12, 30)
	flush()
	hours("again,host=a v=%di", 5, 10, 10)
	hours("late,host=a v=%d.25", 0, 10, 7)
	hours("mixed v=\"text %d\",w=1", 12, 24, 30)
	flush()
	noon := weekday0().Add(6 * time.Hour).UnixNano()
	h.prod.Query(h.t, database, fmt.Sprintf(`DELETE FROM "late" WHERE time < %d`, noon))
	h.prod.Query(h.t, database, fmt.Sprintf(`DELETE FROM "cpu" WHERE "host" = 'web-01' AND time < %d`, noon))
	h.prod.Query(h.t, database, `DROP SERIES FROM "again"`)
	hours("again,host=a v=%di", 2, 4, 10)
	h.prod.Write(h.t, database, "main", fmt.Sprintf("now v=1i %d\nnow v=2i %d\n", time.Now().UnixNano(), time.Now().Add(time.Hour).UnixNano()))
}

// A verification that cries wolf is worse than none.
func TestVerifyFindsNothingWrongWithAGoodDay(t *testing.T) {
	t.Parallel()
	for _, prod := range []testbed.InfluxOptions{{Index: "tsi1"}, {Version: testbed.Influx16}} {
		t.Run(prod.Version+prod.Index, func(t *testing.T) {
			t.Parallel()
			h := build(t, prod, testbed.InfluxOptions{})
			h.fillTroublesome()
			h.startAll()
			h.night(&pb.BackupRequested{Day: dayName(0)}, 1)
			s := &stored{house: h, day: dayName(0)}
			if r := s.verify(t, "restored"); !r.Good || r.Shards < 10 || r.Bytes == 0 {
				t.Errorf("a good day: %+v", r)
			}
			// The same day again: staged beside the first and moved.
			h.prod.Query(t, database, `DELETE FROM "mixed" WHERE time < `+fmt.Sprint(weekday0().Add(time.Hour).UnixNano()))
			h.night(&pb.BackupRequested{Day: dayName(0), Force: true}, 1)
			if r := s.verify(t, "restored"); !r.Good {
				t.Errorf("a good day, replaced: %+v", r)
			}
		})
	}
}

// A shard that nobody touches is counted once. One that is written to while the
// backup runs is counted before and after.
func TestAShardIsCountedAgainOnlyIfItChanged(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	counts := func(made []request) int { // each begins with the measurements
		return len(slices.DeleteFunc(made, func(q request) bool { return q.side != "backup to InfluxDB" || q.kind != "SHOW MEASUREMENTS" }))
	}
	// Files that are younger than a second may belong to the backup's time.
	testbed.Eventually(t, patience, "files older than the next cut-off", func() bool {
		newest := time.Time{}
		err := filepath.WalkDir(m.prod.DataDir, func(_ string, d os.DirEntry, err error) error {
			if info, statErr := d.Info(); err == nil && statErr == nil && strings.HasSuffix(d.Name(), ".tsm") && info.ModTime().After(newest) {
				newest = info.ModTime()
			}
			return err
		})
		return err == nil && time.Since(newest) > 3*time.Second
	})
	made, failed := m.trial(t, nil)
	shards := len(m.shards) - 1 // without the metastore
	if n := counts(made); failed || n != shards {
		t.Errorf("%d counts of %d shards that nobody touched, failed: %v", n, shards, failed)
	}
	write := func() {
		m.prod.Write(t, database, "main", fmt.Sprintf("cpu,host=late idle=1 %d\n", weekday0().UnixNano()))
	}
	plan, came := once(request{side: "backup to Swift", kind: "PUT shard", n: 1}, testbed.HTTPFault{Before: write})
	made, failed = m.trial(t, plan)
	if n := counts(made); failed || !came() || n <= shards || n == 2*shards {
		t.Errorf("%d counts of %d shards, one of them written to; failed: %v", n, shards, failed)
	}
}
