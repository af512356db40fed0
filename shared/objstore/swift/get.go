package swift

import (
	"context"
	"crypto/md5" //nolint:gosec // Swift's own checksum
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"

	"nightshard/shared/objstore"
)

// Get implements objstore.Store. The content of a large object is checked
// segment by segment.
func (s *Store) Get(ctx context.Context, container, name string, read func(objstore.Object, io.Reader) error) error {
	if err := s.get(ctx, container, name, read); err != nil {
		return fmt.Errorf("get object %s/%s: %w", container, name, err)
	}
	return nil
}

func (s *Store) get(ctx context.Context, container, name string, read func(objstore.Object, io.Reader) error) error {
	if err := objstore.CheckNames(container, name); err != nil {
		return err //nolint:wrapcheck // it names the object
	}
	w := newWatch(ctx, s.idle)
	defer w.stop()
	resp, err := s.do(w, request{method: http.MethodGet, container: container, object: name})
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // again, for the ways out in the middle
	r, err := s.verified(ctx, w, container, name, resp)
	if err != nil {
		return err
	}
	w.pause()
	err = read(describe(name, resp), r)
	if errors.Is(err, objstore.ErrSkipBody) {
		return nil
	}
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	if err != nil {
		return r.because(err)
	}
	if err := resp.Body.Close(); err != nil {
		return fmt.Errorf("close: %w", s.secrets.scrub(w.explain(err)))
	}
	return nil
}

// describe reads an object's properties from the answer to a GET or HEAD.
func describe(name string, resp *http.Response) objstore.Object {
	o := objstore.Object{
		Name: name, Size: resp.ContentLength, Listed: etag(resp.Header),
		Modified: modified(resp.Header), Meta: map[string]string{},
	}
	if !isLarge(resp.Header) && !isDynamic(resp.Header) {
		o.MD5 = o.Listed
	}
	for k := range resp.Header {
		if strings.HasPrefix(k, metaPrefix) {
			o.Meta[strings.ToLower(k[len(metaPrefix):])] = resp.Header.Get(k)
		}
	}
	return o
}

// isDynamic says that an answer is about a dynamic large object, which has no
// hash that holds.
func isDynamic(h http.Header) bool { return h.Get("X-Object-Manifest") != "" }

// piece is a stretch of content with an MD5 of its own, empty when unknown.
type piece struct {
	size int64
	md5  string
}

// verified wraps the body of an answer in the checks that fit it.
func (s *Store) verified(ctx context.Context, w *watch, container, name string, resp *http.Response) (*checked, error) {
	if resp.ContentLength < 0 {
		return nil, errors.New("answer has no length")
	}
	pieces := []piece{{size: resp.ContentLength, md5: etag(resp.Header)}}
	switch {
	case isDynamic(resp.Header):
		pieces[0].md5 = ""
	case isLarge(resp.Header):
		w.pause()
		list, err := s.manifest(ctx, container, name)
		if err != nil {
			return nil, err
		}
		if pieces, err = piecesOf(list, pieces[0]); err != nil {
			return nil, err
		}
		w.kick()
	}
	return &checked{body: resp.Body, watch: w, secrets: s.secrets, pieces: pieces, sum: md5.New()}, nil //nolint:gosec // Swift's own checksum
}

// piecesOf turns a manifest into pieces, if it belongs to the object that
// whole describes and each entry is a whole plain object.
func piecesOf(list []stored, whole piece) ([]piece, error) {
	pieces := make([]piece, 0, len(list))
	segments := make([]segment, 0, len(list))
	var total int64
	for _, e := range list {
		if e.Range != "" || e.Data != "" || e.Sub {
			return []piece{{size: whole.size}}, nil
		}
		pieces = append(pieces, piece{size: e.Bytes, md5: e.Hash})
		segments = append(segments, segment{Etag: e.Hash})
		total += e.Bytes
	}
	if hashOf(segments) != whole.md5 || total != whole.size {
		return nil, fmt.Errorf("object was replaced while it was opened: %w", objstore.ErrCorrupt)
	}
	return pieces, nil
}

// checked is a body that gives ErrCorrupt in place of its end, or of a piece's,
// when the bytes are not those that the server announced.
type checked struct {
	body    io.Reader
	watch   *watch
	secrets *secrets
	pieces  []piece
	sum     hash.Hash
	in      int64 // bytes of the first piece so far
	err     error
}

// Read implements io.Reader. The server's clock runs only in here.
func (c *checked) Read(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	c.watch.kick()
	n, err := c.body.Read(b)
	c.watch.pause()
	if cerr := c.take(b[:n]); cerr != nil {
		// The bytes are known to be wrong, so they are not given.
		c.err = cerr
		return 0, c.err
	}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF) && len(c.pieces) == 0:
		c.err = io.EOF
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		c.err = fmt.Errorf("%w: content ends early: %w", objstore.ErrCorrupt, io.ErrUnexpectedEOF)
	default:
		c.err = c.secrets.scrub(c.watch.explain(err))
	}
	return n, c.err
}

// take hashes bytes and checks each piece at its end.
func (c *checked) take(b []byte) error {
	for {
		if len(c.pieces) > 0 && c.in == c.pieces[0].size {
			if err := c.finish(); err != nil {
				return err
			}
			continue
		}
		if len(b) == 0 {
			return nil
		}
		if len(c.pieces) == 0 {
			return fmt.Errorf("%w: content is longer than announced", objstore.ErrCorrupt)
		}
		n := min(int64(len(b)), c.pieces[0].size-c.in)
		c.sum.Write(b[:n])
		c.in += n
		b = b[n:]
	}
}

func (c *checked) finish() error {
	want, got := c.pieces[0].md5, hex.EncodeToString(c.sum.Sum(nil))
	if want != "" && want != got {
		return fmt.Errorf("%w: MD5 is %s, announced was %s", objstore.ErrCorrupt, got, want)
	}
	c.pieces, c.in = c.pieces[1:], 0
	c.sum.Reset()
	return nil
}

// because adds the body's own error to that of the read function, if that does
// not hold it already.
func (c *checked) because(err error) error {
	if c.err == nil || errors.Is(c.err, io.EOF) || errors.Is(err, c.err) {
		return err
	}
	return fmt.Errorf("%w (%w)", err, c.err)
}

// head asks for an object's properties only.
func (s *Store) head(ctx context.Context, container, name string) (http.Header, error) {
	w := newWatch(ctx, s.idle)
	defer w.stop()
	return s.call(w, request{method: http.MethodHead, container: container, object: name})
}
