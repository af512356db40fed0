package swift_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"testing"

	"nightshard/shared/objstore"
	"nightshard/shared/objstore/objstoretest"
	"nightshard/shared/objstore/swift"
)

const segment = 1 << 20

// large is an account that cuts objects at 1 MiB, and a container in it.
type large struct {
	*swift.Store
	container string
}

func openLarge(t *testing.T) large {
	t.Helper()
	t.Parallel()
	return large{open(t, func(c *swift.Config) { c.SegmentBytes = segment }), "large-" + rand.Text()}
}

func random(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.Read(data)
	return data
}

func (l large) put(t *testing.T, name string, data []byte, opts objstore.PutOptions) objstore.Object {
	t.Helper()
	o, err := l.Put(t.Context(), l.container, name, objstore.NewSource(data), opts)
	if err != nil {
		t.Fatal(err)
	}
	if o.Size != int64(len(data)) || o.MD5 != objstoretest.MD5(data) || o.Name != name || o.Listed == "" {
		t.Errorf("Put of %d bytes gave %+v", len(data), o)
	}
	return o
}

func (l large) holds(t *testing.T, container, name string, data []byte) objstore.Object {
	t.Helper()
	var o objstore.Object
	err := l.Get(t.Context(), container, name, func(got objstore.Object, r io.Reader) error {
		o = got
		content, err := io.ReadAll(r)
		if err == nil && string(content) != string(data) {
			t.Errorf("%s/%s: content differs", container, name)
		}
		return err
	})
	if err != nil || o.Size != int64(len(data)) {
		t.Errorf("Get gave %+v, %v", o, err)
	}
	return o
}

func (l large) list(t *testing.T, container string) []objstore.Object {
	t.Helper()
	var objects []objstore.Object
	err := l.List(t.Context(), container, "", func(o objstore.Object) error {
		objects = append(objects, o)
		return nil
	})
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		t.Fatal(err)
	}
	return objects
}

func (l large) segments(t *testing.T, want int) {
	t.Helper()
	if got := l.list(t, l.container+"_segments"); len(got) != want {
		t.Errorf("%d segments, want %d: %v", len(got), want, got)
	}
}

func TestLargeObjectsAreCutAtTheLimit(t *testing.T) {
	l := openLarge(t)
	segments := 0
	for _, c := range []struct{ size, segments int }{
		{segment - 1, 0}, {segment, 0}, {segment + 1, 2}, {2 * segment, 2}, {3*segment + 500, 4},
	} {
		name, data := "object/"+rand.Text()+" é%", random(c.size)
		o := l.put(t, name, data, objstore.PutOptions{})
		segments += c.segments
		l.segments(t, segments)
		got := l.holds(t, l.container, name, data)
		if got.Listed != o.Listed {
			t.Errorf("Get has hash %s, Put %s", got.Listed, o.Listed)
		}
		found := false
		for _, x := range l.list(t, l.container) {
			found = found || x.Name == name && x.Size == o.Size && x.Listed == o.Listed && (c.segments == 0) == (x.MD5 == o.MD5)
		}
		if !found {
			t.Errorf("the listing does not prove the object of %d bytes: %+v", c.size, l.list(t, l.container))
		}
	}
}

func TestSizeHintSavesASecondOpening(t *testing.T) {
	l := openLarge(t)
	data := random(2*segment + 1)
	for hint, want := range map[int64]int{0: 2, 2 * segment: 1} {
		opened := 0
		src := func(ctx context.Context) (io.ReadCloser, error) {
			opened++
			return objstore.NewSource(data)(ctx)
		}
		if _, err := l.Put(t.Context(), l.container, "a", src, objstore.PutOptions{SizeHint: hint}); err != nil {
			t.Fatal(err)
		}
		if opened != want {
			t.Errorf("with hint %d the source was opened %d times, want %d", hint, opened, want)
		}
		l.holds(t, l.container, "a", data)
	}
}

func TestWrongSizeHintDoesNoHarm(t *testing.T) {
	l := openLarge(t)
	for _, size := range []int{0, 1, segment} {
		data := random(size)
		l.put(t, "a", data, objstore.PutOptions{SizeHint: 10 * segment})
		l.holds(t, l.container, "a", data)
	}
}

func TestReplacingALargeObjectLeavesNoSegments(t *testing.T) {
	l := openLarge(t)
	l.put(t, "a/b", random(2*segment), objstore.PutOptions{})
	l.put(t, "a", random(3*segment), objstore.PutOptions{})
	l.segments(t, 5)
	data := random(4 * segment)
	l.put(t, "a", data, objstore.PutOptions{})
	l.segments(t, 6)
	l.holds(t, l.container, "a", data)
	l.put(t, "a", []byte("small"), objstore.PutOptions{})
	l.segments(t, 2)
	l.put(t, "small", []byte("small"), objstore.PutOptions{})
	if err := l.Copy(t.Context(), l.container, "small", l.container, "a/b"); err != nil {
		t.Fatal(err)
	}
	l.segments(t, 0)
}

