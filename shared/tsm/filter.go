package tsm

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// errBlock means that a block's content is not what its encoding says. The
// checksum was right, so it was written so.
var errBlock = errors.New("decode block: content does not fit its encoding")

// filterBlock makes a block anew with the values whose times stay. Both forms
// begin with the checksum. It returns nil when none stays, and the block
// itself when all do. Times and integers are written in the raw encoding,
// strings as snappy literals: InfluxDB reads both, and compresses them at its
// next compaction.
func filterBlock(block []byte, stays func(int64) bool) ([]byte, span, error) {
	packed, values, f := blockSections(block)
	if f != fits {
		return nil, span{}, errBlock
	}
	times, err := decodeTimes(packed)
	if err != nil {
		return nil, span{}, err
	}
	var kept []int // positions
	var left []int64
	for i, t := range times {
		if stays(t) {
			kept, left = append(kept, i), append(left, t)
		}
	}
	if len(kept) == 0 {
		return nil, span{}, nil
	}
	s := span{count: len(left), min: left[0], max: left[len(left)-1]}
	if len(kept) == len(times) {
		return block, s, nil
	}
	out := appendTimes([]byte{0, 0, 0, 0, block[4]}, left)
	if out, err = appendValues(out, block[4], values, kept, len(times)); err != nil {
		return nil, span{}, err
	}
	binary.BigEndian.PutUint32(out, crc32.ChecksumIEEE(out[4:]))
	return out, s, nil
}

// appendTimes appends the section of times with its length.
func appendTimes(out []byte, times []int64) []byte {
	out = binary.AppendUvarint(out, uint64(1+8*len(times)))
	out = append(out, 0)
	var before int64
	for _, t := range times {
		out = binary.BigEndian.AppendUint64(out, uint64(t-before))
		before = t
	}
	return out
}

// appendValues decodes count values and appends those at the kept positions.
func appendValues(out []byte, typ byte, v []byte, kept []int, count int) ([]byte, error) {
	switch typ {
	case typeFloat:
		all, err := decodeFloats(v, count)
		return appendFloats(out, pick(all, kept)), err
	case typeInteger, typeUnsigned:
		all, err := decodeIntegers(v, count)
		return appendIntegers(out, pick(all, kept)), err
	case typeBoolean:
		all, err := decodeBooleans(v, count)
		return appendBooleans(out, pick(all, kept)), err
	default:
		all, err := decodeStrings(v, count)
		return appendStrings(out, pick(all, kept)), err
	}
}

// pick takes the values at the kept positions; nil stays nil.
func pick[T any](all []T, kept []int) []T {
	if all == nil {
		return nil
	}
	picked := make([]T, len(kept))
	for i, at := range kept {
		picked[i] = all[at]
	}
	return picked
}

// decodeTimes unpacks a section of times.
func decodeTimes(b []byte) ([]int64, error) {
	s, ok := timeSpan(b)
	if !ok || s.count == 0 {
		return nil, errBlock
	}
	steps, err := timeSteps(b, s.count)
	if err != nil {
		return nil, err
	}
	times := make([]int64, 0, s.count)
	t := s.min
	for _, step := range steps {
		times = append(times, t)
		t += int64(step)
	}
	return append(times, t), nil
}

// timeSteps gives the differences between count times.
func timeSteps(b []byte, count int) ([]uint64, error) {
	scale := scales[b[0]&15]
	steps := make([]uint64, 0, count-1)
	switch b[0] >> 4 {
	case 0:
		for b = b[9:]; len(b) > 0; b = b[8:] {
			steps = append(steps, binary.BigEndian.Uint64(b))
		}
		return steps, nil
	case 1:
		steps = unpack(steps, b[9:])
	default:
		delta, _ := binary.Uvarint(b[9:])
		for range count - 1 {
			steps = append(steps, delta)
		}
	}
	for i := range steps {
		steps[i] *= scale
	}
	if len(steps) != count-1 {
		return nil, errBlock
	}
	return steps, nil
}

// unpack appends the values of packed words.
func unpack(dst []uint64, b []byte) []uint64 {
	for ; len(b) >= 8; b = b[8:] {
		w := binary.BigEndian.Uint64(b)
		n, width := simple8bCount[w>>60], simple8bBits[w>>60]
		mask := uint64(1)<<width - 1
		for range n {
			if width == 0 {
				dst = append(dst, 1)
				continue
			}
			dst = append(dst, w&mask)
			w >>= width
		}
	}
	return dst
}

// zigzag encoding keeps small negative integers small.
func zigzag(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// decodeIntegers unpacks count signed or unsigned integers.
func decodeIntegers(v []byte, count int) ([]int64, error) {
	n, f := integersLength(v, count)
	if f != fits || n != len(v) {
		return nil, errBlock
	}
	steps := make([]uint64, 0, count)
	switch v[0] >> 4 {
	case 0:
		for b := v[1:]; len(b) > 0; b = b[8:] {
			steps = append(steps, binary.BigEndian.Uint64(b))
		}
	case 1:
		steps = unpack(append(steps, binary.BigEndian.Uint64(v[1:])), v[9:])
	default:
		steps = append(steps, binary.BigEndian.Uint64(v[1:]))
		delta, n := binary.Uvarint(v[9:])
		if repeats, _ := binary.Uvarint(v[9+n:]); repeats != uint64(count-1) {
			return nil, errBlock
		}
		for range count - 1 {
			steps = append(steps, delta)
		}
	}
	if len(steps) != count {
		return nil, errBlock
	}
	return sumZigzag(steps), nil
}

func sumZigzag(steps []uint64) []int64 {
	values := make([]int64, len(steps))
	var sum int64
	for i, s := range steps {
		sum += unzigzag(s)
		values[i] = sum
	}
	return values
}

// appendIntegers writes the raw encoding: differences of eight bytes.
func appendIntegers(out []byte, values []int64) []byte {
	out = append(out, 0)
	var before int64
	for _, v := range values {
		out = binary.BigEndian.AppendUint64(out, zigzag(v-before))
		before = v
	}
	return out
}

// decodeBooleans unpacks count bits.
func decodeBooleans(v []byte, count int) ([]bool, error) {
	n, f := booleansLength(v)
	if f != fits || n != len(v) {
		return nil, errBlock
	}
	stated, m := binary.Uvarint(v[1:])
	if stated != uint64(count) {
		return nil, errBlock
	}
	values := make([]bool, count)
	for i := range values {
		values[i] = v[1+m+i>>3]>>(7-i&7)&1 == 1
	}
	return values, nil
}

func appendBooleans(out []byte, values []bool) []byte {
	out = binary.AppendUvarint(append(out, 1<<4), uint64(len(values)))
	at := len(out)
	out = append(out, make([]byte, (len(values)+7)/8)...)
	for i, v := range values {
		if v {
			out[at+i>>3] |= 1 << (7 - i&7)
		}
	}
	return out
}
