package swift

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // Swift's checksum
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"nightshard/shared/objstore"
)

// segmentsSuffix is added to a container's name to get that of its segments.
const segmentsSuffix = "_segments"

// maxSegments is the most that Swift takes in one manifest
// (max_manifest_segments in /info).
const maxSegments = 1000

// maxManifest bounds a manifest that is read: Swift's own limit is 8 MiB, and
// it adds to what was written.
const maxManifest = 64 << 20

// segmentName matches what follows an object's name in that of its segments:
// ours, and those of the `swift` client.
var segmentName = regexp.MustCompile(`^(slo/)?[0-9]+(\.[0-9]+)?(/[0-9]+)+/[0-9]{8}$`)

// segment is one entry of a manifest, as it is sent.
type segment struct {
	Path string `json:"path"`
	Etag string `json:"etag"`
	Size int64  `json:"size_bytes"`
}

// stored is one entry of a manifest, as the server gives it back.
type stored struct {
	Name  string `json:"name"`
	Hash  string `json:"hash"`
	Bytes int64  `json:"bytes"`
	Range string `json:"range"`
	Data  string `json:"data"`
	Sub   bool   `json:"sub_slo"`
}

// split gives the container and the name of the segment.
func (e stored) split() (container, name string) {
	container, name, _ = strings.Cut(strings.TrimPrefix(e.Name, "/"), "/")
	return container, name
}

// uploadLarge sends the content as segments and then their manifest, which
// makes the object appear.
func (s *Store) uploadLarge(ctx context.Context, to target, src objstore.Source) (objstore.Object, error) {
	if err := s.ensure(ctx, to.container+segmentsSuffix); err != nil {
		return objstore.Object{}, err
	}
	in, err := openInput(ctx, src)
	if err != nil {
		return objstore.Object{}, err
	}
	defer in.close()
	if in.empty() {
		return s.sendWhole(ctx, to, in) // a segment holds at least one byte
	}
	total := md5.New() //nolint:gosec // Swift's own checksum
	segments, err := s.sendSegments(ctx, to, in, total)
	if err != nil {
		s.dropSegments(ctx, segments)
		return objstore.Object{}, err
	}
	o, err := s.putManifest(ctx, to, segments)
	o.MD5 = hex.EncodeToString(total.Sum(nil))
	return o, err
}

// sendSegments uploads the whole input. After an error, the last of the
// segments may be there or not.
func (s *Store) sendSegments(ctx context.Context, to target, in *input, total io.Writer) ([]segment, error) {
	var segments []segment
	base := segmentBase(to.name, time.Now(), s.segment)
	for n := 0; n == 0 || !in.empty(); n++ {
		if n == maxSegments {
			return segments, fmt.Errorf("content has more than %d segments of %d bytes", maxSegments, s.segment)
		}
		name := fmt.Sprintf("%s%08d", base, n)
		segments = append(segments, segment{Path: to.container + segmentsSuffix + "/" + name})
		p, err := s.sendSegment(ctx, target{container: to.container + segmentsSuffix, name: name}, in, total)
		if err != nil {
			return segments, fmt.Errorf("put segment %d: %w", n, err)
		}
		segments[n].Etag, segments[n].Size = p.md5(), p.size
	}
	return segments, in.failure(nil)
}

func (s *Store) sendSegment(ctx context.Context, to target, in *input, total io.Writer) (*part, error) {
	w := newWatch(ctx, s.idle)
	defer w.stop()
	to.header = headers(objstore.PutOptions{})
	p := newPart(in, s.segment, false, total)
	_, err := s.send(w, to, p)
	return p, err
}

// segmentBase is what the names of an upload's segments begin with.
func segmentBase(name string, now time.Time, size int64) string {
	return fmt.Sprintf("%s/slo/%d.%06d/%d/", name, now.Unix(), now.Nanosecond()/1000, size)
}

