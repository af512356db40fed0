package tsm

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	tarBlock = 512
	// maxTarHeader bounds an entry's header with its extended records.
	maxTarHeader = 64 << 10
	// sizeField is where a header says how long its content is.
	sizeField    = 124
	sizeFieldEnd = 136
	typeField    = 156
)

var errTarHeader = errors.New("not a tar header")

// headerLength says how many bytes the header at the start of b takes: one
// block, or more when extended records (long names) stand before it. 0 means
// that more of b is needed.
func headerLength(b []byte) (int, error) {
	for n := 0; ; {
		if n > maxTarHeader {
			return 0, errTarHeader
		}
		if len(b) < n+tarBlock {
			return 0, nil
		}
		switch b[n+typeField] {
		case tar.TypeXHeader, tar.TypeGNULongName, tar.TypeGNULongLink:
			field := strings.Trim(string(b[n+sizeField:n+sizeFieldEnd]), " \x00")
			size, err := strconv.ParseUint(field, 8, 32)
			if err != nil || size > maxTarHeader {
				return 0, errTarHeader
			}
			n += tarBlock + int(size) + padding(int64(size))
		default:
			return n + tarBlock, nil
		}
	}
}

// padding is the number of zeros that fill content up to a whole block.
func padding(size int64) int { return int(-size & (tarBlock - 1)) }

// parseHeader reads the header that headerLength has measured. Only regular
// files are accepted.
func parseHeader(b []byte) (*tar.Header, error) {
	h, err := tar.NewReader(bytes.NewReader(b)).Next()
	// Paths with .. are the detours of the design; nothing is unpacked here.
	if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
		return nil, errTarHeader
	}
	if h.Typeflag != tar.TypeReg || h.Linkname != "" {
		return nil, fmt.Errorf("entry %q is not a regular file", h.Name)
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse") {
			return nil, fmt.Errorf("entry %q is sparse", h.Name)
		}
	}
	return h, nil
}

// isZero says whether b holds nothing but zeros.
func isZero(b []byte) bool {
	for len(b) >= len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}

// zeros is the content of an empty tar block. It is never written to.
var zeros [tarBlock]byte
