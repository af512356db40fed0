package tsm

import (
	"encoding/binary"
	"fmt"
	"math"
)

// What the external tests need of the inside.
const (
	MaxWindow  = maxWindow
	BufferSize = bufferSize
)

// AppendFloats packs floats as a block holds them.
func AppendFloats(out []byte, values []float64) []byte {
	raw := make([]uint64, len(values))
	for i, v := range values {
		raw[i] = math.Float64bits(v)
	}
	return appendFloats(out, raw)
}

// Point is a value of a key.
type Point struct {
	Time  int64
	Value any
}

// Decode unpacks a whole TSM file by its index.
func Decode(b []byte) (map[string][]Point, error) {
	all := map[string][]Point{}
	at := int(binary.BigEndian.Uint64(b[len(b)-footerSize:]))
	for index := b[at : len(b)-footerSize]; len(index) > 0; {
		n := int(binary.BigEndian.Uint16(index))
		key := string(index[2 : 2+n])
		blocks := int(binary.BigEndian.Uint16(index[n+3:]))
		index = index[keyOverhead+n:]
		for range blocks {
			e := parseIndexEntry(index)
			index = index[entrySize:]
			points, err := decodeBlock(b[e.offset : e.offset+int64(e.size)])
			if err != nil {
				return nil, fmt.Errorf("%q: %w", key, err)
			}
			all[key] = append(all[key], points...)
		}
	}
	return all, nil
}

func decodeBlock(b []byte) ([]Point, error) {
	packed, values, f := blockSections(b)
	if f != fits {
		return nil, errBlock
	}
	times, err := decodeTimes(packed)
	if err != nil {
		return nil, err
	}
	decoded, err := decodeAny(b[4], values, len(times))
	if err != nil {
		return nil, err
	}
	points := make([]Point, len(times))
	for i, t := range times {
		points[i] = Point{t, decoded[i]}
	}
	return points, nil
}

func decodeAny(typ byte, v []byte, count int) ([]any, error) {
	switch typ {
	case typeFloat:
		all, err := decodeFloats(v, count)
		return anys(all, func(x uint64) any { return math.Float64frombits(x) }), err
	case typeInteger:
		all, err := decodeIntegers(v, count)
		return anys(all, func(x int64) any { return x }), err
	case typeUnsigned:
		all, err := decodeIntegers(v, count)
		return anys(all, func(x int64) any { return uint64(x) }), err
	case typeBoolean:
		all, err := decodeBooleans(v, count)
		return anys(all, func(x bool) any { return x }), err
	}
	all, err := decodeStrings(v, count)
	return anys(all, func(x []byte) any {
		_, n := binary.Uvarint(x)
		return string(x[n:])
	}), err
}

func anys[T any](all []T, f func(T) any) []any {
	out := make([]any, len(all))
	for i, x := range all {
		out[i] = f(x)
	}
	return out
}

// BlockTimes gives the first and last time of a block with its checksum.
func BlockTimes(b []byte) (first, last int64, ok bool) {
	times, _, f := blockSections(b)
	if f != fits {
		return 0, 0, false
	}
	s, ok := timeSpan(times)
	return s.min, s.max, ok
}
