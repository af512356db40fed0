package tsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

const (
	tsmMagic    = 0x16D116D1
	tsmVersion  = 1
	headerSize  = 5  // magic and version
	entrySize   = 28 // first and last time, offset, size
	footerSize  = 8  // where the index begins
	keyOverhead = 5  // length of the key before it, type and count after it

	// maxWindow is the most that a checker asks to see at once. Blocks beyond
	// it are found by their checksum alone. It must hold the longest key.
	maxWindow = 192 << 10
)

// tsmPhase is the part of the file that comes next.
type tsmPhase int

const (
	phaseHeader tsmPhase = iota
	phaseBlock           // at the start of a block, or of the index
	phaseSearch          // inside a block whose end only its checksum shows
	phaseKey             // at the start of a key of the index, or of the footer
	phaseEntry           // inside a key's list of blocks
)

// tsmFile verifies one TSM file as its bytes come, in constant memory.
//
// The lengths of the blocks stand only in the index at the end. So a block's
// end is proposed by its own structure and confirmed by its checksum. Where
// the structure does not tell, the end is where the running checksum equals
// the stored one. The index begins where no block does and the bytes name the
// first block. What the index says of the blocks must then be what was found;
// a running hash of each side stands for the two lists.
type tsmFile struct {
	size   int64 // of the whole file
	offset int64 // of the next byte to be consumed
	phase  tsmPhase

	start     int64  // of the current block
	firstSize uint32 // of the first block
	stored    uint32 // the checksum that a search looks for, inverted
	running   uint32 // its state
	current   span   // times of the block that is searched

	index         int64 // where the index begins
	left          int   // blocks that the current key still lists
	key           []byte
	typ           byte
	listed        int
	found, stated blockHash

	blocks, keys int
	tally        *tally // nil: values are not counted
}

// blockHash stands for a list of blocks: places, and times.
type blockHash struct{ places, times uint64 }

func (h *blockHash) add(offset int64, size uint32, minTime, maxTime int64) {
	h.places = mix(h.places, uint64(offset), uint64(size))
	h.times = mix(h.times, uint64(minTime), uint64(maxTime))
}

// mix is a quick hash, good against damage, not against an attacker.
func mix(h, a, b uint64) uint64 {
	h ^= a*0x9E3779B97F4A7C15 + b
	h *= 0xff51afd7ed558ccd
	return h ^ h>>29
}

// fault is a reason with its place in the file.
type fault struct {
	offset int64
	reason string
}

func (f *tsmFile) faultf(offset int64, format string, args ...any) *fault {
	return &fault{offset, fmt.Sprintf(format, args...)}
}

// reset prepares for a file of the given size and keeps the memory.
func (f *tsmFile) reset(size int64, t *tally) {
	*f = tsmFile{size: size, key: f.key[:0], tally: t}
}

// feed verifies as much of b as it can and says how much that was. It may
// leave up to maxWindow bytes, which come again with more behind them.
func (f *tsmFile) feed(b []byte) (int, *fault) {
	begin := f.offset
	for {
		rest := b[f.offset-begin:]
		if len(rest) == 0 {
			return len(b), nil
		}
		n, bad := f.step(rest)
		if bad != nil {
			return 0, bad
		}
		if n == 0 {
			return int(f.offset - begin), nil
		}
		f.offset += int64(n)
	}
}

// step takes one block, key, entry or searched stretch from the start of b.
// 0 means that more is needed.
func (f *tsmFile) step(b []byte) (int, *fault) {
	switch f.phase {
	case phaseHeader:
		return f.header(b)
	case phaseBlock:
		return f.block(b)
	case phaseSearch:
		return f.search(b)
	case phaseKey:
		if f.offset == f.size-footerSize {
			return f.footer(b)
		}
		return f.indexKey(b)
	default:
		return f.indexEntry(b)
	}
}

func (f *tsmFile) header(b []byte) (int, *fault) {
	if f.size < headerSize+minBlock+keyOverhead+entrySize+footerSize {
		return 0, f.faultf(0, "%d bytes are too few for a TSM file", f.size)
	}
	if len(b) < headerSize {
		return 0, nil
	}
	if m := binary.BigEndian.Uint32(b); m != tsmMagic {
		return 0, f.faultf(0, "magic is %#x, want %#x", m, tsmMagic)
	}
	if b[4] != tsmVersion {
		return 0, f.faultf(4, "version is %d, want %d", b[4], tsmVersion)
	}
	f.phase = phaseBlock
	return headerSize, nil
}

// more says whether waiting can bring anything: b is not yet as long as a
// checker may ask for, and not the end of the file.
func (f *tsmFile) more(b []byte) bool {
	return len(b) < maxWindow && f.offset+int64(len(b)) < f.size
}

// block is at a boundary: the next block by its structure, or the index, or a
// block by its checksum, in this order.
func (f *tsmFile) block(b []byte) (int, *fault) {
	f.start = f.offset
	n, times, fitting := blockLength(b)
	if fitting == short && f.more(b) {
		return 0, nil
	}
	if fitting == fits && crc32.ChecksumIEEE(b[4:n]) == binary.BigEndian.Uint32(b) {
		f.foundBlock(int64(n), times)
		return n, nil
	}
	switch f.indexBegins(b) {
	case fits:
		f.phase, f.index = phaseKey, f.offset
		return f.indexKey(b)
	case short:
		if f.more(b) {
			return 0, nil
		}
	case strange:
	}
	return f.beginSearch(b)
}

