package tsm_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"nightshard/shared/tsm"
)

func TestBytesPassExactlyAsTheyCame(t *testing.T) {
	t.Parallel()
	_, archive := sample(t)
	sources := map[string]func(io.Reader) io.Reader{
		"at once":        func(r io.Reader) io.Reader { return r },
		"byte by byte":   iotest.OneByteReader,
		"in halves":      iotest.HalfReader,
		"error with end": iotest.DataErrReader,
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := tsm.NewReader(source(bytes.NewReader(archive)), tsm.Options{})
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, archive) {
				t.Fatalf("read %d bytes of %d: %v", len(got), len(archive), err)
			}
		})
	}
}

func TestReaderKeepsTheRulesOfIO(t *testing.T) {
	t.Parallel()
	_, archive := sample(t)
	if err := iotest.TestReader(tsm.NewReader(bytes.NewReader(archive), tsm.Options{}), archive); err != nil {
		t.Fatal(err)
	}
}

func TestArchiveNamesEveryFileWithItsDigest(t *testing.T) {
	t.Parallel()
	contents, archive := sample(t)
	a, err := tsm.Verify(bytes.NewReader(archive), tsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Database != "sensu_db" || a.RetentionPolicy != "autogen" || a.Shard != 12 || a.Bytes != int64(len(archive)) {
		t.Errorf("archive is %+v", a)
	}
	if len(a.Files) != 3 || len(a.Sent) != 2 {
		t.Fatalf("%d files, %d sent", len(a.Files), len(a.Sent))
	}
	for _, f := range a.Files {
		sum := sha256.Sum256(contents[f.Name])
		if f.SHA256 != hex.EncodeToString(sum[:]) || f.Size != int64(len(contents[f.Name])) {
			t.Errorf("%s: %+v", f.Name, f)
		}
	}
	if f := a.Files[1]; f.Blocks != 48 || f.Keys != 16 {
		t.Errorf("%s has %d blocks, %d keys", f.Name, f.Blocks, f.Keys)
	}
	if f := a.Files[0]; f.Keys != 2 {
		t.Errorf("%s has %d records", f.Name, f.Keys)
	}
}

func TestArchiveIsUnknownBeforeTheEnd(t *testing.T) {
	t.Parallel()
	_, archive := sample(t)
	r := tsm.NewReader(bytes.NewReader(archive), tsm.Options{})
	if _, err := io.CopyN(io.Discard, r, int64(len(archive))); err != nil {
		t.Fatal(err)
	}
	if r.Archive() != nil {
		t.Error("an archive before io.EOF")
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || r.Archive() == nil {
		t.Errorf("at the end: %v, %v", err, r.Archive())
	}
}

func TestEmptyShardIsWhole(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1024, 10240} {
		a, err := tsm.Verify(bytes.NewReader(make([]byte, size)), tsm.Options{Count: true})
		if err != nil || len(a.Files) != 0 || a.Bytes != int64(size) {
			t.Errorf("%d zeros: %+v, %v", size, a, err)
		}
	}
	for _, size := range []int{0, 1, 512, 1023, 1025, 1500} {
		if _, err := tsm.Verify(bytes.NewReader(make([]byte, size)), tsm.Options{}); !isCorrupt(err) {
			t.Errorf("%d zeros: %v", size, err)
		}
	}
}

func isCorrupt(err error) bool {
	var c *tsm.CorruptError
	return errors.As(err, &c)
}

func TestErrorOfTheSourceIsPassedOn(t *testing.T) {
	t.Parallel()
	_, archive := sample(t)
	broken := errors.New("connection reset")
	sources := map[string]struct{ err, want error }{
		"plain":          {broken, broken},
		"an early end":   {io.ErrUnexpectedEOF, io.ErrUnexpectedEOF},
		"an end wrapped": {fmt.Errorf("dial: %w", io.EOF), io.ErrUnexpectedEOF},
	}
	for name, c := range sources {
		for _, o := range []tsm.Options{{}, {Rename: keep}, {Tombstones: true}} {
			src := io.MultiReader(bytes.NewReader(archive), iotest.ErrReader(c.err))
			_, err := io.Copy(io.Discard, tsm.NewReader(src, o))
			if !errors.Is(err, c.want) || isCorrupt(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func keep(name string) (string, error) { return name, nil }

func TestBlocksLargerThanTheWindowAreFoundByTheirChecksum(t *testing.T) {
	t.Parallel()
	r := seeded(t, 3)
	f := files{"000000001-000000001.tsm": buildTSM(
		series{key: key("a", "small"), blocks: [][]point{makePoints(r, "int", start, 5, false)}},
		series{key: key("b", "text"), blocks: [][]point{makePoints(r, "long", start, 1000, false), makePoints(r, "long", start+99999*second, 700, true)}},
		series{key: key("c", "small"), blocks: [][]point{makePoints(r, "random", start, 5, true)}},
	)}
	if len(f["000000001-000000001.tsm"]) < 8*tsm.MaxWindow {
		t.Fatal("the blocks are too small for this test")
	}
	archive := f.pack(t, "db/rp/1")
	a, err := tsm.Verify(iotest.HalfReader(bytes.NewReader(archive)), tsm.Options{})
	if err != nil || a.Files[0].Blocks != 4 || a.Files[0].Keys != 3 {
		t.Fatalf("%+v, %v", a, err)
	}
	archive[len(archive)/2] ^= 1
	if _, err := tsm.Verify(bytes.NewReader(archive), tsm.Options{}); !isCorrupt(err) {
		t.Fatalf("a flipped bit: %v", err)
	}
}

func TestLongestKeyIsRead(t *testing.T) {
	t.Parallel()
	r := seeded(t, 4)
	var all []series
	for _, c := range []string{"a", "b", "c"} {
		name := key("m,t="+strings.Repeat(c, 65535-len("m,t=#!~#v")), "v")
		all = append(all, series{key: name, blocks: [][]point{makePoints(r, "int", start, 3, false)}})
	}
	archive := files{"000000001-000000001.tsm": buildTSM(all...)}.pack(t, "db/rp/1")
	if _, err := tsm.Verify(iotest.HalfReader(bytes.NewReader(archive)), tsm.Options{Count: true}); err != nil {
		t.Fatal(err)
	}
}

func TestEveryEncodingAtEveryCount(t *testing.T) {
	t.Parallel()
	r := seeded(t, 5)
	for n := 1; n <= 700; n += 1 + n/20 {
		for _, kind := range kinds() {
			var all []series
			for i, packed := range []bool{false, true} {
				points := makePoints(r, kind, start, n, i == 1)
				all = append(all, series{key: key(fmt.Sprint(i), "v"), packed: packed, blocks: [][]point{points}})
			}
			b := buildTSM(all...)
			a, err := tsm.Verify(bytes.NewReader(files{"1.tsm": b}.pack(t, "db/rp/1")), tsm.Options{Count: true})
			if err != nil {
				t.Fatalf("%d of %s: %v", n, kind, err)
			}
			for _, k := range a.Counts {
				if k != int64(n) {
					t.Fatalf("%d of %s: counted %d", n, kind, k)
				}
			}
			comparePoints(t, b, all)
		}
	}
}

// comparePoints decodes a file and compares it with what went in.
func comparePoints(t *testing.T, b []byte, all []series) {
	t.Helper()
	got, err := tsm.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		var want []point
		for _, b := range s.blocks {
			want = append(want, b...)
		}
		if fmt.Sprint(got[s.key]) != fmt.Sprint(want) {
			t.Fatalf("%s: got %v, want %v", s.key, got[s.key], want)
		}
	}
}

func TestOnesAreCountedInWordsWithoutBits(t *testing.T) {
	t.Parallel()
	var points []point
	for i := range 900 {
		points = append(points, point{start + int64(i), int64(-i / 2)})
	}
	points[899].Time += 5 // no run length
	b := buildTSM(series{key: key("m", "v"), packed: true, blocks: [][]point{points}})
	a, err := tsm.Verify(bytes.NewReader(files{"1.tsm": b}.pack(t, "db/rp/1")), tsm.Options{Count: true})
	if err != nil || a.Counts[tsm.FieldKey{Measurement: "m", Field: "v"}] != 900 {
		t.Fatalf("%+v, %v", a, err)
	}
}

// TestMemoryStaysSmall streams 300 MB that never exist at once.
func TestMemoryStaysSmall(t *testing.T) {
	const blocks = 300
	r := rand.New(rand.NewPCG(6, 6))
	points := makePoints(r, "long", start, 700, false)
	src, size := hugeArchive(t, points, blocks)
	var before, peak runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	reader := tsm.NewReader(src, tsm.Options{})
	buf := make([]byte, 32<<10)
	var n int64
	for {
		k, err := reader.Read(buf)
		n += int64(k)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&peak)
	if grown := peak.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("%d bytes allocated for an archive of %d", grown, n)
	}
	if n != size || size < 300<<20 {
		t.Errorf("read %d of %d", n, size)
	}
}

// hugeArchive repeats one block under one key.
func hugeArchive(t *testing.T, points []point, blocks int) (io.Reader, int64) {
	t.Helper()
	block := buildBlock(points, false)
	one := buildTSM(series{key: key("m", "v"), blocks: [][]point{points}})
	head, index := one[:5], bytes.Clone(one[5+len(block):len(one)-8])
	entry := index[len(index)-28:]
	index = index[:len(index)-28]
	index[len(index)-2], index[len(index)-1] = byte(blocks>>8), byte(blocks)
	parts := []io.Reader{nil, bytes.NewReader(head)}
	for i := range blocks {
		parts = append(parts, bytes.NewReader(block))
		index = append(index, entry...)
		putUint64(index[len(index)-12:], uint64(5+i*len(block)))
	}
	footer := make([]byte, 8)
	putUint64(footer, uint64(5+blocks*len(block)))
	size := 5 + blocks*len(block) + len(index) + 8
	parts[0] = bytes.NewReader(tarHeader(t, "db/rp/1/1.tsm", int64(size)))
	pad := (512 - size%512) % 512
	parts = append(parts, bytes.NewReader(index), bytes.NewReader(footer), bytes.NewReader(make([]byte, pad+1024)))
	return io.MultiReader(parts...), int64(512 + size + pad + 1024)
}
