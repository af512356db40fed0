package tsm

import (
	"encoding/binary"
	"math/bits"
)

// endMark is the NaN that ends a block's floats. No such value can be written
// to InfluxDB.
const endMark = 0x7FF8000000000001

// decodeFloats unpacks count floats, as their bits. Each one but the first is
// stored as what differs from the one before: a 0 bit for nothing, 10 and the
// bits in the window of the difference before, or 11 with a new window (5 bits
// leading zeros, 6 bits width) and the bits.
func decodeFloats(v []byte, count int) ([]uint64, error) {
	if n, f := floatsLength(v, count); f != fits || n != len(v) || len(v) < 9 {
		return nil, errBlock
	}
	value := binary.BigEndian.Uint64(v[1:])
	values := append(make([]uint64, 0, count), value)
	r := bitReader{b: v[9:]}
	var width, trailing uint
	for range count - 1 {
		if r.take(1) == 1 {
			if r.take(1) == 1 {
				leading := uint(r.take(5))
				if width = uint(r.take(6)); width == 0 {
					width = 64
				}
				if leading+width > 64 {
					return nil, errBlock
				}
				trailing = 64 - leading - width
			}
			value ^= r.take(width) << trailing
		}
		if value == endMark {
			return nil, errBlock
		}
		values = append(values, value)
	}
	return values, nil
}

// bitReader reads bits from the highest one on; zeros after the end.
type bitReader struct {
	b   []byte
	pos uint
}

func (r *bitReader) take(n uint) (v uint64) {
	for n > 0 {
		have := 8 - r.pos&7
		use := min(have, n)
		var x byte
		if i := r.pos >> 3; i < uint(len(r.b)) {
			x = r.b[i] << (8 - have) >> (8 - use)
		}
		v = v<<use | uint64(x)
		r.pos += use
		n -= use
	}
	return v
}

// bitWriter appends bits from the highest one on.
type bitWriter struct {
	b    []byte
	free uint // bits of the last byte
}

func (w *bitWriter) put(v uint64, n uint) {
	for n > 0 {
		if w.free == 0 {
			w.b = append(w.b, 0)
			w.free = 8
		}
		use := min(w.free, n)
		x := byte(v>>(n-use)) & byte(1<<use-1)
		w.b[len(w.b)-1] |= x << (w.free - use)
		w.free -= use
		n -= use
	}
}

// appendFloats packs floats given as bits.
func appendFloats(out []byte, values []uint64) []byte {
	if len(values) == 0 {
		return out
	}
	w := bitWriter{b: append(out, 1<<4)}
	w.put(values[0], 64)
	before := values[0]
	width, trailing := uint(0), uint(0)
	for _, v := range append(values[1:len(values):len(values)], endMark) {
		diff := v ^ before
		before = v
		if diff == 0 {
			w.put(0, 1)
			continue
		}
		// The width does not fit into its 6 bits when it is 64: 0 says so.
		if leads := min(uint(bits.LeadingZeros64(diff)), 31); !inWindow(diff, width, trailing) {
			trailing = uint(bits.TrailingZeros64(diff))
			width = 64 - leads - trailing
			w.put(3, 2)
			w.put(uint64(leads), 5)
			w.put(uint64(width&63), 6)
		} else {
			w.put(2, 2)
		}
		w.put(diff>>trailing, width)
	}
	return w.b
}

// inWindow says whether the window of the difference before holds this one.
func inWindow(diff uint64, width, trailing uint) bool {
	return width > 0 && diff>>trailing<<trailing == diff && diff>>trailing>>width == 0
}