func (f *tsmFile) foundBlock(size int64, times span) {
	if f.blocks == 0 {
		f.firstSize = uint32(size)
	}
	f.blocks++
	f.found.add(f.start, uint32(size), times.min, times.max)
	if f.tally != nil {
		f.tally.block(times.count)
	}
	f.phase = phaseBlock
}

// indexBegins says whether b is a key that lists the file's first block.
func (f *tsmFile) indexBegins(b []byte) fit {
	if f.blocks == 0 {
		return strange
	}
	if len(b) < 2 {
		return short
	}
	at := keyOverhead + int(binary.BigEndian.Uint16(b))
	if len(b) < at+entrySize {
		return short
	}
	e := b[at:]
	if binary.BigEndian.Uint64(e[16:]) == headerSize && binary.BigEndian.Uint32(e[24:]) == f.firstSize {
		return fits
	}
	return strange
}

// beginSearch starts the search by checksum. The block's times are needed for
// the comparison with the index, so they must be readable.
func (f *tsmFile) beginSearch(b []byte) (int, *fault) {
	times, _, fitting := blockSections(b)
	ok := fitting == fits
	if ok {
		f.current, ok = timeSpan(times)
	}
	if !ok {
		return 0, f.faultf(f.start, "neither a block nor the index begins here")
	}
	f.stored, f.running = ^binary.BigEndian.Uint32(b), ^uint32(0)
	f.phase = phaseSearch
	return 4, nil
}

// search runs the checksum byte by byte. That a wrong place matches by chance
// (1 in 2^32 for each byte) makes the rest of the file fail: it can refuse a
// good file, never accept a bad one.
func (f *tsmFile) search(b []byte) (int, *fault) {
	running, stored := f.running, f.stored
	for i, x := range b {
		running = crc32.IEEETable[byte(running)^x] ^ running>>8
		if running == stored {
			n := i + 1
			f.foundBlock(f.offset+int64(n)-f.start, f.current)
			return n, nil
		}
	}
	f.running = running
	if f.offset+int64(len(b)) == f.size {
		return 0, f.faultf(f.start, "the block's checksum does not fit its content")
	}
	return len(b), nil
}

// indexKey takes a key with its type and the number of its blocks.
func (f *tsmFile) indexKey(b []byte) (int, *fault) {
	if len(b) < 2 {
		return 0, nil
	}
	n := keyOverhead + int(binary.BigEndian.Uint16(b))
	if f.offset+int64(n)+entrySize > f.size-footerSize {
		return 0, f.faultf(f.offset, "the index reaches into the footer")
	}
	if len(b) < n {
		return 0, nil
	}
	key := b[2 : n-3]
	if f.keys > 0 && bytes.Compare(f.key, key) >= 0 {
		return 0, f.faultf(f.offset, "the keys of the index do not ascend")
	}
	f.key, f.typ = append(f.key[:0], key...), b[n-3]
	f.left = int(binary.BigEndian.Uint16(b[n-2:]))
	if f.typ > typeUnsigned || f.left == 0 {
		return 0, f.faultf(f.offset, "the index has a key of type %d with %d blocks", f.typ, f.left)
	}
	if f.offset+int64(n)+int64(f.left)*entrySize > f.size-footerSize {
		return 0, f.faultf(f.offset, "the index reaches into the footer")
	}
	f.keys++
	f.phase = phaseEntry
	if f.tally != nil {
		f.tally.key(key)
	}
	return n, nil
}

// indexEntry takes one block's line of the index.
func (f *tsmFile) indexEntry(b []byte) (int, *fault) {
	if len(b) < entrySize {
		return 0, nil
	}
	e := parseIndexEntry(b)
	if e.max < e.min {
		return 0, f.faultf(f.offset, "a block of the index ends before it begins")
	}
	f.stated.add(e.offset, e.size, e.min, e.max)
	f.listed++
	if f.tally != nil {
		f.tally.entry(e.min, e.max)
	}
	if f.left--; f.left == 0 {
		f.phase = phaseKey
	}
	return entrySize, nil
}

// indexEntry is a block's line in the index.
type indexEntry struct {
	min, max int64 // first and last time, inclusive
	offset   int64
	size     uint32 // with its checksum
}

func parseIndexEntry(b []byte) indexEntry {
	return indexEntry{
		min:    int64(binary.BigEndian.Uint64(b)),
		max:    int64(binary.BigEndian.Uint64(b[8:])),
		offset: int64(binary.BigEndian.Uint64(b[16:])),
		size:   binary.BigEndian.Uint32(b[24:]),
	}
}

// footer compares the file's end and the two lists of blocks.
func (f *tsmFile) footer(b []byte) (int, *fault) {
	if len(b) < footerSize {
		return 0, nil
	}
	switch at := int64(binary.BigEndian.Uint64(b)); {
	case at != f.index:
		return 0, f.faultf(f.offset, "the footer places the index at %d, it is at %d", at, f.index)
	case f.listed != f.blocks:
		return 0, f.faultf(f.index, "the index lists %d blocks, the file has %d", f.listed, f.blocks)
	case f.stated.places != f.found.places:
		return 0, f.faultf(f.index, "the index places the blocks elsewhere than they are")
	case f.stated.times != f.found.times:
		return 0, f.faultf(f.index, "the index gives the blocks other times than they have")
	}
	return footerSize, nil
}

// finish is called after the last byte.
func (f *tsmFile) finish() *fault {
	if f.offset != f.size || f.phase != phaseKey {
		return f.faultf(f.offset, "the file ends before its footer")
	}
	if f.tally != nil {
		f.tally.endKey()
	}
	return nil
}
