package tsm_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"nightshard/shared/tsm"
)

func TestTombstonesOfAllVersionsAreRead(t *testing.T) {
	t.Parallel()
	r := seeded(t, 20)
	records := []record{{key("m,h=a", "v"), 5, 9}, {key(`odd\ name`, "fi eld"), math.MinInt64, math.MaxInt64}, {key("m,h=a", "v"), 30, 40}}
	for version := 1; version <= 4; version++ {
		f := files{"1.tombstone": tombstone(version, records...), "1.tsm": mixedTSM(r, start, 1, 5)}
		a, err := tsm.Verify(iotest.OneByteReader(bytes.NewReader(f.pack(t, "db/rp/1"))), tsm.Options{})
		if err != nil || a.Files[0].Keys != 3 {
			t.Errorf("version %d: %+v, %v", version, a, err)
		}
	}
}

func TestTombstonesWithoutRecordsAreRead(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{
		"empty": nil, "v2": tombstone(2), "v3": tombstone(3), "v4": tombstone(4), "v4 of one empty delete": append(tombstone(4), zipped(nil)...),
	} {
		a, err := tsm.Verify(bytes.NewReader(files{"1.tombstone": b}.pack(t, "db/rp/1")), tsm.Options{Tombstones: true, Count: true})
		if err != nil || a.Files[0].Keys != 0 {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

func TestBrokenTombstonesAreRefused(t *testing.T) {
	t.Parallel()
	one := record{key("m,h=a", "v"), 5, 9}
	v2, v4 := tombstone(2, one, one), tombstone(4, one, one)
	broken := map[string][]byte{
		"text":                 []byte("hello\nworld\n"),
		"v1 without separator": []byte(one.key + "\nm,h=b\n"),
		"v2 cut in the key":    v2[:12],
		"v2 cut in the time":   v2[:len(v2)-1],
		"v2 long key":          append(bytes.Clone(v2), 0x7f, 0, 0, 0, 1, 2, 3),
		"v3 cut":               tombstone(3, one)[:20],
		"v4 cut":               v4[:len(v4)-5],
		"v4 bytes behind":      append(bytes.Clone(v4), "not gzip"...),
		"v4 one byte behind":   append(bytes.Clone(v4), 0x1f),
		"v4 half a record":     append(tombstone(4), zipped(recordBytes(one)[:9])...),
	}
	for name, b := range broken {
		if _, err := tsm.Verify(bytes.NewReader(files{"1.tombstone": b}.pack(t, "db/rp/1")), tsm.Options{}); !isCorrupt(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// apply is what a tombstone does, said in a simple way.
func apply(points map[string][]point, records []record) map[string][]point {
	left := map[string][]point{}
	for k, all := range points {
		for _, p := range all {
			gone := slices.ContainsFunc(records, func(r record) bool { return r.key == k && r.min <= p.Time && p.Time <= r.max })
			if !gone {
				left[k] = append(left[k], p)
			}
		}
	}
	return left
}

// randomRecords deletes whole keys, whole blocks, parts, single points.
func randomRecords(r *rand.Rand, points map[string][]point) (out []record) {
	for _, k := range slices.Sorted(maps.Keys(points)) {
		all := points[k]
		for range r.IntN(3) {
			a, b := r.IntN(len(all)), r.IntN(len(all))
			a, b = min(a, b), max(a, b)
			switch r.IntN(4) {
			case 0:
				out = append(out, record{k, math.MinInt64, math.MaxInt64})
			case 1:
				out = append(out, record{k, all[a].Time, all[a].Time})
			case 2:
				out = append(out, record{k, all[a].Time + 1, all[b].Time})
			default:
				out = append(out, record{k, all[a].Time, all[b].Time})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b record) int { return cmp.Compare(a.max, b.max) })
	return out
}

func TestTombstonesLeaveExactlyWhatWasNotDeleted(t *testing.T) {
	t.Parallel()
	r := seeded(t, 21)
	for round := range 40 {
		b := mixedTSM(r, start, 1+r.IntN(4), 1+r.IntN(80))
		points, err := tsm.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		records := randomRecords(r, points)
		records = append(records, record{key("unknown", "v"), math.MinInt64, math.MaxInt64})
		f := files{"1-1.tombstone": tombstone(2+r.IntN(3), records...), "1-1.tsm": b, "2-1.tsm": mixedTSM(r, start, 1, 3)}
		o := tsm.Options{Tombstones: true, Rename: tsm.RenameInto("db/rp/99"), Count: true}
		if round%2 == 1 {
			o.Memory, o.Spool = 1, spoolIn(t)
		}
		reader := tsm.NewReader(iotest.HalfReader(bytes.NewReader(f.pack(t, "db/rp/1"))), o)
		archive := read(t, reader)
		_, got := unpack(t, archive)
		if !bytes.Equal(got["2-1.tsm"], f["2-1.tsm"]) {
			t.Fatal("a file without a tombstone was changed")
		}
		checkApplied(t, got["1-1.tsm"], apply(points, records))
		a, err := tsm.Verify(bytes.NewReader(archive), tsm.Options{Count: true})
		if err != nil {
			t.Fatal(err)
		}
		sent := reader.Archive()
		if fmt.Sprint(a.Files) != fmt.Sprint(sent.Sent) {
			t.Fatalf("said to have sent\n%v, sent\n%v", sent.Sent, a.Files)
		}
		if fmt.Sprint(a.Counts) != fmt.Sprint(sent.Counts) {
			t.Fatalf("counts\n%v of\n%v", sent.Counts, a.Counts)
		}
	}
}

func checkApplied(t *testing.T, b []byte, want map[string][]point) {
	t.Helper()
	got := map[string][]point{}
	if b != nil {
		var err error
		if got, err = tsm.Decode(b); err != nil {
			t.Fatal(err)
		}
	}
	for k := range want {
		if fmt.Sprint(got[k]) != fmt.Sprint(want[k]) {
			t.Fatalf("%s: %v\nwant %v", k, got[k], want[k])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d keys, want %d", len(got), len(want))
	}
}

// spoolIn gives spools that must all be closed at the test's end.
func spoolIn(t *testing.T) func() (tsm.Spool, error) {
	t.Helper()
	dir, opened := t.TempDir(), 0
	var all []*spool
	t.Cleanup(func() {
		for _, s := range all {
			if s.closed != 1 {
				t.Errorf("a spool was closed %d times", s.closed)
			}
		}
	})
	return func() (tsm.Spool, error) {
		opened++
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(opened)))
		all = append(all, &spool{File: f})
		return all[len(all)-1], err
	}
}

type spool struct {
	*os.File
	closed int
}

func (s *spool) Close() error {
	s.closed++
	return s.File.Close()
}

func TestFileWithoutAnythingLeftIsLeftOut(t *testing.T) {
	t.Parallel()
	r := seeded(t, 22)
	k := key("m,h=a", "v")
	b := buildTSM(series{key: k, blocks: [][]point{makePoints(r, "int", start, 10, false), makePoints(r, "int", start+1000*second, 10, true)}})
	// The first block goes whole, the second one point by point.
	points, _ := tsm.Decode(b)
	records := []record{{k, math.MinInt64, start + 500*second}}
	for _, p := range points[k][10:] {
		records = append(records, record{k, p.Time, p.Time})
	}
	f := files{"1.tombstone": tombstone(4, records...), "1.tsm": b}
	reader := tsm.NewReader(bytes.NewReader(f.pack(t, "db/rp/1")), tsm.Options{Tombstones: true, Count: true})
	if got := read(t, reader); !bytes.Equal(got, make([]byte, 1024)) {
		t.Errorf("%d bytes", len(got))
	}
	if a := reader.Archive(); len(a.Sent) != 0 || len(a.Files) != 2 || len(a.Counts) != 0 {
		t.Errorf("%+v", a)
	}
}

func TestTombstoneConcernsItsOwnFileOnly(t *testing.T) {
	t.Parallel()
	r := seeded(t, 23)
	k := key("m", "v")
	b := func() []byte {
		return buildTSM(series{key: k, blocks: [][]point{makePoints(r, "int", start, 10, true)}})
	}
	f := files{"1.tombstone": tombstone(4, record{k, math.MinInt64, math.MaxInt64}), "1.tsm": b(), "2.tsm": b(), "3.tombstone": tombstone(4, record{k, 0, 1}), "4.tsm": b()}
	_, got := unpack(t, read(t, tsm.NewReader(bytes.NewReader(f.pack(t, "db/rp/1")), tsm.Options{Tombstones: true})))
	if len(got) != 2 || !bytes.Equal(got["2.tsm"], f["2.tsm"]) || !bytes.Equal(got["4.tsm"], f["4.tsm"]) {
		t.Errorf("left are %v", slices.Sorted(maps.Keys(got)))
	}
}

func TestFileAboveTheMemoryNeedsASpool(t *testing.T) {
	t.Parallel()
	r := seeded(t, 24)
	b := mixedTSM(r, start, 1, 50)
	f := files{"1.tombstone": tombstone(4, record{key("m", "v"), 1, 2}), "1.tsm": b}
	archive := f.pack(t, "db/rp/1")
	_, err := tsm.Verify(bytes.NewReader(archive), tsm.Options{Tombstones: true, Memory: 100})
	if err == nil || !strings.Contains(err.Error(), "1.tsm") || isCorrupt(err) {
		t.Errorf("no spool: %v", err)
	}
	full := errors.New("disk full")
	none := func() (tsm.Spool, error) { return nil, full }
	if _, err := tsm.Verify(bytes.NewReader(archive), tsm.Options{Tombstones: true, Memory: 100, Spool: none}); !errors.Is(err, full) {
		t.Errorf("broken spool: %v", err)
	}
	// A file that a tombstone does not concern passes unchanged in content.
	got := read(t, tsm.NewReader(bytes.NewReader(archive), tsm.Options{Tombstones: true, Memory: 100, Spool: spoolIn(t)}))
	if _, contents := unpack(t, got); !bytes.Equal(contents["1.tsm"], b) {
		t.Error("the file was changed")
	}
}

func TestSpoolIsClosedAfterAnErrorAndByClose(t *testing.T) {
	t.Parallel()
	r := seeded(t, 25)
	f := files{"1.tombstone": tombstone(4, record{key("m", "v"), 1, 2}), "1.tsm": mixedTSM(r, start, 1, 500)}
	archive := f.pack(t, "db/rp/1")
	o := tsm.Options{Tombstones: true, Memory: 100, Spool: spoolIn(t)}
	if _, err := tsm.Verify(bytes.NewReader(archive[:len(archive)/2]), o); !isCorrupt(err) {
		t.Errorf("cut: %v", err)
	}
	reader := tsm.NewReader(bytes.NewReader(archive), o)
	if _, err := io.CopyN(io.Discard, reader, 1000); err != nil {
		t.Fatal(err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTombstoneThatTakesTooMuchMemoryIsAnError(t *testing.T) {
	t.Parallel()
	one := record{key("m,h="+strings.Repeat("x", 60000), "v"), 1, 2}
	member := zipped(recordBytes(slices.Repeat([]record{one}, 20)...))
	f := files{"1.tombstone": append(tombstone(4), bytes.Repeat(member, 60)...)}
	archive := f.pack(t, "db/rp/1")
	if _, err := tsm.Verify(bytes.NewReader(archive), tsm.Options{Tombstones: true}); err == nil {
		t.Error("applied")
	}
}
