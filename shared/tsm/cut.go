package tsm

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// cut reads a TSM file without what its tombstone deletes: keys and blocks
// that are covered are left out, blocks that are partly covered are encoded
// anew, all others are copied. No key left means no file: size is 0.
//
// The file was verified before. Its index is walked three times, because the
// tar header needs the new size first, and the index, which comes last, the
// places of the blocks. So memory depends on the longest key's list of blocks
// only.
type cut struct {
	src     io.ReaderAt
	index   int64 // where the old index begins
	end     int64 // and ends
	deleted map[string][]timeRange
	encoded map[int64]indexEntry // blocks encoded anew, by their old place
	size    int64                // of the new file

	walk     *bufio.Reader
	place    int64       // of the next block in the new file
	ranges   []timeRange // of the current key
	left     []keptBlock
	buf, out []byte // made, and what of it was not yet read
	newIndex int64
	phase    cutPhase
}

// keptBlock is a block in the old and in the new file.
type keptBlock struct{ old, now indexEntry }

type cutPhase int

const (
	cutHeader cutPhase = iota
	cutBlocks
	cutIndex
	cutDone
)

// cutChunk is about how much is made at once.
const cutChunk = 64 << 10

// newCut measures what is left of the file of the given size.
func newCut(src io.ReaderAt, size int64, deleted map[string][]timeRange) (*cut, error) {
	var b [footerSize]byte
	if _, err := src.ReadAt(b[:], size-footerSize); err != nil {
		return nil, fmt.Errorf("read footer: %w", noEOF(err))
	}
	c := &cut{
		src: src, index: int64(binary.BigEndian.Uint64(b[:])), end: size - footerSize,
		deleted: deleted, encoded: map[int64]indexEntry{},
	}
	if c.index < headerSize || c.index > c.end {
		return nil, fmt.Errorf("find index: it is said to begin at %d", c.index)
	}
	return c, c.measure()
}

// measure is the first walk.
func (c *cut) measure() error {
	var index int64
	c.rewind()
	for {
		key, _, blocks, err := c.nextKey()
		if err == io.EOF { //nolint:errorlint // the end of the index
			break
		}
		if err != nil {
			return err
		}
		index += int64(keyOverhead + len(key) + entrySize*len(blocks))
	}
	if index > 0 {
		c.size = c.place + index + footerSize
	}
	c.newIndex = c.place
	c.rewind()
	return nil
}

// rewind begins a walk over the index.
func (c *cut) rewind() {
	c.walk = bufio.NewReader(io.NewSectionReader(c.src, c.index, c.end-c.index))
	c.place = headerSize
}

// nextKey gives the next key that keeps a block, and its kept blocks in order.
// It returns io.EOF at the end of the index.
func (c *cut) nextKey() (key []byte, typ byte, blocks []keptBlock, err error) {
	for {
		var n [2]byte
		if _, err := io.ReadFull(c.walk, n[:]); err != nil {
			return nil, 0, nil, err //nolint:wrapcheck // io.EOF is the end
		}
		rest := make([]byte, int(binary.BigEndian.Uint16(n[:]))+3)
		if _, err := io.ReadFull(c.walk, rest); err != nil {
			return nil, 0, nil, fmt.Errorf("read index: %w", noEOF(err))
		}
		key = rest[:len(rest)-3]
		count := int(binary.BigEndian.Uint16(rest[len(key)+1:]))
		if blocks, err = c.keep(c.deleted[string(key)], count); err != nil {
			return nil, 0, nil, fmt.Errorf("key %q: %w", key, err)
		}
		if len(blocks) > 0 {
			return key, rest[len(key)], blocks, nil
		}
	}
}

// keep reads a key's list of blocks and places those that stay.
func (c *cut) keep(ranges []timeRange, count int) ([]keptBlock, error) {
	var kept []keptBlock
	var b [entrySize]byte
	for range count {
		if _, err := io.ReadFull(c.walk, b[:]); err != nil {
			return nil, fmt.Errorf("read index: %w", noEOF(err))
		}
		old := parseIndexEntry(b[:])
		now, err := c.remains(old, ranges)
		if err != nil {
			return nil, err
		}
		if now.size == 0 {
			continue
		}
		now.offset = c.place
		c.place += int64(now.size)
		kept = append(kept, keptBlock{old, now})
	}
	return kept, nil
}

