package tsm_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"

	"nightshard/shared/tsm"
)

// FuzzReader: no input makes the Reader panic, an archive that it calls whole
// can be renamed and read again with the same contents, and no archive whose
// bytes were cut passes.
func FuzzReader(f *testing.F) {
	f.Add(make([]byte, 1024))
	r := rand.New(rand.NewPCG(40, 40))
	points := makePoints(r, "int", start, 3, true)
	f.Add(files{
		"1.tombstone": tombstone(4, record{key("m", "v"), start, start}),
		"1.tsm":       buildTSM(series{key: key("m", "v"), blocks: [][]point{points}}),
	}.pack(f, "db/rp/1"))
	f.Add(files{"1.tombstone": tombstone(2, record{key("m", "v"), start, start + 5}), "1.tsm": mixedTSM(r, start, 1, 3)}.pack(f, "db/rp/20/../20"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := tsm.Verify(bytes.NewReader(b), tsm.Options{Count: true})
		_, _ = tsm.Verify(bytes.NewReader(b), tsm.Options{Tombstones: true, Count: true})
		if err != nil {
			return
		}
		if a.Bytes != int64(len(b)) {
			t.Fatalf("%d bytes of %d", a.Bytes, len(b))
		}
		renamed := tsm.NewReader(bytes.NewReader(b), tsm.Options{Rename: tsm.RenameInto("x/y/1")})
		again, err := tsm.Verify(renamed, tsm.Options{})
		if err != nil || !sameDigests(a, again) {
			t.Fatalf("renamed: %v, %v", again, err)
		}
	})
}

// FuzzDamage changes bytes of a good archive: it must be refused, or the
// blocks of every file are what they were.
func FuzzDamage(f *testing.F) {
	contents, archive := sample(f)
	f.Add(uint32(700), byte(1), uint16(0))
	f.Add(uint32(40000), byte(0x80), uint16(300))
	f.Fuzz(func(t *testing.T, at uint32, mask byte, cut uint16) {
		damaged := bytes.Clone(archive)
		damaged[int(at)%len(damaged)] ^= mask
		damaged = append(damaged[:int(at)%len(damaged)], damaged[min(int(at)%len(damaged)+int(cut), len(damaged)):]...)
		if _, err := io.Copy(io.Discard, tsm.NewReader(bytes.NewReader(damaged), tsm.Options{})); err != nil {
			return
		}
		_, got := unpack(t, damaged)
		for name, want := range contents {
			if !bytes.Equal(blocksOf(name, got[name]), blocksOf(name, want)) {
				t.Fatalf("the blocks of %s differ", name)
			}
		}
	})
}

// blocksOf is the part of a TSM file before its index; nothing of others.
func blocksOf(name string, b []byte) []byte {
	if len(b) < 8 || name[len(name)-4:] != ".tsm" {
		return nil
	}
	at := 0
	for _, x := range b[len(b)-8:] {
		at = at<<8 | int(x)
	}
	return b[:at]
}

// FuzzTombstone applies records that nobody would write to a file.
func FuzzTombstone(f *testing.F) {
	r := rand.New(rand.NewPCG(41, 41))
	content := mixedTSM(r, start, 2, 20)
	k := key(`cpu\ load\,0,host=a\=false`, "bool")
	f.Add(tombstone(4, record{k, start, start + 50*second}))
	f.Add(tombstone(2, record{k, start, start + 50*second}, record{k, 5, 1}))
	f.Add(tombstone(1, record{k, 0, 0}))
	f.Fuzz(func(t *testing.T, stone []byte) {
		archive := files{"1.tombstone": stone, "1.tsm": content}.pack(t, "db/rp/1")
		reader := tsm.NewReader(bytes.NewReader(archive), tsm.Options{Tombstones: true})
		out, err := io.ReadAll(reader)
		if err != nil {
			return
		}
		if a, err := tsm.Verify(bytes.NewReader(out), tsm.Options{}); err != nil || len(a.Files) != len(reader.Archive().Sent) {
			t.Fatalf("what was written is broken: %v", err)
		}
	})
}

// FuzzBlock gives a block of any content a right checksum and deletes its
// first time: it is encoded anew, or refused, but nothing panics.
func FuzzBlock(f *testing.F) {
	r := rand.New(rand.NewPCG(42, 42))
	for _, kind := range kinds() {
		for _, packed := range []bool{false, true} {
			f.Add(buildBlock(makePoints(r, kind, start, 40, packed), packed)[4:])
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		block := append(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(content)), content...)
		first, last, ok := tsm.BlockTimes(block)
		if !ok {
			return
		}
		k := key("m", "v")
		archive := files{
			"1.tombstone": tombstone(2, record{k, first, first}), "1.tsm": wrapBlock(k, block, first, last),
		}.pack(t, "db/rp/1")
		out, err := io.ReadAll(tsm.NewReader(bytes.NewReader(archive), tsm.Options{Tombstones: true}))
		if err != nil {
			return
		}
		if _, err := tsm.Verify(bytes.NewReader(out), tsm.Options{}); err != nil {
			t.Fatalf("what was written is broken: %v", err)
		}
	})
}

// wrapBlock makes a file of one block.
func wrapBlock(k string, block []byte, first, last int64) []byte {
	b := append([]byte{0x16, 0xD1, 0x16, 0xD1, 1}, block...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(k))), k...)
	b = append(b, block[4], 0, 1)
	for _, v := range []int64{first, last, 5} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(block)))
	return binary.BigEndian.AppendUint64(b, uint64(5+len(block)))
}
