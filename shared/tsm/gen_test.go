package tsm_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshard/shared/tsm"
)

// This file writes TSM files, tombstones and archives for the tests, in all
// encodings that InfluxDB knows.

type point = tsm.Point

// series is a key with its blocks.
type series struct {
	key    string
	blocks [][]point
	packed bool // packed times and integers, else raw; equal steps are run lengths
}

// buildTSM writes a TSM file. Keys must be given in order.
func buildTSM(all ...series) []byte {
	out := []byte{0x16, 0xD1, 0x16, 0xD1, 1}
	var index []byte
	for _, s := range all {
		typ := blockType(s.blocks[0])
		index = binary.BigEndian.AppendUint16(index, uint16(len(s.key)))
		index = append(append(index, s.key...), typ)
		index = binary.BigEndian.AppendUint16(index, uint16(len(s.blocks)))
		for _, points := range s.blocks {
			b := buildBlock(points, s.packed)
			index = binary.BigEndian.AppendUint64(index, uint64(points[0].Time))
			index = binary.BigEndian.AppendUint64(index, uint64(points[len(points)-1].Time))
			index = binary.BigEndian.AppendUint64(index, uint64(len(out)))
			index = binary.BigEndian.AppendUint32(index, uint32(len(b)))
			out = append(out, b...)
		}
	}
	at := len(out)
	return binary.BigEndian.AppendUint64(append(out, index...), uint64(at))
}

func blockType(points []point) byte {
	switch points[0].Value.(type) {
	case float64:
		return 0
	case int64:
		return 1
	case bool:
		return 2
	case string:
		return 3
	}
	return 4
}

func buildBlock(points []point, packed bool) []byte {
	times := make([]int64, len(points))
	for i, p := range points {
		times[i] = p.Time
	}
	head := buildTimes(times, packed)
	b := binary.AppendUvarint([]byte{0, 0, 0, 0, blockType(points)}, uint64(len(head)))
	b = buildValues(append(b, head...), points, packed)
	binary.BigEndian.PutUint32(b, crc32.ChecksumIEEE(b[4:]))
	return b
}

func buildTimes(times []int64, packed bool) []byte {
	var steps []uint64
	for i := range times[1:] {
		steps = append(steps, uint64(times[i+1]-times[i]))
	}
	first := binary.BigEndian.AppendUint64(nil, uint64(times[0]))
	if same := len(steps) > 0 && slices.Max(steps) == slices.Min(steps); same && steps[0]%1e9 == 0 {
		b := append([]byte{2<<4 | 9}, first...)
		b = binary.AppendUvarint(b, steps[0]/1e9)
		return binary.AppendUvarint(b, uint64(len(times)))
	}
	if packed {
		return append(append([]byte{1 << 4}, first...), pack(steps)...)
	}
	b := append([]byte{0}, first...)
	for _, s := range steps {
		b = binary.BigEndian.AppendUint64(b, s)
	}
	return b
}

// pack writes simple8b words: as many values as fit into each.
func pack(values []uint64) []byte {
	counts := []int{60, 30, 20, 15, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1}
	widths := []uint{1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 60}
	var out []byte
	for len(values) > 0 {
		if n := ones(values); n > 0 {
			out = binary.BigEndian.AppendUint64(out, uint64(240/n-1)<<60)
			values = values[n:]
			continue
		}
		for i, n := range counts {
			if n > len(values) || slices.Max(values[:n]) >= 1<<widths[i] {
				continue
			}
			w := uint64(i+2) << 60
			for j, v := range values[:n] {
				w |= v << (uint(j) * widths[i])
			}
			out = binary.BigEndian.AppendUint64(out, w)
			values = values[n:]
			break
		}
	}
	return out
}

// ones is the number of leading values that a word without bits can hold.
func ones(values []uint64) int {
	for _, n := range []int{240, 120} {
		if len(values) >= n && slices.Max(values[:n]) == 1 && slices.Min(values[:n]) == 1 {
			return n
		}
	}
	return 0
}

func buildValues(b []byte, points []point, packed bool) []byte {
	switch blockType(points) {
	case 0:
		return tsm.AppendFloats(b, valuesOf[float64](points))
	case 1:
		return buildIntegers(b, valuesOf[int64](points), packed)
	case 2:
		return buildBooleans(b, valuesOf[bool](points))
	case 3:
		return buildStrings(b, valuesOf[string](points))
	}
	var signed []int64
	for _, v := range valuesOf[uint64](points) {
		signed = append(signed, int64(v))
	}
	return buildIntegers(b, signed, packed)
}

func valuesOf[T any](points []point) (out []T) {
	for _, p := range points {
		out = append(out, p.Value.(T))
	}
	return out
}

func buildIntegers(b []byte, values []int64, packed bool) []byte {
	var before int64
	var steps []uint64
	for _, v := range values {
		d := v - before
		steps = append(steps, uint64(d<<1)^uint64(d>>63))
		before = v
	}
	rest := steps[1:]
	switch {
	case len(rest) > 0 && slices.Max(rest) == slices.Min(rest):
		b = binary.BigEndian.AppendUint64(append(b, 2<<4), steps[0])
		b = binary.AppendUvarint(b, rest[0])
		return binary.AppendUvarint(b, uint64(len(rest)))
	case packed && (len(rest) == 0 || slices.Max(rest) < 1<<60):
		b = binary.BigEndian.AppendUint64(append(b, 1<<4), steps[0])
		return append(b, pack(rest)...)
	}
	b = append(b, 0)
	for _, s := range steps {
		b = binary.BigEndian.AppendUint64(b, s)
	}
	return b
}

