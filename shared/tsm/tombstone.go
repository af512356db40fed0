package tsm

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// The versions of tombstone files by their first four bytes. A file that
// begins otherwise is of version 1: one key a line.
const (
	tombstoneV2 = 0x1502
	tombstoneV3 = 0x1503
	tombstoneV4 = 0x1504

	// maxTombstone bounds a tombstone file, which is held in memory. A record
	// takes 3 to 30 bytes of it.
	maxTombstone = 16 << 20
)

// fieldSeparator stands between series and field in a key.
const fieldSeparator = "#!~#"

var errTombstoneKey = errors.New("a record's key is not one of a field")

// timeRange is inclusive at both ends.
type timeRange struct{ min, max int64 }

// tombstoneFunc gets each record. The key is valid during the call only.
type tombstoneFunc func(key []byte, r timeRange) error

// readTombstone reads a whole tombstone file and calls fn for each record.
func readTombstone(b []byte, fn tombstoneFunc) (records int, err error) {
	counted := func(key []byte, r timeRange) error {
		records++
		if !bytes.Contains(key, []byte(fieldSeparator)) {
			return errTombstoneKey
		}
		return fn(key, r)
	}
	var version uint32
	if len(b) >= 4 {
		version = binary.BigEndian.Uint32(b)
	}
	switch version {
	case tombstoneV2:
		err = tombstoneRecords(bytes.NewReader(b[4:]), counted)
	case tombstoneV3, tombstoneV4:
		err = tombstoneMembers(b[4:], counted)
	default:
		err = tombstoneLines(b, counted)
	}
	return records, err
}

// tombstoneLines reads version 1.
func tombstoneLines(b []byte, fn tombstoneFunc) error {
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			continue
		}
		if err := fn(line, timeRange{math.MinInt64, math.MaxInt64}); err != nil {
			return err
		}
	}
	return nil
}

// tombstoneMembers reads the gzip members of the versions 3 and 4. Each
// member was one delete and ends with a whole record.
func tombstoneMembers(b []byte, fn tombstoneFunc) error {
	if len(b) == 0 {
		return nil
	}
	src := bufio.NewReader(bytes.NewReader(b))
	z, err := gzip.NewReader(src)
	for err == nil {
		z.Multistream(false)
		if err := tombstoneRecords(z, fn); err != nil {
			return err
		}
		err = z.Reset(src)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("open gzip member: %w", err)
}

// tombstoneRecords reads records to the end of r: length of the key, key,
// first and last time, all big endian.
func tombstoneRecords(r io.Reader, fn tombstoneFunc) error {
	var buf []byte
	var length [4]byte
	for {
		if _, err := io.ReadFull(r, length[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read record: %w", err)
		}
		n := binary.BigEndian.Uint32(length[:])
		if n > math.MaxUint16 {
			return fmt.Errorf("read record: a key of %d bytes", n)
		}
		buf = append(buf[:0], make([]byte, n+16)...)
		if _, err := io.ReadFull(r, buf); err != nil {
			return fmt.Errorf("read record: %w", noEOF(err))
		}
		times := timeRange{int64(binary.BigEndian.Uint64(buf[n:])), int64(binary.BigEndian.Uint64(buf[n+8:]))}
		if err := fn(buf[:n], times); err != nil {
			return err
		}
	}
}

// noEOF makes an end in mid-record an error that nobody takes for the end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
