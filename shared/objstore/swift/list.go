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
// page is not the last one on every server.
func (s *Store) List(ctx context.Context, container, prefix string, each func(objstore.Object) error) error {
	if err := objstore.CheckContainer(container); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	if err := s.list(ctx, container, prefix, each); err != nil {
		return fmt.Errorf("list container %s: %w", container, err)
	}
	return nil
}

func (s *Store) list(ctx context.Context, container, prefix string, each func(objstore.Object) error) error {
	name := func(o objstore.Object) string { return o.Name }
	return pages(ctx, s, container, prefix, parseObjects, name, each)
}

// Containers implements objstore.Containers.
func (s *Store) Containers(ctx context.Context, prefix string, each func(objstore.Container) error) error {
	name := func(c objstore.Container) string { return c.Name }
	if err := pages(ctx, s, "", prefix, parseContainers, name, each); err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	return nil
}

// pages asks for page after page and yields every entry.
func pages[T any](ctx context.Context, s *Store, container, prefix string,
	parse func(io.Reader) ([]T, error), name func(T) string, each func(T) error,
) error {
	marker := ""
	for {
		page, err := onePage(ctx, s, container, s.pageQuery(prefix, marker), parse)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, entry := range page {
			if name(entry) <= marker {
				return fmt.Errorf("listing does not go on after %q", marker)
			}
			marker = name(entry)
			if err := each(entry); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
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

func onePage[T any](ctx context.Context, s *Store, container string, q url.Values, parse func(io.Reader) ([]T, error)) ([]T, error) {
	w := newWatch(ctx, s.idle)
	defer w.stop()
	resp, err := s.do(w, request{method: http.MethodGet, container: container, query: q})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // JSON is whole or not
	if resp.StatusCode == http.StatusNoContent {
		return nil, nil
	}
	page, err := parse(&kicking{body: resp.Body, watch: w})
	if err != nil {
		return nil, s.secrets.scrub(w.explain(err))
	}
	return page, nil
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
			return nil, fmt.Errorf("parse listing: entry has name %q and %d bytes", e.Name, e.Bytes)
		}
		at, err := time.Parse(timeFormat, strings.TrimSuffix(e.LastModified, "Z"))
		if err != nil {
			return nil, fmt.Errorf("parse listing: time of %q: %w", e.Name, err)
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
			return nil, errors.New("parse listing: container without a name")
		}
		containers = append(containers, objstore.Container{Name: e.Name, Objects: e.Count, Bytes: e.Bytes})
	}
	return containers, nil
}

// decode reads one JSON value and nothing after it.
func decode(r io.Reader, into any) error {
	d := json.NewDecoder(r)
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("parse listing: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("parse listing: more than one value")
	}
	return nil
}
