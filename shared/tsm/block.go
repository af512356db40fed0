package tsm

import (
	"encoding/binary"
	"math/bits"
)

// Block types, as in the byte after a block's checksum.
const (
	typeFloat = iota
	typeInteger
	typeBoolean
	typeString
	typeUnsigned
)

// How the length of a structure came out.
type fit int

const (
	fits    fit = iota // the length is known
	short              // more bytes are needed to tell
	strange            // not such a structure
)

// span is what a block's time section says.
type span struct {
	count    int
	min, max int64
}

// simple8bCount and simple8bBits are the number and the width of the values
// in a word, by its top four bits. Width 0: all values are 1.
var (
	simple8bCount = [16]int{240, 120, 60, 30, 20, 15, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1}
	simple8bBits  = [16]uint{0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 60}
)

// scales are the divisors that a time section names in its low four bits.
var scales = [16]uint64{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// minBlock is a block without values: checksum, type, length of its times.
const minBlock = 6

// blockLength finds the length of the block that b begins with from its own
// structure. Nothing in a TSM file says where a block ends before the index at
// the file's end does. The answer is a proposal: only the block's checksum
// confirms it.
func blockLength(b []byte) (int, span, fit) {
	times, values, f := blockSections(b)
	if f != fits {
		return 0, span{}, f
	}
	s, ok := timeSpan(times)
	if !ok {
		return 0, span{}, strange
	}
	n, f := valuesLength(b[4], values, s.count)
	return len(b) - len(values) + n, s, f
}

// blockSections cuts b into the block's times and all that follows them.
func blockSections(b []byte) (times, values []byte, f fit) {
	if len(b) < minBlock {
		return nil, nil, short
	}
	size, n := binary.Uvarint(b[5:])
	switch {
	case b[4] > typeUnsigned || n < 0 || size > maxWindow:
		return nil, nil, strange
	case n == 0 || len(b)-5-n < int(size)+1:
		return nil, nil, short
	}
	return b[5+n : 5+n+int(size)], b[5+n+int(size):], fits
}

// valuesLength finds the length of count encoded values at the start of v,
// which holds at least one byte.
func valuesLength(typ byte, v []byte, count int) (int, fit) {
	switch typ {
	case typeFloat:
		return floatsLength(v, count)
	case typeInteger, typeUnsigned:
		return integersLength(v, count)
	case typeBoolean:
		return booleansLength(v)
	default:
		return stringsLength(v)
	}
}

// timeSpan reads count, first and last time without unpacking all of them
// into memory. Times are sorted, so these are the least and the greatest.
func timeSpan(b []byte) (span, bool) {
	if len(b) < 9 {
		return span{}, false
	}
	first := int64(binary.BigEndian.Uint64(b[1:]))
	scale := scales[b[0]&15]
	switch b[0] >> 4 {
	case 0:
		return rawSpan(b[1:])
	case 1:
		count, sum, ok := simple8bSum(b[9:])
		return span{count + 1, first, first + int64(sum*scale)}, ok
	case 2:
		delta, n := binary.Uvarint(b[9:])
		if n <= 0 {
			return span{}, false
		}
		count, m := binary.Uvarint(b[9+n:])
		if m <= 0 || 9+n+m != len(b) || count == 0 || count > maxPoints {
			return span{}, false
		}
		return span{int(count), first, first + int64((count-1)*delta*scale)}, true
	}
	return span{}, false
}

// maxPoints bounds the values of one block. InfluxDB writes 1,000, rarely
// 10,000. It keeps a damaged count from costing time.
const maxPoints = 1 << 20

// rawSpan adds up times that are stored as differences of eight bytes.
func rawSpan(b []byte) (span, bool) {
	s := span{count: len(b) / 8, min: int64(binary.BigEndian.Uint64(b))}
	for ; len(b) >= 8; b = b[8:] {
		s.max += int64(binary.BigEndian.Uint64(b))
	}
	return s, len(b) == 0
}

// simple8bSum counts and adds up packed values.
func simple8bSum(b []byte) (count int, sum uint64, ok bool) {
	for ; len(b) >= 8; b = b[8:] {
		w := binary.BigEndian.Uint64(b)
		n, width := simple8bCount[w>>60], simple8bBits[w>>60]
		count += n
		if width == 0 {
			sum += uint64(n)
			continue
		}
		for mask := uint64(1)<<width - 1; n > 0; n-- {
			sum += w & mask
			w >>= width
		}
	}
	return count, sum, len(b) == 0
}

// integersLength walks signed or unsigned integers.
func integersLength(v []byte, count int) (int, fit) {
	switch v[0] >> 4 {
	case 0:
		return within(1+8*count, v)
	case 1:
		n := 9
		for left := count - 1; left > 0; n += 8 {
			if n >= len(v) {
				return 0, short
			}
			left -= simple8bCount[v[n]>>4]
			if left < 0 {
				return 0, strange
			}
		}
		return within(n, v)
	case 2:
		return varints(v, 9, 2)
	}
	return 0, strange
}

// varints passes over a number of varints from position n on.
func varints(v []byte, n, number int) (int, fit) {
	for ; number > 0; number-- {
		if n >= len(v) {
			return 0, short
		}
		_, m := binary.Uvarint(v[n:])
		if m < 0 {
			return 0, strange
		}
		if m == 0 {
			return 0, short
		}
		n += m
	}
	return n, fits
}

// within says whether n bytes are there.
func within(n int, v []byte) (int, fit) {
	if n > len(v) {
		return 0, short
	}
	return n, fits
}

// booleansLength reads the count that booleans carry themselves.
func booleansLength(v []byte) (int, fit) {
	if v[0]>>4 != 1 {
		return 0, strange
	}
	count, n := binary.Uvarint(v[1:])
	if n < 0 || count > maxPoints {
		return 0, strange
	}
	if n == 0 {
		return 0, short
	}
	return within(1+n+int(count+7)/8, v)
}

// floatsLength walks the control bits of count floats (each stored as what
// differs from the one before) and of the mark that ends them. It is not
// interested in the values, so a run of equal ones is one step.
func floatsLength(v []byte, count int) (int, fit) {
	if v[0]>>4 != 1 {
		return 0, strange
	}
	width := -1 // significant bits of a difference, until stated anew
	pos, end := 8+64, len(v)*8
	for left := count; left > 0; { // count-1 differences and the end mark
		if pos >= end {
			return 0, short
		}
		w := load64(v, pos>>3) << (pos & 7) // at least 57 bits of it are good
		switch {
		case w>>63 == 0:
			run := min(bits.LeadingZeros64(w), 57, left)
			pos += run
			left -= run
		case w>>62 == 2:
			if width < 0 {
				return 0, strange
			}
			pos += 2 + width
			left--
		default:
			if width = int(w >> 51 & 63); width == 0 {
				width = 64
			}
			pos += 13 + width
			left--
		}
	}
	return within((pos+7)>>3, v)
}

// load64 reads eight bytes at i, with zeros for those beyond the end.
func load64(v []byte, i int) uint64 {
	if i+8 <= len(v) {
		return binary.BigEndian.Uint64(v[i:])
	}
	var b [8]byte
	copy(b[:], v[i:])
	return binary.BigEndian.Uint64(b[:])
}

// stringsLength walks the elements of a snappy block until its stated length.
func stringsLength(v []byte) (int, fit) {
	if v[0]>>4 != 1 {
		return 0, strange
	}
	size, n := binary.Uvarint(v[1:])
	if n < 0 || size > 1<<31 {
		return 0, strange
	}
	if n == 0 {
		return 0, short
	}
	pos := 1 + n
	for left := int(size); left > 0; {
		if pos >= len(v) {
			return 0, short
		}
		element, produced, f := snappyElement(v[pos:])
		if f != fits {
			return 0, f
		}
		pos += element
		if left -= produced; left < 0 {
			return 0, strange
		}
	}
	return within(pos, v)
}

// snappyElement gives the length of one element and what it expands to.
func snappyElement(b []byte) (length, produced int, f fit) {
	tag := int(b[0])
	switch tag & 3 {
	case 1:
		return 2, 4 + tag>>2&7, fits
	case 2:
		return 3, 1 + tag>>2, fits
	case 3:
		return 5, 1 + tag>>2, fits
	}
	extra := tag>>2 - 59 // bytes of a literal's length that follow the tag
	if extra <= 0 {
		return 2 + tag>>2, 1 + tag>>2, fits
	}
	if len(b) < 1+extra {
		return 0, 0, short
	}
	size := 0
	for i := extra; i > 0; i-- {
		size = size<<8 | int(b[i])
	}
	return 1 + extra + size + 1, size + 1, fits
}
