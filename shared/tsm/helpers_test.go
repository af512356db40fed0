package tsm_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"testing"
)

func putUint64(b []byte, v uint64) { binary.BigEndian.PutUint64(b, v) }

// tarHeader is one header block.
func tarHeader(t testing.TB, name string, size int64) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := tar.NewWriter(&out).WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// record is one line of a tombstone file.
type record struct {
	key      string
	min, max int64
}

// tombstone writes a file of version 1 to 4; for 4 each record is a delete of
// its own.
func tombstone(version int, records ...record) []byte {
	var out bytes.Buffer
	if version == 1 {
		for _, r := range records {
			out.WriteString(r.key + "\n")
		}
		return out.Bytes()
	}
	out.Write([]byte{0, 0, 0x15, byte(version)})
	switch version {
	case 2:
		out.Write(recordBytes(records...))
	case 3:
		out.Write(zipped(recordBytes(records...)))
	case 4:
		for _, r := range records {
			out.Write(zipped(recordBytes(r)))
		}
	}
	return out.Bytes()
}

func recordBytes(records ...record) (b []byte) {
	for _, r := range records {
		b = binary.BigEndian.AppendUint32(b, uint32(len(r.key)))
		b = append(b, r.key...)
		b = binary.BigEndian.AppendUint64(b, uint64(r.min))
		b = binary.BigEndian.AppendUint64(b, uint64(r.max))
	}
	return b
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}
