package objstoretest_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"nightshard/shared/objstore"
	"nightshard/shared/objstore/memory"
	"nightshard/shared/objstore/objstoretest"
)

var errFault = errors.New("fault")

func TestFaultyStoreWithoutFaultsKeepsThePromises(t *testing.T) {
	t.Parallel()
	store := objstoretest.NewFaulty(memory.New())
	objstoretest.Run(t, func(testing.TB) objstoretest.Inner { return store })
}

func put(t *testing.T, s objstore.Store, name string) error {
	t.Helper()
	_, err := s.Put(t.Context(), "c", name, objstore.NewSource([]byte("content")), objstore.PutOptions{})
	return err
}

func get(t *testing.T, s objstore.Store, name string) (string, error) {
	t.Helper()
	var content []byte
	err := s.Get(t.Context(), "c", name, func(_ objstore.Object, r io.Reader) (err error) {
		content, err = io.ReadAll(r)
		return err
	})
	return string(content), err
}

func TestOnlyTheNamedCallFails(t *testing.T) {
	t.Parallel()
	f := objstoretest.NewFaulty(memory.New(), objstoretest.Fault{Op: objstoretest.Put, Name: "a", Call: 2, Err: errFault})
	for i, want := range []error{nil, errFault, nil} {
		if err := put(t, f, "b"); err != nil {
			t.Errorf("Put of another object = %v", err)
		}
		if err := put(t, f, "a"); !errors.Is(err, want) {
			t.Errorf("Put %d = %v, want %v", i, err, want)
		}
	}
	if f.Calls(objstoretest.Put) != 6 {
		t.Errorf("%d calls counted", f.Calls(objstoretest.Put))
	}
}

func TestPutThatFailsInTheMiddleStoresNothing(t *testing.T) {
	t.Parallel()
	f := objstoretest.NewFaulty(memory.New(), objstoretest.Fault{Op: objstoretest.Put, After: 3, Err: errFault})
	if err := put(t, f, "a"); !errors.Is(err, errFault) {
		t.Errorf("Put = %v", err)
	}
	if _, err := get(t, f, "a"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("Get = %v", err)
	}
}

func TestLateFaultHasItsEffect(t *testing.T) {
	t.Parallel()
	f := objstoretest.NewFaulty(memory.New(), objstoretest.Fault{Op: objstoretest.Put, Late: true, Err: errFault},
		objstoretest.Fault{Op: objstoretest.Delete, Late: true, Err: errFault})
	if err := put(t, f, "a"); !errors.Is(err, errFault) {
		t.Errorf("Put = %v", err)
	}
	if content, err := get(t, f, "a"); err != nil || content != "content" {
		t.Errorf("Get gave %q, %v", content, err)
	}
	if err := f.Delete(t.Context(), "c", "a"); !errors.Is(err, errFault) {
		t.Errorf("Delete = %v", err)
	}
	f.Mend()
	if _, err := get(t, f, "a"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("Get = %v", err)
	}
}

func TestDownloadGoesWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault   objstoretest.Fault
		content string
		err     error
	}{
		"at once":       {objstoretest.Fault{Err: errFault}, "", errFault},
		"in the middle": {objstoretest.Fault{After: 3, Err: errFault}, "con", errFault},
		"corrupt":       {objstoretest.Fault{After: 3, Corrupt: true}, "conuent", objstore.ErrCorrupt},
	} {
		f := objstoretest.NewFaulty(memory.New())
		if err := put(t, f, "a"); err != nil {
			t.Fatal(err)
		}
		f.Break(c.fault)
		if content, err := get(t, f, "a"); content != c.content || !errors.Is(err, c.err) {
			t.Errorf("%s: Get gave %q, %v", name, content, err)
		}
	}
}

func TestStallEndsWithTheContext(t *testing.T) {
	t.Parallel()
	f := objstoretest.NewFaulty(memory.New())
	if err := put(t, f, "a"); err != nil {
		t.Fatal(err)
	}
	f.Break(objstoretest.Fault{Stall: true})
	for name, call := range map[string]func(context.Context) error{
		"Put": func(ctx context.Context) error {
			_, err := f.Put(ctx, "c", "b", objstore.NewSource([]byte("x")), objstore.PutOptions{})
			return err
		},
		"Get": func(ctx context.Context) error {
			return f.Get(ctx, "c", "a", func(_ objstore.Object, r io.Reader) error {
				_, err := io.Copy(io.Discard, r)
				return err
			})
		},
		"List": func(ctx context.Context) error {
			return f.List(ctx, "c", "", func(objstore.Object) error { return nil })
		},
		"Delete": func(ctx context.Context) error { return f.Delete(ctx, "c", "a") },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s = %v", name, err)
		}
		cancel()
	}
}

func TestListingBreaksOff(t *testing.T) {
	t.Parallel()
	f := objstoretest.NewFaulty(memory.New(), objstoretest.Fault{Op: objstoretest.List, After: 2, Err: errFault})
	for _, name := range []string{"a", "b", "c"} {
		if err := put(t, f, name); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	err := f.List(t.Context(), "c", "", func(objstore.Object) error {
		n++
		return nil
	})
	if !errors.Is(err, errFault) || n != 2 {
		t.Errorf("List = %v after %d objects", err, n)
	}
}