func TestDeleteOfALargeObjectLeavesNoSegments(t *testing.T) {
	l := openLarge(t)
	l.put(t, "a", random(3*segment), objstore.PutOptions{})
	l.put(t, "ab", random(2*segment), objstore.PutOptions{})
	if err := l.Delete(t.Context(), l.container, "a"); err != nil {
		t.Fatal(err)
	}
	l.segments(t, 2)
}

// A crash between the removal of an object and that of its segments, or before
// the upload of their list, leaves segments of no object.
func TestSweepRemovesTheSegmentsOfNoObject(t *testing.T) {
	l := openLarge(t)
	day := rand.Text()
	l.container = day + "_segments"
	foreign := "old/1464739200.000000/3/1/00000000" // as the swift client names them
	for _, name := range []string{"in/a/slo/1.000001/2/00000000", "in/a/slo/1.000001/2/00000001", "in/b/slo/7.000000/9/00000000", "out/c/slo/1.000001/2/00000000", foreign} {
		l.put(t, name, []byte("x"), objstore.PutOptions{})
	}
	l.container = day
	data := random(3 * segment)
	l.put(t, "in/kept", data, objstore.PutOptions{})
	if err := l.Sweep(t.Context(), day, "in/"); err != nil {
		t.Fatal(err)
	}
	l.segments(t, 3+2) // kept's, those below another prefix, and the foreign one
	l.holds(t, day, "in/kept", data)
	if err := l.Sweep(t.Context(), day, ""); err != nil {
		t.Fatal(err)
	}
	l.segments(t, 3+1)
}

func TestCopyOfALargeObjectStandsAlone(t *testing.T) {
	l := openLarge(t)
	data := random(3*segment + 7)
	put := l.put(t, "a é", data, objstore.PutOptions{Meta: map[string]string{"complete": "true"}})
	day := l.container + "-next"
	if err := l.Copy(t.Context(), l.container, "a é", day, "copies/a"); err != nil {
		t.Fatal(err)
	}
	if err := l.Delete(t.Context(), l.container, "a é"); err != nil {
		t.Fatal(err)
	}
	l.segments(t, 0)
	o := l.holds(t, day, "copies/a", data)
	if o.Listed != put.Listed || o.Meta["complete"] != "true" {
		t.Errorf("the copy is %+v, its source was %+v", o, put)
	}
	if got := l.list(t, day+"_segments"); len(got) != 4 {
		t.Errorf("the copy has %d segments of its own, want 4", len(got))
	}
}

func TestBrokenSourceOfALargeObjectLeavesNothing(t *testing.T) {
	l := openLarge(t)
	errBroken := errors.New("broken")
	for _, hint := range []int64{0, 5 * segment} {
		src := func(ctx context.Context) (io.ReadCloser, error) {
			rc, _ := objstore.NewSource(random(2*segment + 100))(ctx)
			return &failing{ReadCloser: rc, err: errBroken}, nil
		}
		_, err := l.Put(t.Context(), l.container, "a", src, objstore.PutOptions{SizeHint: hint})
		var source *objstore.SourceError
		if !errors.As(err, &source) || !errors.Is(err, errBroken) {
			t.Errorf("Put = %v", err)
		}
		l.segments(t, 0)
		if got := l.list(t, l.container); len(got) != 0 {
			t.Errorf("objects left: %v", got)
		}
	}
}

// failing gives an error in place of its end.
type failing struct {
	io.ReadCloser
	err error
}

// Read implements io.Reader.
func (f *failing) Read(b []byte) (int, error) {
	n, err := f.ReadCloser.Read(b)
	if errors.Is(err, io.EOF) {
		err = f.err
	}
	return n, err
}

func TestDamagedSegmentIsFound(t *testing.T) {
	l := openLarge(t)
	l.put(t, "a", random(3*segment), objstore.PutOptions{})
	victim := l.list(t, l.container+"_segments")[1]
	_, err := l.Put(t.Context(), l.container+"_segments", victim.Name, objstore.NewSource(random(segment)), objstore.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	err = l.Get(t.Context(), l.container, "a", func(_ objstore.Object, r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
	if !errors.Is(err, objstore.ErrCorrupt) {
		t.Errorf("Get = %v, want ErrCorrupt", err)
	}
}
