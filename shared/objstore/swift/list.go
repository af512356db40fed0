package swift

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"nightshard/shared/objstore"
)

// timeFormat is that of listings, in UTC.
const timeFormat = "2006-01-02T15:04:05.999999999"

// List implements objstore.Store. It asks for pages until one is empty: a short
// page is not the last one on every server. The whole container is listed, and
// what has another prefix passed over: only then does the server's own count of
// the objects prove that the listing is not a short one.
func (s *Store) List(ctx context.Context, container, prefix string, each func(objstore.Object) error) error {
	if err := objstore.CheckContainer(container); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	err := s.list(ctx, container, "", func(o objstore.Object) error {
		if !strings.HasPrefix(o.Name, prefix) {
			return nil
		}
		return each(o)
	})
	if err != nil {
		return fmt.Errorf("list container %s: %w", container, err)
	}
	return nil
}

func (s *Store) list(ctx context.Context, container, prefix string, each func(objstore.Object) error) error {
	l := listing[objstore.Object]{
		store: s, container: container, prefix: prefix, counted: "X-Container-Object-Count",
		parse: parseObjects, name: func(o objstore.Object) string { return o.Name },
	}
	return l.walk(ctx, each)
}

// Containers implements objstore.Containers.
func (s *Store) Containers(ctx context.Context, prefix string, each func(objstore.Container) error) error {
	l := listing[objstore.Container]{
		store: s, prefix: prefix, counted: "X-Account-Container-Count",
		parse: parseContainers, name: func(c objstore.Container) string { return c.Name },
	}
	if err := l.walk(ctx, each); err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	return nil
}

// listing is a walk over the pages of a container, or of the account.
type listing[T any] struct {
	store             *Store
	container, prefix string
	counted           string // the header that counts all entries
	parse             func(io.Reader) ([]T, error)
	name              func(T) string
}

// walk asks for page after page and yields every entry. Nothing is yielded of a
// listing whose first page is known to be short, so that it can be asked for
// again.
func (l *listing[T]) walk(ctx context.Context, each func(T) error) error {
	first, total, err := l.page(ctx, "")
	if err != nil {
		return err
	}
	seen := int64(len(first))
	next := first
	if len(first) > 0 {
		if next, _, err = l.page(ctx, l.name(first[len(first)-1])); err != nil {
			return err
		}
	}
	if len(next) == 0 && seen < total {
		return fmt.Errorf("%w: listing shows %d of %d entries", objstore.ErrCorrupt, seen, total)
	}
	marker := ""
	if err := l.yield(ctx, first, &marker, each); err != nil {
		return err
	}
	for len(next) > 0 {
		seen += int64(len(next))
		if err := l.yield(ctx, next, &marker, each); err != nil {
			return err
		}
		if next, _, err = l.page(ctx, marker); err != nil {
			return err
		}
	}
	if seen < total {
		// Not ErrCorrupt: what was yielded cannot be taken back.
		return fmt.Errorf("listing shows %d of %d entries", seen, total)
	}
	return nil
}

