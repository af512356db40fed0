package tsm

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
)

// bufferSize is what one archive takes while it streams. Less than maxWindow
// of it may wait for more, the rest is room to read into.
const bufferSize = 256 << 10

// part is what comes next in the archive.
type part int

const (
	partHeader  part = iota // an entry's header, or the end marker
	partContent             // an entry's content
	partPadding             // the zeros behind it
	partMarker              // the second block of the end marker
	partEnd                 // zeros only
)

// verifier passes an archive on byte by byte as it comes, and verifies it.
//
// One buffer serves all: bytes up to passed were given to the reader, bytes
// up to done were verified, bytes up to filled were read. Verified need not
// be passed and passed need not be verified, but io.EOF comes after both.
type verifier struct {
	src    io.Reader
	buf    []byte
	passed int
	done   int
	filled int
	base   int64 // offset of buf[0] in the archive
	err    error // what Read answers when all is passed

	part    part
	left    int64 // of the content
	pad     int   // of the padding
	last    string
	entry   Entry
	size    int64
	sum     hash.Hash
	tsm     tsmFile
	stone   []byte // content of a tombstone file
	archive Archive

	count  *counter // nil: values are not counted
	stones *stones  // nil: tombstones are checked, not kept
}

func newVerifier(src io.Reader) *verifier {
	return &verifier{src: src, buf: make([]byte, bufferSize), sum: sha256.New()}
}

// Read implements io.Reader.
func (v *verifier) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for v.passed == v.filled {
		if v.err != nil {
			return 0, v.err
		}
		v.err = v.fill()
		if v.err != nil && v.err != io.EOF { //nolint:errorlint // our own, unwrapped
			v.passed = v.filled // what is broken is not passed on
		}
	}
	n := copy(p, v.buf[v.passed:v.filled])
	v.passed += n
	return n, nil
}

// fill reads once and verifies what it can. It returns io.EOF when the
// archive is whole.
func (v *verifier) fill() error {
	copy(v.buf, v.buf[v.done:v.filled])
	v.base += int64(v.done)
	v.filled -= v.done
	v.passed, v.done = v.filled, 0

	n, err := v.readSome()
	v.filled += n
	if n > 0 {
		if bad := v.verify(); bad != nil {
			return bad
		}
	}
	switch err {
	case nil:
		return nil
	case io.EOF: //nolint:errorlint // a wrapped io.EOF is somebody's error, not the end
		return v.end()
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("read shard archive: %w: %v", io.ErrUnexpectedEOF, err) //nolint:errorlint // must not look like the end
	}
	return fmt.Errorf("read shard archive: %w", err)
}

// readSome reads until there is something.
func (v *verifier) readSome() (int, error) {
	for range 100 {
		if n, err := v.src.Read(v.buf[v.filled:]); n > 0 || err != nil {
			return n, err //nolint:wrapcheck // the caller wraps it
		}
	}
	return 0, io.ErrNoProgress
}

// verify takes as many whole parts from the buffer as there are.
func (v *verifier) verify() error {
	for v.done < v.filled {
		n, err := v.step(v.buf[v.done:v.filled])
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		v.done += n
		v.closeContent()
	}
	return nil
}

// step takes from the part that is due. 0 means that more is needed.
func (v *verifier) step(b []byte) (int, error) {
	switch v.part {
	case partHeader:
		return v.header(b)
	case partContent:
		return v.content(b[:min(int64(len(b)), v.left)])
	case partPadding:
		return v.padding(b)
	case partMarker:
		return v.marker(b)
	default:
		if !isZero(b) {
			return 0, v.broken("bytes after the end marker")
		}
		return len(b), nil
	}
}

// broken makes the error for a fault outside of a file's content.
func (v *verifier) broken(format string, args ...any) error {
	return &CorruptError{Offset: v.base + int64(v.done), Reason: fmt.Sprintf(format, args...)}
}

// header takes the header of an entry, or the first block of the end marker.
func (v *verifier) header(b []byte) (int, error) {
	if len(b) < tarBlock {
		return 0, nil
	}
	if isZero(b[:tarBlock]) {
		v.part = partMarker
		return tarBlock, nil
	}
	n, err := headerLength(b)
	if err != nil || n == 0 || len(b) < n {
		if err != nil {
			err = v.broken("%v", err)
		}
		return 0, err
	}
	h, err := parseHeader(b[:n])
	if err != nil {
		return 0, v.broken("%v", err)
	}
	if err := v.begin(h.Name, h.Size); err != nil {
		return 0, err
	}
	return n, nil
}

