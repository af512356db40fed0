package tsm

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// rewriter makes a new archive of the entries of a verified one: other paths,
// and without what tombstones delete. The contents that it passes on have gone
// through the verifier below it.
type rewriter struct {
	verify *verifier
	in     *tar.Reader
	o      Options

	now  io.Reader    // what is being passed on
	then func() error // called when now has ended
	err  error        // what Read answers next
	next int          // number of the next entry, as in the verifier's files
	sent []File
	held Spool
}

func newRewriter(v *verifier, o Options) *rewriter {
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.Tombstones {
		v.stones.kept = map[string]map[string][]timeRange{}
	}
	return &rewriter{verify: v, in: tar.NewReader(v), o: o, now: bytes.NewReader(nil)}
}

// Read implements io.Reader.
func (r *rewriter) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.err == nil {
		n, err := r.now.Read(p)
		if n > 0 {
			return n, nil
		}
		if err == nil {
			continue
		}
		if err == io.EOF { //nolint:errorlint // the end of now, nothing else
			err = r.advance()
		}
		r.err = err
	}
	r.release()
	return 0, r.err
}

// advance finishes an entry and begins another one.
func (r *rewriter) advance() error {
	if then := r.then; then != nil {
		r.then = nil
		if err := then(); err != nil {
			return err
		}
	}
	h, err := r.in.Next()
	if err == io.EOF {
		return r.finish()
	}
	if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
		return err //nolint:wrapcheck // the verifier's own error
	}
	return r.entry(h)
}

// finish reads what is behind the end marker, and writes an own one.
func (r *rewriter) finish() error {
	if _, err := io.Copy(io.Discard, r.verify); err != nil {
		return err //nolint:wrapcheck // the verifier's own error
	}
	r.now = bytes.NewReader(make([]byte, 2*tarBlock))
	r.then = func() error { return io.EOF }
	return nil
}

// entry passes one entry on, changed or not, or leaves it out.
func (r *rewriter) entry(h *tar.Header) error {
	e, err := ParseEntry(h.Name)
	if err != nil {
		return fmt.Errorf("rename entry %q: %w", h.Name, err)
	}
	at := r.next
	r.next++
	if !r.o.Tombstones {
		return r.pass(h, e, at)
	}
	if strings.HasSuffix(e.File, extTombstone) {
		return nil // the verifier keeps its records
	}
	if deleted := r.verify.stones.take(e.File); deleted != nil {
		return r.apply(h, e, deleted)
	}
	return r.pass(h, e, at)
}

// pass sends an entry's content as it is. It is the at-th one.
func (r *rewriter) pass(h *tar.Header, e Entry, at int) error {
	err := r.send(h, h.Size, r.in)
	r.then = func() error {
		if strings.HasSuffix(e.File, extTSM) {
			r.sent = append(r.sent, r.verify.archive.Files[at])
		}
		return nil
	}
	return err
}

// send sets up an entry: header, content of the given size, padding.
func (r *rewriter) send(h *tar.Header, size int64, content io.Reader) error {
	name := h.Name
	if r.o.Rename != nil {
		var err error
		if name, err = r.o.Rename(h.Name); err != nil {
			return fmt.Errorf("rename entry %q: %w", h.Name, err)
		}
	}
	head, err := header(h, name, size)
	if err != nil {
		return err
	}
	r.now = io.MultiReader(head, content, bytes.NewReader(zeros[:padding(size)]))
	return nil
}

// header writes a tar header like h with another name and size. Plain ustar
// when the name fits, PAX otherwise.
func header(h *tar.Header, name string, size int64) (io.Reader, error) {
	c := *h
	c.Name, c.Size = name, size
	c.Format, c.PAXRecords = tar.FormatUnknown, nil
	var out bytes.Buffer
	if err := tar.NewWriter(&out).WriteHeader(&c); err != nil {
		return nil, fmt.Errorf("write header of %q: %w", name, err)
	}
	return &out, nil
}

// apply holds a file until its new size is known and sends what its tombstone
// leaves of it.
func (r *rewriter) apply(h *tar.Header, e Entry, deleted map[string][]timeRange) error {
	held, err := r.hold(h)
	if err != nil {
		return fmt.Errorf("hold %s: %w", e.File, err)
	}
	c, err := newCut(held, h.Size, deleted)
	if err != nil {
		return fmt.Errorf("apply tombstone to %s: %w", e.File, err)
	}
	if c.size == 0 {
		r.release()
		return nil
	}
	check := &checker{sum: sha256.New()}
	check.tsm.reset(c.size, r.verify.count.file(nil))
	r.then = func() error {
		r.release()
		return r.rewritten(check, e.File, c.size)
	}
	return r.send(h, c.size, io.TeeReader(c, check))
}

// hold reads an entry's content into memory or into a spool.
func (r *rewriter) hold(h *tar.Header) (io.ReaderAt, error) {
	if h.Size <= r.o.Memory {
		b := make([]byte, h.Size)
		_, err := io.ReadFull(r.in, b)
		return bytes.NewReader(b), err
	}
	if r.o.Spool == nil {
		return nil, fmt.Errorf("it has %d bytes and a tombstone, %d fit into memory and there is no spool", h.Size, r.o.Memory)
	}
	var err error
	if r.held, err = r.o.Spool(); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	_, err = io.Copy(r.held, r.in)
	return r.held, err //nolint:wrapcheck // the caller wraps it
}

// release closes the spool, if there is one.
func (r *rewriter) release() {
	if r.held != nil {
		_ = r.held.Close() // it was only read; nothing can be lost
		r.held = nil
	}
}

// rewritten notes a file that was sent otherwise than it came. What was
// written is verified like what is read.
func (r *rewriter) rewritten(c *checker, file string, size int64) error {
	if c.bad == nil {
		c.bad = c.tsm.finish()
	}
	if c.bad != nil {
		return fmt.Errorf("verify rewritten %s at byte %d: %s", file, c.bad.offset, c.bad.reason)
	}
	r.sent = append(r.sent, File{
		Name: file, Size: size, SHA256: hex.EncodeToString(c.sum.Sum(nil)),
		Blocks: c.tsm.blocks, Keys: c.tsm.keys,
	})
	return nil
}
