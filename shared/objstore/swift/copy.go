package swift

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	ncw "github.com/ncw/swift/v2"

	"nightshard/shared/objstore"
)

// copyRate is the least speed of a copy inside the server, in bytes a second.
// The server says nothing until it is done.
const copyRate = 4 << 20

// Copy implements objstore.Store. The segments of a large object are copied
// into the segments' container of the target, so that the copy lives on when
// the source is deleted.
func (s *Store) Copy(ctx context.Context, srcContainer, srcName, dstContainer, dstName string) error {
	if err := s.copy(ctx, srcContainer, srcName, dstContainer, dstName); err != nil {
		return fmt.Errorf("copy object %s/%s to %s/%s: %w", srcContainer, srcName, dstContainer, dstName, err)
	}
	return nil
}

func (s *Store) copy(ctx context.Context, srcContainer, srcName, dstContainer, dstName string) error {
	if err := errors.Join(objstore.CheckNames(srcContainer, srcName), objstore.CheckNames(dstContainer, dstName)); err != nil {
		return err
	}
	header, err := s.head(ctx, srcContainer, srcName)
	if err != nil {
		return err
	}
	if srcContainer == dstContainer && srcName == dstName {
		return nil // the copy is there, and Swift would add up its segments
	}
	if err := s.ensure(ctx, dstContainer); err != nil {
		return err
	}
	old, err := s.segments(ctx, dstContainer, dstName)
	if err != nil {
		return err
	}
	to := target{container: dstContainer, name: dstName}
	if isLarge(header) {
		err = s.copyLarge(ctx, srcContainer, srcName, to, header)
	} else {
		err = s.copyPlain(ctx, srcContainer, srcName, to, header)
	}
	if err != nil {
		return err
	}
	return s.removeReplaced(ctx, dstContainer, dstName, old)
}

// copyPlain copies one object and checks that the copy has its hash.
func (s *Store) copyPlain(ctx context.Context, container, name string, to target, header http.Header) error {
	got, err := s.copyOnce(ctx, container, name, to, length(header))
	if errors.Is(err, objstore.ErrNotFound) {
		// The source was there: it is the container that somebody removed.
		s.forget(to.container)
		if err := s.ensure(ctx, to.container); err != nil {
			return err
		}
		got, err = s.copyOnce(ctx, container, name, to, length(header))
	}
	if err != nil {
		return err
	}
	if want := etag(header); got != "" && got != want && !isDynamic(header) {
		return fmt.Errorf("copy has MD5 %s, source %s: %w", got, want, objstore.ErrCorrupt)
	}
	return nil
}

// copyOnce sends one COPY and returns the hash of the new object.
func (s *Store) copyOnce(ctx context.Context, container, name string, to target, size int64) (string, error) {
	w := newWatch(ctx, s.idle)
	defer w.stop()
	w.allow(s.idle + time.Duration(size/copyRate)*time.Second)
	got, err := s.call(w, request{
		method: "COPY", container: container, object: name,
		header: ncw.Headers{"Destination": (&url.URL{Path: "/" + to.container + "/" + to.name}).EscapedPath()[1:]},
	})
	if err != nil {
		return "", err
	}
	return etag(got), nil
}

// copyLarge copies each segment, and writes a new manifest.
func (s *Store) copyLarge(ctx context.Context, container, name string, to target, header http.Header) error {
	list, err := s.manifest(ctx, container, name)
	if err != nil {
		return err
	}
	if err := s.ensure(ctx, to.container+segmentsSuffix); err != nil {
		return err
	}
	segments, err := s.copySegments(ctx, list, to)
	if err != nil {
		s.dropSegments(ctx, segments)
		return err
	}
	to.header = ncw.Headers{"Content-Type": header.Get("Content-Type")}
	for k := range header {
		if strings.HasPrefix(k, metaPrefix) {
			to.header[k] = header.Get(k)
		}
	}
	_, err = s.putManifest(ctx, to, segments)
	return err
}

func (s *Store) copySegments(ctx context.Context, list []stored, to target) ([]segment, error) {
	var segments []segment
	base := segmentBase(to.name, time.Now(), s.segment)
	for n, e := range list {
		if e.Range != "" || e.Data != "" {
			return segments, errors.New("copy of a large object that is made of parts of objects")
		}
		name := fmt.Sprintf("%s%08d", base, n)
		segments = append(segments, segment{Path: to.container + segmentsSuffix + "/" + name, Size: e.Bytes})
		srcContainer, srcName := e.split()
		got, err := s.copyOnce(ctx, srcContainer, srcName, target{container: to.container + segmentsSuffix, name: name}, e.Bytes)
		if err != nil {
			return segments, fmt.Errorf("copy segment %d: %w", n, err)
		}
		if got != e.Hash && !e.Sub {
			return segments, fmt.Errorf("copy segment %d: MD5 is %s, of the source %s: %w", n, got, e.Hash, objstore.ErrCorrupt)
		}
		segments[n].Etag = got
	}
	return segments, nil
}

// length is the size in an answer to HEAD, 0 when it says none.
func length(h http.Header) int64 {
	n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