// begin starts an entry. The server sends them sorted by name: this makes
// swapped and repeated entries visible, and puts each tombstone file before
// the file it belongs to.
func (v *verifier) begin(name string, size int64) error {
	e, err := ParseEntry(name)
	if err != nil {
		return v.broken("entry %q: %v", name, err)
	}
	a := &v.archive
	if len(a.Files) == 0 {
		a.Database, a.RetentionPolicy, a.Shard = e.Database, e.RetentionPolicy, e.Shard
	}
	if e.Database != a.Database || e.RetentionPolicy != a.RetentionPolicy || e.Shard != a.Shard {
		return v.broken("entry %q is of another shard", name)
	}
	if e.File <= v.last {
		return v.broken("entry %q comes twice or out of order", name)
	}
	if v.isStone(e.File) && size > maxTombstone {
		return v.broken("entry %q has %d bytes, at most %d can be read", name, size, maxTombstone)
	}
	v.entry, v.last, v.size, v.left, v.pad = e, e.File, size, size, padding(size)
	v.part = partContent
	v.sum.Reset()
	v.stone = v.stone[:0]
	v.tsm.reset(size, v.tally(e.File))
	if size == 0 {
		return v.finish()
	}
	return nil
}

// tally is what counts the values of a file. One that a tombstone concerns is
// counted by the rewriter, if there is one, as what is left of it.
func (v *verifier) tally(file string) *tally {
	deleted := v.stones.of(file)
	if deleted != nil && v.stones.kept != nil {
		return nil
	}
	return v.count.file(deleted)
}

func (v *verifier) isStone(file string) bool { return strings.HasSuffix(file, extTombstone) }

// content verifies a stretch of a file.
func (v *verifier) content(b []byte) (int, error) {
	n := len(b)
	if v.isStone(v.entry.File) {
		v.stone = append(v.stone, b...)
	} else {
		var bad *fault
		if n, bad = v.tsm.feed(b); bad != nil {
			return 0, v.inFile(bad)
		}
	}
	v.sum.Write(b[:n])
	if v.left -= int64(n); v.left > 0 {
		return n, nil
	}
	return n, v.finish()
}

func (v *verifier) inFile(bad *fault) error {
	return &CorruptError{File: v.entry.File, Offset: bad.offset, Reason: bad.reason}
}

// finish is called after a file's last byte.
func (v *verifier) finish() error {
	f := File{Name: v.entry.File, Size: v.size}
	if v.isStone(f.Name) {
		records, err := readTombstone(v.stone, v.stones.begin(f.Name))
		if err != nil {
			return v.inFile(&fault{0, err.Error()})
		}
		f.Keys = records
	} else {
		if bad := v.tsm.finish(); bad != nil {
			return v.inFile(bad)
		}
		f.Blocks, f.Keys = v.tsm.blocks, v.tsm.keys
	}
	f.SHA256 = hex.EncodeToString(v.sum.Sum(nil))
	v.archive.Files = append(v.archive.Files, f)
	v.part = partPadding
	return nil
}

// closeContent goes on to the next entry when there is no padding.
func (v *verifier) closeContent() {
	if v.part == partPadding && v.pad == 0 {
		v.part = partHeader
	}
}

// padding takes the zeros behind a file.
func (v *verifier) padding(b []byte) (int, error) {
	n := min(v.pad, len(b))
	if !isZero(b[:n]) {
		return 0, v.broken("the padding behind %s is not zero", v.entry.File)
	}
	v.pad -= n
	return n, nil
}

// marker takes the second block of the end marker.
func (v *verifier) marker(b []byte) (int, error) {
	if len(b) < tarBlock {
		return 0, nil
	}
	if !isZero(b[:tarBlock]) {
		return 0, v.broken("half an end marker")
	}
	v.part = partEnd
	return tarBlock, nil
}

// end is called when the source has no more: it must be the end here too.
// Other writers of tar pad behind the end marker, always by whole blocks.
func (v *verifier) end() error {
	if v.part == partContent {
		return &CorruptError{File: v.entry.File, Offset: v.size - v.left, Reason: "the archive is cut here"}
	}
	v.archive.Bytes = v.base + int64(v.filled)
	if v.part != partEnd || v.done != v.filled {
		return &CorruptError{Offset: v.archive.Bytes, Reason: "the archive is cut here: no end marker"}
	}
	if v.archive.Bytes%tarBlock != 0 {
		return v.broken("the end marker is followed by part of a block")
	}
	return io.EOF
}
