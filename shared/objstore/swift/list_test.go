package swift_test

import (
	"bytes"
	"strings"
	"testing"

	"nightshard/shared/objstore/swift"
)

// listing is one page of Swift 2.30.1: an object and a large object.
const listing = `[{"bytes": 7, "hash": "9a0364b9e99bb480dd25e1f0284c8555", "name": "a \u2603", ` +
	`"content_type": "application/octet-stream", "last_modified": "2026-11-23T02:50:10.123450"}, ` +
	`{"bytes": 3145728, "hash": "aaaa", "name": "b", "slo_etag": "\"bbbb\"", "content_type": "x", "last_modified": "2026-11-23T02:50:10"}]`

func TestListingIsParsed(t *testing.T) {
	t.Parallel()
	objects, err := swift.ParseObjects(strings.NewReader(listing))
	if err != nil || len(objects) != 2 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	a, b := objects[0], objects[1]
	if a.Name != "a ☃" || a.Size != 7 || a.MD5 != a.Listed || a.Modified.Nanosecond() != 123450000 {
		t.Errorf("first is %+v", a)
	}
	if b.MD5 != "" || b.Listed != "bbbb" || b.Size != 3145728 {
		t.Errorf("second is %+v", b)
	}
}

func TestBrokenListingIsAnError(t *testing.T) {
	t.Parallel()
	for _, page := range []string{
		"", listing[:100], listing + "x", `[{"bytes": 1}]`, `[{"name": "a", "last_modified": "then"}]`, "<html>", `{"a": 1}`,
		`[{"name": "a", "bytes": -1, "last_modified": "2026-11-23T02:50:10"}]`,
	} {
		if objects, err := swift.ParseObjects(strings.NewReader(page)); err == nil {
			t.Errorf("%q gave %v", page, objects)
		}
	}
	for _, page := range []string{"", `[{"count": 1}]`, `[{"name": "a"}`} {
		if containers, err := swift.ParseContainers(strings.NewReader(page)); err == nil {
			t.Errorf("%q gave %v", page, containers)
		}
	}
}

func FuzzListing(f *testing.F) {
	f.Add([]byte(listing))
	f.Add([]byte(`[{"name": "c", "count": 2, "bytes": 3}]`))
	f.Fuzz(func(t *testing.T, page []byte) {
		objects, err := swift.ParseObjects(bytes.NewReader(page))
		for _, o := range objects {
			if o.Name == "" || o.Size < 0 || err != nil {
				t.Errorf("%q gave %+v, %v", page, o, err)
			}
		}
		containers, err := swift.ParseContainers(bytes.NewReader(page))
		for _, c := range containers {
			if c.Name == "" || err != nil {
				t.Errorf("%q gave %+v, %v", page, c, err)
			}
		}
	})
}
