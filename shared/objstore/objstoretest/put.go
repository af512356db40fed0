package objstoretest

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"nightshard/shared/objstore"
)

var errBroken = errors.New("the source broke")

func putPromises() []promise {
	return []promise{
		{"PutGivesSizeAndMD5", putGivesSizeAndMD5},
		{"OddNamesAreLiteral", oddNamesAreLiteral},
		{"BadNamesAreRefused", badNamesAreRefused},
		{"EmptyObject", emptyObject},
		{"BigStream", bigStream},
		{"ReplaceForgetsTheOld", replaceForgetsTheOld},
		{"MetadataComesBack", metadataComesBack},
		{"FailingSourceStoresNothing", failingSourceStoresNothing},
		{"FailingSourceKeepsTheOld", failingSourceKeepsTheOld},
		{"FailingOpenIsASourceError", failingOpen},
		{"FailingCloseStoresNothing", failingCloseStoresNothing},
		{"CancelledPutStoresNothing", cancelledPutStoresNothing},
		{"StuckSourceEndsWithContext", stuckSource},
	}
}

func putGivesSizeAndMD5(t *testing.T, b box) {
	before := time.Now()
	o := b.put(t, "a", "content")
	if o.Name != "a" || o.Size != 7 || o.MD5 != MD5([]byte("content")) || o.Listed != o.MD5 {
		t.Errorf("Put gave %+v", o)
	}
	listed := b.list(t, "")
	if len(listed) != 1 {
		t.Fatalf("%d objects listed, want 1", len(listed))
	}
	got := listed[0]
	if got.Name != "a" || got.Size != 7 || got.MD5 != o.MD5 || got.Listed != o.Listed {
		t.Errorf("List gave %+v, Put %+v", got, o)
	}
	if got.Modified.Before(before.Add(-time.Hour)) || got.Modified.After(before.Add(time.Hour)) {
		t.Errorf("modified %v, stored at %v", got.Modified, before)
	}
}

func oddNamesAreLiteral(t *testing.T, b box) {
	for _, name := range oddNames() {
		b.put(t, name, "content of "+name)
	}
	for _, name := range oddNames() {
		o, content := b.get(t, name)
		same(t, "name", o.Name, name)
		same(t, "content", content, "content of "+name)
		if got := names(b.list(t, name)); len(got) == 0 || got[0] != name {
			t.Errorf("list of %q gave %q", name, got)
		}
		if err := b.store.Copy(t.Context(), b.container, name, b.container+"-copy", name); err != nil {
			t.Errorf("Copy(%q): %v", name, err)
		}
	}
	b.container += "-copy"
	same(t, "number of copies", len(b.list(t, "")), len(oddNames()))
	for _, name := range oddNames() {
		_, content := b.get(t, name)
		same(t, "content", content, "content of "+name)
		if err := b.store.Delete(t.Context(), b.container, name); err != nil {
			t.Errorf("Delete(%q): %v", name, err)
		}
	}
	same(t, "listing", names(b.list(t, "")), []string{})
}

func badNamesAreRefused(t *testing.T, b box) {
	for _, n := range [][2]string{{"", "a"}, {"a/b", "c"}, {b.container, ""}, {b.container, "\xff"}, {string(make([]byte, 300)), "a"}} {
		_, err := b.store.Put(t.Context(), n[0], n[1], objstore.NewSource(nil), objstore.PutOptions{})
		if !errors.Is(err, objstore.ErrName) {
			t.Errorf("Put(%q, %q) = %v, want ErrName", n[0], n[1], err)
		}
	}
}

func emptyObject(t *testing.T, b box) {
	o := b.put(t, "empty", "")
	if o.Size != 0 || o.MD5 != MD5(nil) {
		t.Errorf("Put gave %+v", o)
	}
	got, content := b.get(t, "empty")
	if got.Size != 0 || got.MD5 != o.MD5 || content != "" {
		t.Errorf("Get gave %+v and %q", got, content)
	}
}

