package e2e_test

import (
	"fmt"
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
