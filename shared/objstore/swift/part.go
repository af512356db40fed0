package swift

import (
	"crypto/md5" //nolint:gosec // Swift's own checksum
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	ncw "github.com/ncw/swift/v2"

	"nightshard/shared/objstore"
)

// errTooLarge says that the content goes on behind the limit of one object.
var errTooLarge = errors.New("larger than one object may be")

// part is the body of one upload: the input up to the limit. It is read by the
// transport's own goroutine, and looked at only once done is set.
type part struct {
	in    *input
	watch *watch
	left  int64
	// whole is true when the input has to end within the part.
	whole bool
	sum   hash.Hash
	// total, if not nil, goes on over all parts.
	total io.Writer
	size  int64
	done  atomic.Bool
	big   atomic.Bool
}

func newPart(in *input, limit int64, whole bool, total io.Writer) *part {
	return &part{in: in, left: limit, whole: whole, sum: md5.New(), total: total} //nolint:gosec // Swift's own checksum
}

// Read implements io.Reader. While it waits for the source, the server's clock
// stands still.
func (p *part) Read(b []byte) (int, error) {
	p.watch.pause()
	defer p.watch.kick()
	if len(b) == 0 {
		return 0, nil
	}
	if p.left == 0 {
		return 0, p.end()
	}
	n, err := p.in.ahead.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	p.size += int64(n)
	p.sum.Write(b[:n])
	if p.total != nil {
		p.total.Write(b[:n]) //nolint:errcheck,gosec // a hash takes everything
	}
	if errors.Is(err, io.EOF) {
		p.done.Store(true)
	}
	return n, err //nolint:wrapcheck // io.EOF must pass as it is
}

// end decides what the limit means: the end of the part, or of the attempt.
func (p *part) end() error {
	if p.whole {
		_, err := p.in.ahead.Peek(1)
		if err == nil {
			p.big.Store(true)
			return errTooLarge
		}
		if !errors.Is(err, io.EOF) {
			return err //nolint:wrapcheck // wrapped by failure
		}
	}
	p.done.Store(true)
	return io.EOF
}

// md5 is the hash of the bytes that were sent.
func (p *part) md5() string { return hex.EncodeToString(p.sum.Sum(nil)) }

// target is where an upload goes, and with what header.
type target struct {
	container, name string
	header          ncw.Headers
}

// send uploads one part and checks the server's hash of it. When the source
// fails, the chunked body is broken off, which Swift takes as an upload that
// never was.
func (s *Store) send(w *watch, to target, p *part) (http.Header, error) {
	p.watch = w
	header, err := s.call(w, request{method: http.MethodPut, container: to.container, object: to.name, header: to.header, body: p})
	switch {
	case p.big.Load():
		return nil, errTooLarge
	case err != nil:
		return nil, p.in.failure(err)
	case !p.done.Load():
		return nil, fmt.Errorf("server said that all is stored before it was sent: %w", objstore.ErrCorrupt)
	case etag(header) != p.md5():
		s.discard(w, to)
		return nil, fmt.Errorf("server has MD5 %s, sent was %s: %w", etag(header), p.md5(), objstore.ErrCorrupt)
	}
	return header, nil
}

// headers are those of a new object. Without a type Swift would guess one.
func headers(opts objstore.PutOptions) ncw.Headers {
	h := ncw.Headers{"Content-Type": opts.ContentType}
	if opts.ContentType == "" {
		h["Content-Type"] = "application/octet-stream"
	}
	for k, v := range opts.Meta {
		h[metaPrefix+k] = v
	}
	return h
}

const metaPrefix = "X-Object-Meta-"

// modified is the time in an answer, zero when there is none.
func modified(h http.Header) time.Time {
	t, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// manifestQuery asks for an operation on the list of segments itself.
func manifestQuery(op string) url.Values { return url.Values{"multipart-manifest": {op}} }