// putManifest makes the segments one object. The server checks that each is
// there, with this hash and size. An error may come after the object was
// stored, so the segments stay; the next upload of the name removes them.
func (s *Store) putManifest(ctx context.Context, to target, segments []segment) (objstore.Object, error) {
	body, err := json.Marshal(segments)
	if err != nil {
		return objstore.Object{}, fmt.Errorf("write manifest: %w", err)
	}
	header := map[string]string{"Content-Length": strconv.Itoa(len(body))}
	maps.Copy(header, to.header)
	// The server asks for each of up to 1,000 segments.
	w := newWatch(ctx, s.idle+time.Duration(len(segments))*time.Second/2)
	defer w.stop()
	got, err := s.call(w, request{
		method: http.MethodPut, container: to.container, object: to.name,
		query: manifestQuery("put"), header: header, body: bytes.NewReader(body),
	})
	if err != nil {
		return objstore.Object{}, fmt.Errorf("put manifest of %d segments: %w", len(segments), err)
	}
	o := objstore.Object{Name: to.name, Modified: modified(got), Listed: hashOf(segments)}
	for _, e := range segments {
		o.Size += e.Size
	}
	if etag(got) != o.Listed {
		s.discard(w, to)
		return objstore.Object{}, fmt.Errorf("put manifest: server has hash %s, sent was %s: %w", etag(got), o.Listed, objstore.ErrCorrupt)
	}
	return o, nil
}

// hashOf is the hash that Swift gives a large object: the MD5 of its segments'
// MD5s.
func hashOf(segments []segment) string {
	h := md5.New() //nolint:gosec // Swift's own checksum
	for _, e := range segments {
		io.WriteString(h, e.Etag) //nolint:errcheck,gosec // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))
}

// manifest reads the list of an object's segments.
func (s *Store) manifest(ctx context.Context, container, name string) ([]stored, error) {
	w := newWatch(ctx, s.idle)
	defer w.stop()
	resp, err := s.do(w, request{method: http.MethodGet, container: container, object: name, query: manifestQuery("get")})
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // JSON is whole or not
	var list []stored
	if err := decode(io.LimitReader(resp.Body, maxManifest), &list); err != nil {
		return nil, fmt.Errorf("read list of segments: %w", s.secrets.scrub(w.explain(err)))
	}
	return list, nil
}

// segments lists the segments that belong to an object, or did: those of an
// upload that was broken off are among them.
func (s *Store) segments(ctx context.Context, container, name string) ([]segment, error) {
	if objstore.CheckContainer(container+segmentsSuffix) != nil {
		return nil, nil //nolint:nilerr // a name too long to have segments
	}
	var found []segment
	prefix := name + "/"
	err := s.list(ctx, container+segmentsSuffix, prefix, func(o objstore.Object) error {
		if segmentName.MatchString(strings.TrimPrefix(o.Name, prefix)) {
			found = append(found, segment{Path: container + segmentsSuffix + "/" + o.Name, Etag: o.MD5, Size: o.Size})
		}
		return nil
	})
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	return found, nil
}

// removeReplaced removes old segments, but never one that the object needs: an
// upload elsewhere may have won. An object that is not found keeps them: a
// server that is behind says so of one that is there, and Sweep looks twice.
func (s *Store) removeReplaced(ctx context.Context, container, name string, old []segment) error {
	if len(old) == 0 {
		return nil
	}
	used := map[string]bool{}
	header, err := s.head(ctx, container, name)
	if err == nil && isLarge(header) {
		var list []stored
		list, err = s.manifest(ctx, container, name)
		for _, e := range list {
			used[strings.TrimPrefix(e.Name, "/")] = true
		}
	}
	if errors.Is(err, objstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the new object: %w", err)
	}
	var rest []segment
	for _, e := range old {
		if !used[e.Path] {
			rest = append(rest, e)
		}
	}
	return s.removeSegments(ctx, rest)
}

func (s *Store) removeSegments(ctx context.Context, segments []segment) error {
	for _, e := range segments {
		container, name, _ := strings.Cut(e.Path, "/")
		if err := s.remove(ctx, container, name); err != nil {
			return fmt.Errorf("remove old segment %s: %w", name, err)
		}
	}
	return nil
}

// dropSegments removes the segments of an upload that failed, as well as it
// can: the next upload of the name removes what stays.
func (s *Store) dropSegments(ctx context.Context, segments []segment) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	_ = s.removeSegments(ctx, segments) // the upload has failed already
}

// isLarge says that an answer is about a static large object.
func isLarge(h http.Header) bool { return strings.EqualFold(h.Get("X-Static-Large-Object"), "true") }
