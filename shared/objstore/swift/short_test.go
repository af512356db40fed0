package swift_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"nightshard/shared/objstore"
	"nightshard/shared/objstore/swift"
	"nightshard/shared/testbed"
)

// without edits one page of a listing: it leaves out some entries, and is a
// well-formed answer still.
func without(out func(i, n int) bool) func([]byte) []byte {
	return func(page []byte) []byte {
		var entries, kept []json.RawMessage
		if json.Unmarshal(page, &entries) != nil {
			return page
		}
		for i, e := range entries {
			if !out(i, len(entries)) {
				kept = append(kept, e)
			}
		}
		edited, err := json.Marshal(kept)
		if err != nil || len(kept) == 0 {
			return []byte("[]")
		}
		return edited
	}
}

// behind opens an account of a real Swift through a proxy that can break single
// requests. Its segments are small.
func behind(t *testing.T) (*testbed.HTTPProxy, *swift.Store) {
	t.Helper()
	account := testbed.Swift(t)
	proxy := testbed.NewHTTPProxy(t, account.Addr)
	return proxy, openAccount(t, account.Via(proxy.Addr), func(c *swift.Config) { c.SegmentBytes = segment })
}

// A container server that is behind answers with a listing that is well-formed
// and lacks objects. To believe it is to leave an old backup's shards out of
// account.
func TestAShortListingIsNotBelieved(t *testing.T) {
	t.Parallel()
	proxy, store := behind(t)
	names := []string{"day/a", "day/b", "other/c", "day/d"}
	for _, name := range names {
		if _, err := store.Put(t.Context(), "short", name, objstore.NewSource([]byte(name)), objstore.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	list := func() (got []string, err error) {
		err = store.List(t.Context(), "short", "day/", func(o objstore.Object) error {
			got = append(got, o.Name)
			return nil
		})
		return got, err
	}
	for what, out := range map[string]func(i, n int) bool{
		"the first": func(i, _ int) bool { return i == 0 }, "one in the middle": func(i, _ int) bool { return i == 1 },
		"the last": func(i, n int) bool { return i == n-1 }, "all": func(int, int) bool { return true },
	} {
		edit := without(out)
		proxy.OnRequest(func(r testbed.HTTPRequest) testbed.HTTPFault {
			// The answer to the next page would bring the last entries after all.
			if r.Method == "GET" && strings.HasSuffix(r.Path, "/short") && !strings.Contains(r.Query, "marker") {
				return testbed.HTTPFault{Action: testbed.EditAnswer, Edit: edit}
			}
			if strings.Contains(r.Query, "marker") {
				return testbed.HTTPFault{Action: testbed.EditAnswer, Edit: without(func(int, int) bool { return true })}
			}
			return testbed.HTTPFault{}
		})
		if got, err := list(); !errors.Is(err, objstore.ErrCorrupt) || len(got) > 0 {
			t.Errorf("without %s: %v, %v", what, got, err)
		}
	}
	proxy.OnRequest(nil)
	if got, err := list(); err != nil || !slices.Equal(got, []string{"day/a", "day/b", "day/d"}) {
		t.Errorf("%v, %v", got, err)
	}
}

// A server that is behind says of an object that it is not there. To believe it
// would be to remove the segments of a good one.
func TestALostObjectKeepsItsSegments(t *testing.T) {
	t.Parallel()
	proxy, store := behind(t)
	l := large{store, "day"}
	data := random(3 * segment)
	l.put(t, "a", random(2*segment), objstore.PutOptions{})
	lost := func(r testbed.HTTPRequest) testbed.HTTPFault {
		if (r.Method == "GET" || r.Method == "HEAD") && strings.HasSuffix(r.Path, "/day/a") {
			return testbed.HTTPFault{Action: testbed.Answer, Status: 404}
		}
		return testbed.HTTPFault{}
	}
	proxy.OnRequest(lost)
	l.put(t, "a", data, objstore.PutOptions{})
	if err := store.Sweep(t.Context(), "day", ""); err != nil {
		t.Error(err)
	}
	proxy.OnRequest(nil)
	l.holds(t, "day", "a", data)
	l.segments(t, 5)
	if err := store.Sweep(t.Context(), "day", ""); err != nil {
		t.Error(err)
	}
	l.segments(t, 3)
	l.holds(t, "day", "a", data)
}