// yield passes on one page.
func (l *listing[T]) yield(ctx context.Context, page []T, marker *string, each func(T) error) error {
	for _, entry := range page {
		if l.name(entry) <= *marker {
			return fmt.Errorf("%w: listing does not go on after %q", objstore.ErrCorrupt, *marker)
		}
		*marker = l.name(entry)
		if err := each(entry); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) pageQuery(prefix, marker string) url.Values {
	q := url.Values{"format": {"json"}}
	if prefix != "" {
		q.Set("prefix", prefix)
	}
	if marker != "" {
		q.Set("marker", marker)
	}
	if s.page > 0 {
		q.Set("limit", strconv.Itoa(s.page))
	}
	return q
}

// page gives the entries behind marker, and how many there are in all by the
// server's own count: 0 where it does not say, or counts more than the prefix.
func (l *listing[T]) page(ctx context.Context, marker string) ([]T, int64, error) {
	s := l.store
	w := newWatch(ctx, s.idle)
	defer w.stop()
	resp, err := s.do(w, request{method: http.MethodGet, container: l.container, query: s.pageQuery(l.prefix, marker)})
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // JSON is whole or not
	var total int64
	if l.prefix == "" {
		total, _ = strconv.ParseInt(resp.Header.Get(l.counted), 10, 64)
	}
	if resp.StatusCode == http.StatusNoContent {
		return nil, total, nil
	}
	entries, err := l.parse(&kicking{body: resp.Body, watch: w})
	if err != nil {
		return nil, 0, s.secrets.scrub(w.explain(err))
	}
	return entries, total, nil
}

// kicking tells the watch of every byte that comes.
type kicking struct {
	body  io.Reader
	watch *watch
}

// Read implements io.Reader.
func (k *kicking) Read(b []byte) (int, error) {
	n, err := k.body.Read(b)
	k.watch.kick()
	return n, err //nolint:wrapcheck // io.EOF must pass as it is
}

// parseObjects reads one page of a container's listing.
func parseObjects(r io.Reader) ([]objstore.Object, error) {
	var entries []struct {
		Name         string `json:"name"`
		Bytes        int64  `json:"bytes"`
		Hash         string `json:"hash"`
		SLOEtag      string `json:"slo_etag"`
		LastModified string `json:"last_modified"`
	}
	if err := decode(r, &entries); err != nil {
		return nil, err
	}
	objects := make([]objstore.Object, 0, len(entries))
	for _, e := range entries {
		if e.Name == "" || e.Bytes < 0 {
			return nil, fmt.Errorf("%w: listing has an entry with name %q and %d bytes", objstore.ErrCorrupt, e.Name, e.Bytes)
		}
		at, err := time.Parse(timeFormat, strings.TrimSuffix(e.LastModified, "Z"))
		if err != nil {
			return nil, fmt.Errorf("%w: listing has a bad time of %q: %w", objstore.ErrCorrupt, e.Name, err)
		}
		o := objstore.Object{Name: e.Name, Size: e.Bytes, MD5: e.Hash, Listed: e.Hash, Modified: at}
		if e.SLOEtag != "" {
			o.MD5, o.Listed = "", strings.Trim(e.SLOEtag, `"`)
		}
		objects = append(objects, o)
	}
	return objects, nil
}

// parseContainers reads one page of an account's listing.
func parseContainers(r io.Reader) ([]objstore.Container, error) {
	var entries []struct {
		Name  string `json:"name"`
		Count int64  `json:"count"`
		Bytes int64  `json:"bytes"`
	}
	if err := decode(r, &entries); err != nil {
		return nil, err
	}
	containers := make([]objstore.Container, 0, len(entries))
	for _, e := range entries {
		if e.Name == "" {
			return nil, fmt.Errorf("%w: listing has a container without a name", objstore.ErrCorrupt)
		}
		containers = append(containers, objstore.Container{Name: e.Name, Objects: e.Count, Bytes: e.Bytes})
	}
	return containers, nil
}

// decode reads one JSON value and nothing after it. What is no JSON was damaged
// on its way, unless the way itself failed.
func decode(r io.Reader, into any) error {
	in := &remembering{from: r}
	d := json.NewDecoder(in)
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		err = errors.New("more than one value")
	}
	if in.err != nil && !errors.Is(in.err, io.EOF) {
		return fmt.Errorf("read listing: %w", in.err)
	}
	return fmt.Errorf("%w: parse listing: %w", objstore.ErrCorrupt, err)
}

// remembering keeps the error that its reader ended with.
type remembering struct {
	from io.Reader
	err  error
}

// Read implements io.Reader.
func (r *remembering) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	if err != nil {
		r.err = err
	}
	return n, err //nolint:wrapcheck // io.EOF must pass as it is
}