// remains says what is left of a block; size 0 when nothing is.
func (c *cut) remains(old indexEntry, ranges []timeRange) (indexEntry, error) {
	switch covers(ranges, old.min, old.max) {
	case coverNone:
		return old, nil
	case coverWhole:
		return indexEntry{}, nil
	case coverPart:
	}
	if now, ok := c.encoded[old.offset]; ok {
		return now, nil
	}
	block, times, err := c.encode(old, ranges)
	if err != nil {
		return indexEntry{}, err
	}
	now := indexEntry{min: times.min, max: times.max, size: uint32(len(block))}
	c.encoded[old.offset] = now
	return now, nil
}

// encode makes the block anew without the deleted times.
func (c *cut) encode(old indexEntry, ranges []timeRange) ([]byte, span, error) {
	block, err := c.read(nil, old)
	if err != nil {
		return nil, span{}, err
	}
	kept, times, err := filterBlock(block, func(t int64) bool { return !covered(ranges, t) })
	if err != nil {
		return nil, span{}, fmt.Errorf("block at byte %d: %w", old.offset, err)
	}
	return kept, times, nil
}

// read appends an old block to b.
func (c *cut) read(b []byte, e indexEntry) ([]byte, error) {
	if e.offset < headerSize || e.offset+int64(e.size) > c.index {
		return nil, fmt.Errorf("block at byte %d is not before the index", e.offset)
	}
	n := len(b)
	b = append(b, make([]byte, e.size)...)
	if _, err := c.src.ReadAt(b[n:], e.offset); err != nil {
		return nil, fmt.Errorf("read block at byte %d: %w", e.offset, noEOF(err))
	}
	return b, nil
}

// Read implements io.Reader: the new file.
func (c *cut) Read(p []byte) (int, error) {
	for len(c.out) == 0 {
		if c.phase == cutDone {
			return 0, io.EOF
		}
		if err := c.make(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

// make appends the next stretch of the new file to out.
func (c *cut) make() (err error) {
	switch c.phase {
	case cutHeader:
		c.out = append(binary.BigEndian.AppendUint32(nil, tsmMagic), tsmVersion)
		c.phase = cutBlocks
	case cutBlocks:
		return c.makeBlocks()
	case cutIndex:
		return c.makeIndex()
	case cutDone:
	}
	return nil
}

// makeBlocks is the second walk. The ranges of a key are needed again for its
// blocks that are encoded anew.
func (c *cut) makeBlocks() error {
	buf := c.buf[:0]
	for len(buf) < cutChunk {
		if len(c.left) == 0 {
			key, _, blocks, err := c.nextKey()
			if err == io.EOF { //nolint:errorlint // the end of the index
				c.rewind()
				c.phase = cutIndex
				break
			}
			if err != nil {
				return err
			}
			c.left, c.ranges = blocks, c.deleted[string(key)]
		}
		var err error
		if buf, err = c.appendBlock(buf, c.left[0]); err != nil {
			return err
		}
		c.left = c.left[1:]
	}
	c.buf, c.out = buf, buf
	return nil
}

// appendBlock appends a block as it was, or anew.
func (c *cut) appendBlock(buf []byte, b keptBlock) ([]byte, error) {
	if _, anew := c.encoded[b.old.offset]; !anew {
		return c.read(buf, b.old)
	}
	block, _, err := c.encode(b.old, c.ranges)
	return append(buf, block...), err
}

// makeIndex is the third walk.
func (c *cut) makeIndex() error {
	key, typ, blocks, err := c.nextKey()
	if err == io.EOF { //nolint:errorlint // the end of the index
		c.out = binary.BigEndian.AppendUint64(nil, uint64(c.newIndex))
		c.phase = cutDone
		return nil
	}
	if err != nil {
		return err
	}
	buf := binary.BigEndian.AppendUint16(c.buf[:0], uint16(len(key)))
	buf = append(append(buf, key...), typ)
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(blocks)))
	for _, b := range blocks {
		buf = binary.BigEndian.AppendUint64(buf, uint64(b.now.min))
		buf = binary.BigEndian.AppendUint64(buf, uint64(b.now.max))
		buf = binary.BigEndian.AppendUint64(buf, uint64(b.now.offset))
		buf = binary.BigEndian.AppendUint32(buf, b.now.size)
	}
	c.buf, c.out = buf, buf
	return nil
}