func buildBooleans(b []byte, values []bool) []byte {
	b = binary.AppendUvarint(append(b, 1<<4), uint64(len(values)))
	bits := make([]byte, (len(values)+7)/8)
	for i, v := range values {
		if v {
			bits[i/8] |= 128 >> (i % 8)
		}
	}
	return append(b, bits...)
}

// buildStrings writes snappy with all kinds of elements: a copy where a string
// is the same as the one before, else literals.
func buildStrings(b []byte, values []string) []byte {
	var all, out []byte
	before := ""
	for i, v := range values {
		one := append(binary.AppendUvarint(nil, uint64(len(v))), v...)
		if n := len(one); i > 0 && v == before && n >= 4 && n <= 60 {
			out = append(out, copyElement(i, n)...)
		} else {
			out = append(out, literal(one)...)
		}
		all = append(all, one...)
		before = v
	}
	b = binary.AppendUvarint(append(b, 1<<4), uint64(len(all)))
	return append(b, out...)
}

func copyElement(i, n int) []byte {
	switch {
	case i%3 == 0 && n <= 11:
		return []byte{byte(n-4)<<2 | 1, byte(n)}
	case i%3 == 1:
		return []byte{byte(n-1)<<2 | 2, byte(n), 0}
	}
	return []byte{byte(n-1)<<2 | 3, byte(n), 0, 0, 0}
}

func literal(b []byte) []byte {
	n := len(b) - 1
	switch {
	case n < 60:
		return append([]byte{byte(n << 2)}, b...)
	case n < 1<<8:
		return append([]byte{60 << 2, byte(n)}, b...)
	}
	return append([]byte{62 << 2, byte(n), byte(n >> 8), byte(n >> 16)}, b...)
}

// key is a TSM key.
func key(series, field string) string { return series + "#!~#" + field }

const second = int64(time.Second)

// start is a plain day, in nanoseconds.
const start = 1700006400 * second

// makePoints gives n values of a kind from a time on, 10 s apart, or with
// jitter.
func makePoints(r *rand.Rand, kind string, from int64, n int, jitter bool) []point {
	points := make([]point, n)
	for i := range points {
		t := from + int64(i)*10*second
		if jitter {
			t += r.Int64N(second)
		}
		points[i] = point{t, makeValue(r, kind, i)}
	}
	return points
}

func makeValue(r *rand.Rand, kind string, i int) any {
	switch kind {
	case "random":
		return r.NormFloat64() * math.Pow(10, float64(r.IntN(200)-100))
	case "slow":
		return float64(i / 50)
	case "int":
		return r.Int64N(1000) - 500
	case "huge":
		return int64(r.Uint64())
	case "same":
		return int64(7)
	case "bool":
		return r.IntN(2) == 0
	case "string":
		return strings.Repeat(fmt.Sprintf("%c", 'a'+i/3%20), 3+i/3%90)
	case "long":
		b := make([]byte, 1500)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return string(b)
	}
	return r.Uint64() >> r.IntN(64)
}

// kinds are all kinds of values but the long strings.
func kinds() []string {
	return []string{"bool", "huge", "int", "random", "same", "slow", "string", "unsigned"}
}

// mixedTSM has every encoding, several blocks for each key, odd names.
func mixedTSM(r *rand.Rand, from int64, blocks, points int) []byte {
	var all []series
	for i, kind := range kinds() {
		for _, packed := range []bool{false, true} {
			s := series{key: key(fmt.Sprintf(`cpu\ load\,%d,host=a\=%v`, i, packed), kind), packed: packed}
			for b := range blocks {
				at := from + int64(b*points)*10*second
				s.blocks = append(s.blocks, makePoints(r, kind, at, points, b%2 == 1))
			}
			all = append(all, s)
		}
	}
	return buildTSM(all...)
}

// files are an archive's contents by file name.
type files map[string][]byte

// pack writes the archive of a shard as InfluxDB does: sorted, with trailer.
func (f files) pack(t testing.TB, folder string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(f)) {
		h := &tar.Header{
			Name: folder + "/" + name, Size: int64(len(f[name])), Mode: 0o644, Typeflag: tar.TypeReg,
			ModTime: time.Unix(1700006400, 0), Uname: "influxdb", Gname: "influxdb", Uid: 999, Gid: 999,
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unpack reads an archive with the standard library.
func unpack(t testing.TB, b []byte) (names []string, contents files) {
	t.Helper()
	contents = files{}
	r := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := r.Next()
		if err != nil {
			return names, contents
		}
		var c bytes.Buffer
		if _, err := c.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		contents[h.Name[strings.LastIndexByte(h.Name, '/')+1:]] = c.Bytes()
	}
}

// seeded is a source of chance that a failed test can repeat.
func seeded(t testing.TB, seed uint64) *rand.Rand {
	t.Helper()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}

// sample is a shard of two files and a tombstone.
func sample(t testing.TB) (files, []byte) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	f := files{
		"000000001-000000002.tsm":       mixedTSM(r, start, 3, 120),
		"000000001-000000002.tombstone": tombstone(4, record{key(`gone,host=a`, "v"), 1, 2}, record{key(`gone,host=b`, "v"), math.MinInt64, math.MaxInt64}),
		"000000003-000000001.tsm":       mixedTSM(r, start+90000*second, 1, 1),
	}
	return f, f.pack(t, "sensu_db/autogen/12")
}
