// Package objstoretest proves that an object store keeps every promise of
// package objstore, and breaks stores on purpose. It is apart from the stores so
// that no program links package testing.
package objstoretest

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshard/shared/objstore"
)

// Inner is what is tested.
type Inner = objstore.Account

// promise is one subtest.
type promise struct {
	name string
	test func(t *testing.T, b box)
}

// box is a store and a container that only this test uses.
type box struct {
	store     Inner
	container string
}

// Run tests the store that open returns. The subtests run side by side, each in
// containers of its own with random names, so that open may give one account to
// all. A store with small listing pages is tested harder. Promises named in
// skip are left out: fakes of a server do not keep all of them.
func Run(t *testing.T, open func(testing.TB) Inner, skip ...string) {
	t.Helper()
	for _, p := range slices.Concat(putPromises(), getPromises(), listPromises(), otherPromises()) {
		if slices.Contains(skip, p.name) {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.test(t, box{store: open(t), container: "test-" + rand.Text()})
		})
	}
}

// oddNames are legal names that careless clients break.
func oddNames() []string {
	return []string{
		"plain", "with space", "slash/in/it", "//two//slashes", "/leading", "trailing/", "per%cent", "%2F", "plus+plus",
		"question?mark=1&2", "hash#tag", "quote'\"`", "back\\slash", "snowman ☃", "日本語/データ", "semi;colon,comma",
		"dots/../up", "./here", "new\nline", "tab\tbed", "<xml>&amp;", "[brackets]{braces}", "co:lon@at=$!*()~^|",
		strings.Repeat("long", 200),
	}
}

// MD5 is the hash of data as stores write it.
func MD5(data []byte) string {
	h := md5.Sum(data)
	return hex.EncodeToString(h[:])
}

func (b box) put(t *testing.T, name, content string) objstore.Object {
	t.Helper()
	o, err := b.store.Put(t.Context(), b.container, name, objstore.NewSource([]byte(content)), objstore.PutOptions{})
	if err != nil {
		t.Fatalf("Put(%q): %v", name, err)
	}
	return o
}

func (b box) get(t *testing.T, name string) (objstore.Object, string) {
	t.Helper()
	var o objstore.Object
	var content []byte
	err := b.store.Get(t.Context(), b.container, name, func(got objstore.Object, r io.Reader) (err error) {
		o = got
		content, err = io.ReadAll(r)
		return err
	})
	if err != nil {
		t.Fatalf("Get(%q): %v", name, err)
	}
	return o, string(content)
}

func (b box) list(t *testing.T, prefix string) []objstore.Object {
	t.Helper()
	var objects []objstore.Object
	err := b.store.List(t.Context(), b.container, prefix, func(o objstore.Object) error {
		objects = append(objects, o)
		return nil
	})
	if err != nil {
		t.Fatalf("List(%q): %v", prefix, err)
	}
	return objects
}

func (b box) missing(t *testing.T, name string) {
	t.Helper()
	err := b.store.Get(t.Context(), b.container, name, func(objstore.Object, io.Reader) error { return nil })
	if !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("Get(%q) = %v, want ErrNotFound", name, err)
	}
}

func names(objects []objstore.Object) []string {
	out := make([]string, 0, len(objects))
	for _, o := range objects {
		out = append(out, o.Name)
	}
	return out
}

// chopped gives data in small pieces, with an error at its end, and tells
// whether it was closed.
type chopped struct {
	data   []byte
	err    error
	mu     sync.Mutex
	closed bool
	cerr   error
}

// Read implements io.Reader.
func (c *chopped) Read(b []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, c.err
	}
	n := copy(b[:min(len(b), 10_007)], c.data)
	c.data = c.data[n:]
	return n, nil
}

// Close implements io.Closer.
func (c *chopped) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return c.cerr
}

func (c *chopped) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *chopped) source(context.Context) (io.ReadCloser, error) { return c, nil }

// random gives n bytes that do not compress.
func random(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.Read(data) // it never fails
	return data
}

// parallel runs f n times at once.
func parallel(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// soon fails a test whose call does not heed its context.
func soon(t *testing.T, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("the call did not end with its context")
		return nil
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%q", got), fmt.Sprintf("%q", want); g != w {
		t.Errorf("%s is %s, want %s", what, g, w)
	}
}

func equal(a []byte, b string) bool { return bytes.Equal(a, []byte(b)) }