func bigStream(t *testing.T, b box) {
	data := random(8 << 20)
	src := &chopped{data: data, err: io.EOF}
	o, err := b.store.Put(t.Context(), b.container, "big", src.source, objstore.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if o.Size != int64(len(data)) || o.MD5 != MD5(data) || !src.isClosed() {
		t.Errorf("Put gave %+v, source closed: %v", o, src.isClosed())
	}
	if _, content := b.get(t, "big"); !equal(data, content) {
		t.Error("content differs")
	}
}

func replaceForgetsTheOld(t *testing.T, b box) {
	_, err := b.store.Put(t.Context(), b.container, "a", objstore.NewSource([]byte("a long first content")),
		objstore.PutOptions{Meta: map[string]string{"first": "yes"}})
	if err != nil {
		t.Fatal(err)
	}
	b.put(t, "a", "second")
	o, content := b.get(t, "a")
	same(t, "content", content, "second")
	same(t, "metadata", o.Meta, map[string]string{})
	same(t, "number of objects", len(b.list(t, "")), 1)
}

func metadataComesBack(t *testing.T, b box) {
	want := map[string]string{"complete": "false", "two-words": "a value; with = signs", "empty-not": "0"}
	_, err := b.store.Put(t.Context(), b.container, "a", objstore.NewSource([]byte("x")), objstore.PutOptions{ContentType: "application/json", Meta: want})
	if err != nil {
		t.Fatal(err)
	}
	o, _ := b.get(t, "a")
	same(t, "metadata", o.Meta, want)
	if err := b.store.Copy(t.Context(), b.container, "a", b.container, "b"); err != nil {
		t.Fatal(err)
	}
	o, _ = b.get(t, "b")
	same(t, "metadata of the copy", o.Meta, want)
}

func failingSourceStoresNothing(t *testing.T, b box) {
	b.put(t, "other", "x")
	for _, n := range []int{0, 1, 100, 32 << 10, 3 << 20} {
		src := &chopped{data: random(n), err: errBroken}
		_, err := b.store.Put(t.Context(), b.container, "a", src.source, objstore.PutOptions{})
		wantSourceError(t, err)
		if !src.isClosed() {
			t.Error("source was not closed")
		}
	}
	b.missing(t, "a")
	same(t, "listing", names(b.list(t, "")), []string{"other"})
}

func wantSourceError(t *testing.T, err error) {
	t.Helper()
	var source *objstore.SourceError
	if !errors.As(err, &source) || !errors.Is(err, errBroken) {
		t.Errorf("Put = %v, want a SourceError that wraps the source's own", err)
	}
}

func failingSourceKeepsTheOld(t *testing.T, b box) {
	b.put(t, "a", "old")
	src := &chopped{data: random(2 << 20), err: errBroken}
	_, err := b.store.Put(t.Context(), b.container, "a", src.source, objstore.PutOptions{})
	wantSourceError(t, err)
	_, content := b.get(t, "a")
	same(t, "content", content, "old")
}

func failingOpen(t *testing.T, b box) {
	open := func(context.Context) (io.ReadCloser, error) { return nil, errBroken }
	_, err := b.store.Put(t.Context(), b.container, "a", open, objstore.PutOptions{})
	wantSourceError(t, err)
}

func failingCloseStoresNothing(t *testing.T, b box) {
	b.put(t, "other", "x")
	src := &chopped{data: random(1 << 20), err: io.EOF, cerr: errBroken}
	_, err := b.store.Put(t.Context(), b.container, "a", src.source, objstore.PutOptions{})
	wantSourceError(t, err)
	b.missing(t, "a")
}

func cancelledPutStoresNothing(t *testing.T, b box) {
	b.put(t, "other", "x")
	for _, n := range []int{1, 100, 1 << 20} {
		ctx, cancel := context.WithCancel(t.Context())
		// A source that gives up with its caller, with an end that looks clean.
		src := &ending{data: random(n), atEnd: cancel}
		err := soon(t, func() error {
			_, err := b.store.Put(ctx, b.container, "a", func(context.Context) (io.ReadCloser, error) { return src, nil }, objstore.PutOptions{})
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Put of %d bytes = %v, want context.Canceled", n, err)
		}
		b.missing(t, "a")
	}
}

// ending gives its data, then calls atEnd and says that this was all.
type ending struct {
	data  []byte
	atEnd func()
}

func (e *ending) Read(p []byte) (int, error) {
	if len(e.data) == 0 {
		e.atEnd()
		return 0, io.EOF
	}
	n := copy(p, e.data)
	e.data = e.data[n:]
	return n, nil
}

func (e *ending) Close() error { return nil }

func stuckSource(t *testing.T, b box) {
	b.put(t, "other", "x")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe() // nobody writes the rest
	go func() { _, _ = w.Write(random(1 << 20)) }()
	err := soon(t, func() error {
		_, err := b.store.Put(ctx, b.container, "a", func(context.Context) (io.ReadCloser, error) {
			// Not before it is opened: nobody closes what nobody opened.
			time.AfterFunc(300*time.Millisecond, cancel)
			return r, nil
		}, objstore.PutOptions{})
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Put = %v, want context.Canceled", err)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("the source was not closed")
	}
	b.missing(t, "a")
}
