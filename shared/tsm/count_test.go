package tsm_test

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"testing"
	"time"

	"nightshard/shared/tsm"
)

// counted verifies an archive of files and gives its counts.
func counted(t *testing.T, f files) *tsm.Archive {
	t.Helper()
	a, err := tsm.Verify(bytes.NewReader(f.pack(t, "db/rp/1")), tsm.Options{Count: true})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestValuesAreCountedByMeasurementAndField(t *testing.T) {
	t.Parallel()
	r := seeded(t, 30)
	ints := func(from int64, n int) []point { return makePoints(r, "int", start+from*second, n, true) }
	a := counted(t, files{
		"1.tsm": buildTSM(
			series{key: key("cpu,host=a", "idle"), blocks: [][]point{ints(0, 10), ints(1000, 20)}},
			series{key: key("cpu,host=a", "user"), blocks: [][]point{ints(0, 7)}},
			series{key: key("cpu,host=b", "idle"), blocks: [][]point{ints(0, 3)}},
			series{key: key(`odd\,na\ me\=x,t=a\,b`, `f i,e=l"d`), blocks: [][]point{ints(0, 4)}},
		),
		"2.tsm": buildTSM(series{key: key("cpu,host=a", "idle"), packed: true, blocks: [][]point{ints(2000, 100)}}),
	})
	want := map[tsm.FieldKey]int64{
		{Measurement: "cpu", Field: "idle"}:               133,
		{Measurement: "cpu", Field: "user"}:               7,
		{Measurement: `odd,na me\=x`, Field: `f i,e=l"d`}: 4,
	}
	if !maps.Equal(a.Counts, want) || !maps.Equal(a.Least, want) || len(a.Inexact) != 0 {
		t.Errorf("counts %v, inexact %v", a.Counts, a.Inexact)
	}
}

func TestOverlappingBlocksMakeACountInexact(t *testing.T) {
	t.Parallel()
	r := seeded(t, 31)
	points := makePoints(r, "int", start, 10, false)
	a := counted(t, files{
		"1.tsm": buildTSM(series{key: key("m,h=a", "over"), blocks: [][]point{points}}, series{key: key("m,h=a", "plain"), blocks: [][]point{points}}),
		"2.tsm": buildTSM(series{key: key("m,h=a", "over"), blocks: [][]point{points[9:]}}, series{key: key("m,h=b", "plain"), blocks: [][]point{points}}),
	})
	over, plain := tsm.FieldKey{Measurement: "m", Field: "over"}, tsm.FieldKey{Measurement: "m", Field: "plain"}
	if a.Counts[over] != 11 || a.Least[over] != 10 || !a.Inexact[over] || a.Counts[plain] != 20 || a.Least[plain] != 20 || a.Inexact[plain] {
		t.Errorf("counts %v, inexact %v", a.Counts, a.Inexact)
	}
}

func TestDeletedBlocksAreNotCounted(t *testing.T) {
	t.Parallel()
	r := seeded(t, 32)
	blocks := [][]point{makePoints(r, "int", start, 10, true), makePoints(r, "int", start+1000*second, 10, true)}
	f := files{
		"1.tombstone": tombstone(4,
			record{key("m", "gone"), math.MinInt64, math.MaxInt64},
			record{key("m", "half"), start + 500*second, start + 5000*second},
			record{key("m", "part"), start + 1050*second, start + 5000*second}),
		"1.tsm": buildTSM(series{key: key("m", "gone"), blocks: blocks}, series{key: key("m", "half"), blocks: blocks}, series{key: key("m", "part"), blocks: blocks}),
		"2.tsm": buildTSM(series{key: key("m", "half"), blocks: blocks[1:]}),
	}
	a := counted(t, f)
	half, part := tsm.FieldKey{Measurement: "m", Field: "half"}, tsm.FieldKey{Measurement: "m", Field: "part"}
	if len(a.Counts) != 2 || a.Counts[half] != 20 || a.Inexact[half] || a.Counts[part] != 20 || !a.Inexact[part] || a.Least[part] != 10 || a.Least[half] != 20 {
		t.Errorf("counts %v, at least %v, inexact %v", a.Counts, a.Least, a.Inexact)
	}
	// Rewritten, the archive counts exactly.
	applied, err := tsm.Verify(bytes.NewReader(f.pack(t, "db/rp/1")), tsm.Options{Count: true, Tombstones: true})
	if err != nil || applied.Counts[part] >= 20 || applied.Counts[part] < 14 || len(applied.Inexact) != 0 {
		t.Errorf("applied: counts %v, inexact %v, %v", applied.Counts, applied.Inexact, err)
	}
}

// The count and its bound hold for any mix of files, whatever overlaps, is
// deleted or lies beyond the limit.
func TestCountsBoundWhatIsThere(t *testing.T) {
	t.Parallel()
	r := seeded(t, 33)
	for range 300 {
		f, there := files{}, map[int64]bool{}
		until := start + int64(r.IntN(400))*second
		for n := range 1 + r.IntN(4) {
			points := makePoints(r, "int", start+int64(r.IntN(300))*second, 1+r.IntN(30), false)
			blocks := [][]point{points}
			if cut := r.IntN(len(points)); cut > 0 {
				blocks = [][]point{points[:cut], points[cut:]}
			}
			gone := record{key("m", "f"), start + int64(r.IntN(300))*second, start + int64(r.IntN(400))*second}
			if r.IntN(2) == 0 {
				f[fmt.Sprint(n, ".tombstone")] = tombstone(4, gone)
			} else {
				gone = record{key("m", "f"), 1, 0}
			}
			f[fmt.Sprint(n, ".tsm")] = buildTSM(series{key: key("m", "f"), blocks: blocks})
			for _, p := range points {
				if p.Time < until && (p.Time < gone.min || p.Time > gone.max) {
					there[p.Time] = true
				}
			}
		}
		a, err := tsm.Verify(bytes.NewReader(f.pack(t, "db/rp/1")), tsm.Options{Count: true, Until: time.Unix(0, until)})
		k, want := tsm.FieldKey{Measurement: "m", Field: "f"}, int64(len(there))
		if err != nil || a.Counts[k] < want || a.Least[k] > want || !a.Inexact[k] && a.Counts[k] != want {
			t.Fatalf("counted %d, at least %d, inexact %t, there are %d; %v", a.Counts[k], a.Least[k], a.Inexact[k], want, err)
		}
	}
}
