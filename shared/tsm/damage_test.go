package tsm_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"nightshard/shared/tsm"
)

// layout knows which byte of an archive is what.
type layout struct {
	archive []byte
	class   []string // by byte
}

// classes of bytes in an archive. Flips of those in unseen cannot be noticed
// in one pass, as the package's documentation says.
const (
	classHeader    = "tar header"
	classPadding   = "padding"
	classMarker    = "end marker"
	classMagic     = "tsm magic"
	classBlock     = "block"
	classKeyLength = "index key length"
	classKey       = "index key"
	classType      = "index type"
	classCount     = "index count"
	classEntry     = "index entry"
	classFooter    = "footer"
	classStone     = "tombstone"
	classGzipHead  = "gzip header"
)

// survey walks an archive of generated files.
func survey(t *testing.T, archive []byte) layout {
	t.Helper()
	l := layout{archive, make([]string, len(archive))}
	at := 0
	for archive[at] != 0 {
		h, err := tar.NewReader(bytes.NewReader(archive[at:])).Next()
		if err != nil {
			t.Fatal(err)
		}
		l.mark(at, 512, classHeader)
		at += 512
		content := archive[at : at+int(h.Size)]
		if strings.HasSuffix(h.Name, ".tsm") {
			l.markTSM(at, content)
		} else {
			l.markStone(at, content)
		}
		at += int(h.Size)
		for ; at%512 != 0; at++ {
			l.class[at] = classPadding
		}
	}
	l.mark(at, len(archive)-at, classMarker)
	return l
}

func (l layout) mark(at, n int, class string) {
	for i := range n {
		l.class[at+i] = class
	}
}

func (l layout) markTSM(at int, b []byte) {
	index := int(binary.BigEndian.Uint64(b[len(b)-8:]))
	l.mark(at, 5, classMagic)
	l.mark(at+5, index-5, classBlock)
	for i := index; i < len(b)-8; {
		n := int(binary.BigEndian.Uint16(b[i:]))
		blocks := int(binary.BigEndian.Uint16(b[i+2+n+1:]))
		l.mark(at+i, 2, classKeyLength)
		l.mark(at+i+2, n, classKey)
		l.mark(at+i+2+n, 1, classType)
		l.mark(at+i+3+n, 2, classCount)
		l.mark(at+i+5+n, 28*blocks, classEntry)
		i += 5 + n + 28*blocks
	}
	l.mark(at+len(b)-8, 8, classFooter)
}

func (l layout) markStone(at int, b []byte) {
	l.mark(at, len(b), classStone)
	for i := range b {
		if i+10 <= len(b) && b[i] == 0x1f && b[i+1] == 0x8b && b[i+2] == 8 {
			l.mark(at+i, 10, classGzipHead)
		}
	}
}

