package influx_test

import (
	"os"
	"testing"
	"time"

	"nightshard/shared/influx"
	"nightshard/shared/testbed"
)

// reading reads a shard as it is now: in files, and known.
func (s *server) reading(t *testing.T, id uint64) influx.Reading {
	t.Helper()
	if err := s.snap.Flush(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	clock, err := s.http.Clock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if off := time.Since(clock).Abs(); off > time.Minute {
		t.Errorf("the clock of a server on this machine is off by %s", off)
	}
	files, err := s.http.Files(t.Context(), "d")
	if err != nil || files[id].Files == 0 {
		t.Fatalf("files %v, %v", files, err)
	}
	fileClockPasses(t, clock)
	return influx.Reading{Since: clock, FilesState: files[id]}
}

// fileClockPasses waits until files get a time after an instant: the kernel stamps
// them by a clock that is behind by up to a tick.
func fileClockPasses(t *testing.T, at time.Time) {
	t.Helper()
	dir := t.TempDir()
	testbed.Eventually(t, time.Minute, "a file that is newer than the reading", func() bool {
		f, err := os.CreateTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		info, err := f.Stat()
		return err == nil && info.ModTime().After(at)
	})
}

// changed says whether a shard is no longer what was read of it.
func (s *server) changed(t *testing.T, id uint64, r influx.Reading) bool {
	t.Helper()
	why, err := influx.Changed(t.Context(), s.http, s.snap, "d", map[uint64]influx.Reading{id: r}, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(why)
	return why[id] != nil
}

// Whatever happens to a shard, it is seen, also what is in memory only.
func TestChangedShardsAreSeen(t *testing.T) {
	t.Parallel()
	for _, version := range []string{testbed.Influx18, testbed.Influx16} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s, id := oneShard(t, version)
			r := s.reading(t, id)
			if s.changed(t, id, r) {
				t.Error("nothing happened")
			}
			if !s.changed(t, id+1, r) {
				t.Error("a shard that is not there did not change")
			}
			s.write(t, "d", "", points("m", start().Add(time.Minute), time.Second, 1))
			if !s.changed(t, id, r) {
				t.Error("a point in memory is not seen")
			}
			r = s.reading(t, id)
			s.Stop()
			s.Start()
			if version == testbed.Influx18 && s.changed(t, id, r) {
				t.Error("a restart is taken for a change")
			}
			// A server of 1.6 reads its log anew, and writes it once more.
			r = s.reading(t, id)
			s.Query(t, "d", "DELETE FROM m WHERE time = '"+start().Format(time.RFC3339)+"'")
			if !s.changed(t, id, r) {
				t.Error("a deleted point is not seen")
			}
			r = s.reading(t, id)
			s.Query(t, "d", "DROP MEASUREMENT m")
			testbed.Eventually(t, time.Minute, "a shard without a file", func() bool {
				files, err := s.http.Files(t.Context(), "d")
				return err == nil && files[id].Files == 0
			})
			if !s.changed(t, id, r) {
				t.Error("a shard of which nothing is left is not seen")
			}
		})
	}
}
