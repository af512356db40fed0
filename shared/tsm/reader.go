package tsm

import (
	"io"
	"strings"
)

// Reader passes a shard archive on and verifies it. It is not safe for use by
// several goroutines.
type Reader struct {
	verify *verifier
	out    io.Reader // verify itself, or rewrite
	change *rewriter // nil: the bytes pass as they come
	whole  bool
}

// NewReader returns a Reader of the archive in src. Without Rename and
// Tombstones the bytes pass exactly as they came.
func NewReader(src io.Reader, o Options) *Reader {
	v := newVerifier(src)
	r := &Reader{verify: v, out: v}
	if o.Count {
		v.count = newCounter(o.Until)
	}
	if o.Count || o.Tombstones {
		v.stones = &stones{}
	}
	if o.Rename != nil || o.Tombstones {
		r.change = newRewriter(v, o)
		r.out = r.change
	}
	return r
}

// Read implements io.Reader. It answers io.EOF only after all of the archive
// was verified. Otherwise the error is a [*CorruptError], or wraps the error
// of the source, of [Options].Rename or of [Options].Spool. What was passed
// on before an error must not be used.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.out.Read(p)
	if err == io.EOF {
		r.whole = true
	}
	return n, err //nolint:wrapcheck // io.Reader: the error says what was read
}

// Close frees what is held for tombstones. It is needed only when Options
// have a Spool and the archive was not read to its end. It does not close the
// source, and always returns nil.
func (r *Reader) Close() error {
	if r.change != nil {
		r.change.release()
	}
	return nil
}

// Archive says what was read. It is nil until Read has answered io.EOF.
func (r *Reader) Archive() *Archive {
	if !r.whole {
		return nil
	}
	a := r.verify.archive
	if r.change != nil {
		a.Sent = r.change.sent
	} else {
		a.Sent = onlyTSM(a.Files)
	}
	r.verify.count.fill(&a)
	return &a
}

// onlyTSM leaves the tombstone files out.
func onlyTSM(files []File) []File {
	var kept []File
	for _, f := range files {
		if strings.HasSuffix(f.Name, extTSM) {
			kept = append(kept, f)
		}
	}
	return kept
}