// TestEveryFlippedBitIsSeen flips each bit of an archive. The index has no
// checksum, so changed keys and types may pass; the test counts them and shows
// that nothing else does, and that the digest shows each of them.
func TestEveryFlippedBitIsSeen(t *testing.T) {
	t.Parallel()
	r := seeded(t, 11)
	contents := files{
		"000000001-000000001.tombstone": tombstone(4, record{key("cpu,host=a", "v"), 1, 2}, record{key("cpu,host=b", "v"), 3, 4}),
		"000000001-000000001.tsm": buildTSM(
			series{key: key("cpu,host=a", "v"), packed: true, blocks: [][]point{makePoints(r, "int", start, 20, true), makePoints(r, "int", start+1000*second, 20, false)}},
			series{key: key("cpu,host=b", "v"), blocks: [][]point{makePoints(r, "random", start, 20, true)}},
			series{key: key("cpu,host=c", "v"), blocks: [][]point{makePoints(r, "string", start, 20, true)}},
		),
	}
	l := survey(t, contents.pack(t, "sensu_db/autogen/12"))
	whole, err := tsm.Verify(bytes.NewReader(l.archive), tsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	missed, flips := map[string]int{}, map[string]int{}
	damaged := bytes.Clone(l.archive)
	for i := range damaged {
		for _, bit := range bitsOf(l.class[i], i) {
			damaged[i] ^= 1 << bit
			a, err := tsm.Verify(bytes.NewReader(damaged), tsm.Options{})
			flips[l.class[i]]++
			switch {
			case err == nil && l.class[i] == classHeader && inChecksumField(l, i):
				// Leading zeros and the end of the field mean nothing.
			case err == nil && sameDigests(a, whole):
				t.Errorf("byte %d (%s): the digest is the same", i, l.class[i])
			case err == nil:
				missed[l.class[i]]++
			case !isCorrupt(err):
				t.Errorf("byte %d (%s): %v", i, l.class[i], err)
			}
			damaged[i] ^= 1 << bit
		}
	}
	unseen := map[string]bool{classKey: true, classType: true, classGzipHead: true}
	for class, n := range flips {
		t.Logf("%-16s %6d flips, %4d not seen", class, n, missed[class])
		// Each of the two gzip members ends with up to seven bits that fill
		// its last byte.
		if missed[class] > 0 && !unseen[class] && (class != classStone || missed[class] > 14) {
			t.Errorf("%s: %d of %d flips not seen", class, missed[class], n)
		}
	}
}

// bitsOf spares time where all bits are alike.
func bitsOf(class string, i int) []int {
	if class == classPadding || class == classMarker || class == classHeader {
		return []int{i % 8}
	}
	return []int{0, 1, 2, 3, 4, 5, 6, 7}
}

// inChecksumField says whether the byte is one of the eight of a header's own
// checksum.
func inChecksumField(l layout, i int) bool {
	start := i
	for start > 0 && l.class[start-1] == classHeader {
		start--
	}
	at := (i - start) % 512
	return at >= 148 && at < 156
}

func sameDigests(a, b *tsm.Archive) bool {
	return fmt.Sprint(a.Files) == fmt.Sprint(b.Files)
}

func TestEveryCutIsSeen(t *testing.T) {
	t.Parallel()
	r := seeded(t, 12)
	f := files{
		"000000001-000000001.tsm":       mixedTSM(r, start, 1, 7),
		"000000002-000000001.tombstone": tombstone(4, record{key("a", "v"), 1, 2}),
		"000000002-000000001.tsm":       mixedTSM(r, start, 1, 1),
	}
	archive := f.pack(t, "sensu_db/autogen/12")
	l := survey(t, archive)
	for n := range archive {
		boundary := n < 4 || n > len(archive)-4 || l.class[n-3] != l.class[n+3]
		if !boundary && r.IntN(8) > 0 {
			continue
		}
		for _, o := range []tsm.Options{{}, {Rename: keep, Tombstones: true}} {
			if _, err := tsm.Verify(bytes.NewReader(archive[:n]), o); !isCorrupt(err) {
				t.Fatalf("cut at %d of %d: %v", n, len(archive), err)
			}
		}
	}
}

func TestArchivesThatAreNotOneShardAreRefused(t *testing.T) {
	t.Parallel()
	r := seeded(t, 13)
	a, b := mixedTSM(r, start, 1, 3), mixedTSM(r, start, 1, 4)
	entry := func(name string, content []byte) []byte {
		out := append(tarHeader(t, name, int64(len(content))), content...)
		return append(out, make([]byte, (512-len(out)%512)%512)...)
	}
	join := func(parts ...[]byte) []byte { return append(bytes.Join(parts, nil), make([]byte, 1024)...) }
	one := join(entry("db/rp/1/1.tsm", a))
	broken := map[string][]byte{
		"two archives":         append(bytes.Clone(one), one...),
		"bytes behind":         append(bytes.Clone(one), 0, 0, 1),
		"zeros behind":         append(bytes.Clone(one), 0, 0, 0),
		"swapped entries":      join(entry("db/rp/1/2.tsm", a), entry("db/rp/1/1.tsm", b)),
		"an entry twice":       join(entry("db/rp/1/1.tsm", a), entry("db/rp/1/1.tsm", a)),
		"two shards":           join(entry("db/rp/1/1.tsm", a), entry("db/rp/2/2.tsm", b)),
		"two policies":         join(entry("db/rp/1/1.tsm", a), entry("db/qp/1/2.tsm", b)),
		"half a marker":        append(entry("db/rp/1/1.tsm", a), append(make([]byte, 512), one...)...),
		"no marker":            entry("db/rp/1/1.tsm", a),
		"short path":           join(entry("db/rp/1.tsm", a)),
		"long path":            join(entry("db/rp/1/index/1.tsm", a)),
		"absolute path":        join(entry("/db/rp/1/1.tsm", a)),
		"path above":           join(entry("../rp/1/1.tsm", a)),
		"detour elsewhere":     join(entry("db/rp/20/../21/1.tsm", a)),
		"shard is no number":   join(entry("db/rp/x/1.tsm", a)),
		"shard with zeros":     join(entry("db/rp/001/1.tsm", a)),
		"other file":           join(entry("db/rp/1/fields.idx", a)),
		"unfinished file":      join(entry("db/rp/1/1.tsm.tmp", a)),
		"empty tsm":            join(entry("db/rp/1/1.tsm", nil)),
		"only a header":        join(entry("db/rp/1/1.tsm", a[:5])),
		"no index":             join(entry("db/rp/1/1.tsm", a[:len(a)/2])),
		"bytes behind the tsm": join(entry("db/rp/1/1.tsm", append(bytes.Clone(a), 0))),
		"two tsm in one":       join(entry("db/rp/1/1.tsm", append(bytes.Clone(a), b...))),
		"folder":               join(entry("db/rp/1/", nil)),
		"text":                 []byte(strings.Repeat("Internal Server Error\n", 100)),
		"huge tombstone":       tarHeader(t, "db/rp/1/1.tombstone", 1<<30),
		"link":                 join(special(t, tar.Header{Name: "db/rp/1/1.tsm", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"})),
		"hard link":            join(special(t, tar.Header{Name: "db/rp/1/1.tsm", Typeflag: tar.TypeLink, Linkname: "x"})),
		"global header":        join(special(t, tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "db/rp/1/1.tsm"}}), entry("db/rp/1/1.tsm", a)),
	}
	if _, err := tsm.Verify(bytes.NewReader(one), tsm.Options{}); err != nil {
		t.Fatal(err)
	}
	for name, archive := range broken {
		for _, o := range []tsm.Options{{}, {Rename: keep}} {
			if _, err := tsm.Verify(bytes.NewReader(archive), o); !isCorrupt(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// special is the header of something that is no regular file.
func special(t *testing.T, h tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := tar.NewWriter(&out).WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestIndexMustFitTheBlocks changes an index so that only a comparison with
// the blocks shows it.
func TestIndexMustFitTheBlocks(t *testing.T) {
	t.Parallel()
	r := seeded(t, 14)
	build := func() []byte {
		return buildTSM(
			series{key: key("a", "v"), blocks: [][]point{makePoints(r, "int", start, 9, true), makePoints(r, "int", start+100*second, 9, true)}},
			series{key: key("b", "v"), blocks: [][]point{makePoints(r, "int", start, 9, true)}},
		)
	}
	entry := func(b []byte, i int) []byte { // the i-th entry of key a
		at := int(binary.BigEndian.Uint64(b[len(b)-8:]))
		return b[at+5+len(key("a", "v"))+28*i:]
	}
	changes := map[string]func(b []byte) []byte{
		"first time":       func(b []byte) []byte { entry(b, 0)[7]++; return b },
		"last time":        func(b []byte) []byte { entry(b, 1)[15]++; return b },
		"end before begin": func(b []byte) []byte { putUint64(entry(b, 0), math.MaxInt64); return b },
		"place":            func(b []byte) []byte { entry(b, 1)[23]++; return b },
		"size":             func(b []byte) []byte { entry(b, 1)[27]++; return b },
		"first size":       func(b []byte) []byte { entry(b, 0)[27]++; return b },
		"footer":           func(b []byte) []byte { b[len(b)-1]++; return b },
		"a key less":       func(b []byte) []byte { return append(b[:len(b)-8-33-len(key("b", "v"))], b[len(b)-8:]...) },
		"a key twice": func(b []byte) []byte {
			last := bytes.Clone(b[len(b)-8-33-len(key("b", "v")):])
			return append(b[:len(b)-8], last...)
		},
		"keys descend": func(b []byte) []byte { b[len(b)-8-31-len(key("b", "v"))] = 'A'; return b },
	}
	for name, change := range changes {
		b := change(build())
		_, err := tsm.Verify(bytes.NewReader(files{"1.tsm": b}.pack(t, "db/rp/1")), tsm.Options{})
		if !isCorrupt(err) {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %v", name, err)
	}
}

func TestRandomDamageIsSeen(t *testing.T) {
	t.Parallel()
	r := seeded(t, 15)
	_, archive := sample(t)
	l := survey(t, archive)
	for range 1000 {
		damaged := bytes.Clone(archive)
		at, n := r.IntN(len(damaged)), 1+r.IntN(2000)
		seen := false
		for i := at; i < min(at+n, len(damaged)); i++ {
			before := damaged[i]
			damaged[i] = byte(r.Uint32())
			seen = seen || damaged[i] != before && l.class[i] == classBlock
		}
		r := tsm.NewReader(bytes.NewReader(damaged), tsm.Options{})
		if _, err := io.Copy(io.Discard, r); err == nil && seen {
			t.Fatalf("%d bytes at %d (%s): not seen", n, at, l.class[at])
		}
	}
}
