package tsm

import "encoding/binary"

// maxStrings bounds what one block of strings may expand to: 1,000 values of
// 64 KiB, doubled.
const maxStrings = 128 << 20

// decodeStrings unpacks count strings. Each keeps its length before it.
func decodeStrings(v []byte, count int) ([][]byte, error) {
	n, f := stringsLength(v)
	if f != fits || n != len(v) {
		return nil, errBlock
	}
	all, err := unsnap(v[1:])
	if err != nil {
		return nil, err
	}
	values := make([][]byte, 0, count)
	for len(all) > 0 {
		size, n := binary.Uvarint(all)
		if n <= 0 || uint64(len(all)-n) < size {
			return nil, errBlock
		}
		end := n + int(size)
		values = append(values, all[:end])
		all = all[end:]
	}
	if len(values) != count {
		return nil, errBlock
	}
	return values, nil
}

// appendStrings writes strings, each with its length before it, as a snappy
// block of literals.
func appendStrings(out []byte, values [][]byte) []byte {
	var all []byte
	for _, v := range values {
		all = append(all, v...)
	}
	out = binary.AppendUvarint(append(out, 1<<4), uint64(len(all)))
	for len(all) > 0 {
		n := min(len(all), 1<<16)
		out = append(out, 61<<2, byte(n-1), byte((n-1)>>8))
		out = append(out, all[:n]...)
		all = all[n:]
	}
	return out
}

// unsnap expands a snappy block whose elements stringsLength has walked.
func unsnap(b []byte) ([]byte, error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > maxStrings {
		return nil, errBlock
	}
	out := make([]byte, 0, size)
	for b = b[n:]; len(b) > 0; {
		length, produced, f := snappyElement(b)
		if f != fits || length > len(b) {
			return nil, errBlock
		}
		if b[0]&3 == 0 {
			out = append(out, b[length-produced:length]...)
		} else {
			back := snappyOffset(b)
			if back == 0 || back > len(out) {
				return nil, errBlock
			}
			// A copy may reach into what it makes, so byte by byte.
			for range produced {
				out = append(out, out[len(out)-back])
			}
		}
		b = b[length:]
	}
	if uint64(len(out)) != size {
		return nil, errBlock
	}
	return out, nil
}

// snappyOffset says how far back a copy begins.
func snappyOffset(b []byte) int {
	switch b[0] & 3 {
	case 1:
		return int(b[0]>>5)<<8 | int(b[1])
	case 2:
		return int(binary.LittleEndian.Uint16(b[1:]))
	default:
		return int(binary.LittleEndian.Uint32(b[1:]))
	}
}
