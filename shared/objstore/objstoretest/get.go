package objstoretest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"nightshard/shared/objstore"
)

var errReader = errors.New("the reader had enough")

func getPromises() []promise {
	return []promise{
		{"GetOfMissingIsNotFound", getOfMissing},
		{"SkipBodyGivesOnlyTheObject", skipBody},
		{"SkipBodyInTheMiddle", skipBodyInTheMiddle},
		{"ErrorOfReadIsReturned", errorOfRead},
		{"ReadMayLeaveTheRest", readMayLeaveTheRest},
		{"CancelledContextEndsAll", cancelledContext},
		{"CancelInTheMiddleOfGet", cancelInTheMiddleOfGet},
		{"ConcurrentUse", concurrentUse},
	}
}

func getOfMissing(t *testing.T, b box) {
	b.missing(t, "no container")
	b.put(t, "a", "x")
	b.missing(t, "no object")
	b.missing(t, "a/")
}

func skipBody(t *testing.T, b box) {
	put := b.put(t, "a", string(random(1<<20)))
	var got objstore.Object
	err := b.store.Get(t.Context(), b.container, "a", func(o objstore.Object, _ io.Reader) error {
		got = o
		return fmt.Errorf("wrapped: %w", objstore.ErrSkipBody)
	})
	if err != nil || got.Size != put.Size || got.MD5 != put.MD5 || got.Listed != put.Listed || got.Name != "a" || got.Modified.IsZero() {
		t.Errorf("Get gave %+v, %v", got, err)
	}
}

func skipBodyInTheMiddle(t *testing.T, b box) {
	b.put(t, "a", string(random(5<<20)))
	err := b.store.Get(t.Context(), b.container, "a", func(_ objstore.Object, r io.Reader) error {
		if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
			return err
		}
		return objstore.ErrSkipBody
	})
	if err != nil {
		t.Errorf("Get = %v", err)
	}
}

func errorOfRead(t *testing.T, b box) {
	b.put(t, "a", string(random(1<<20)))
	calls := 0
	err := b.store.Get(t.Context(), b.container, "a", func(_ objstore.Object, r io.Reader) error {
		calls++
		_, _ = io.ReadFull(r, make([]byte, 10))
		return errReader
	})
	if !errors.Is(err, errReader) || calls != 1 {
		t.Errorf("Get = %v after %d calls of read", err, calls)
	}
}

func readMayLeaveTheRest(t *testing.T, b box) {
	b.put(t, "a", string(random(1<<20)))
	err := b.store.Get(t.Context(), b.container, "a", func(_ objstore.Object, r io.Reader) error {
		_, err := io.ReadFull(r, make([]byte, 10))
		return err
	})
	if err != nil {
		t.Errorf("Get = %v", err)
	}
}

func cancelledContext(t *testing.T, b box) {
	b.put(t, "a", "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	calls := map[string]func() error{
		"Put": func() error {
			_, err := b.store.Put(ctx, b.container, "b", objstore.NewSource([]byte("x")), objstore.PutOptions{})
			return err
		},
		"Get": func() error {
			return b.store.Get(ctx, b.container, "a", func(objstore.Object, io.Reader) error { return nil })
		},
		"List": func() error {
			return b.store.List(ctx, b.container, "", func(objstore.Object) error { return nil })
		},
		"Copy":            func() error { return b.store.Copy(ctx, b.container, "a", b.container, "b") },
		"Delete":          func() error { return b.store.Delete(ctx, b.container, "a") },
		"Containers":      func() error { return b.store.Containers(ctx, "", func(objstore.Container) error { return nil }) },
		"Sweep":           func() error { return b.store.Sweep(ctx, b.container, "") },
		"DeleteContainer": func() error { return b.store.DeleteContainer(ctx, b.container) },
	}
	for name, call := range calls {
		if err := soon(t, call); !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want context.Canceled", name, err)
		}
	}
	same(t, "listing", names(b.list(t, "")), []string{"a"})
}

func cancelInTheMiddleOfGet(t *testing.T, b box) {
	b.put(t, "a", string(random(8<<20)))
	ctx, cancel := context.WithCancel(t.Context())
	err := soon(t, func() error {
		return b.store.Get(ctx, b.container, "a", func(_ objstore.Object, r io.Reader) error {
			cancel()
			_, err := io.Copy(io.Discard, r)
			return err
		})
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Get = %v, want context.Canceled", err)
	}
}

func concurrentUse(t *testing.T, b box) {
	err := parallel(8, func(i int) error {
		name, data := fmt.Sprintf("object %d", i), random(100_000+i)
		o, err := b.store.Put(t.Context(), b.container, name, objstore.NewSource(data), objstore.PutOptions{})
		if err != nil {
			return err
		}
		if o.MD5 != MD5(data) {
			return fmt.Errorf("%s: MD5 of another object", name)
		}
		return b.store.Get(t.Context(), b.container, name, func(_ objstore.Object, r io.Reader) error {
			got, err := io.ReadAll(r)
			if err == nil && !equal(data, string(got)) {
				err = fmt.Errorf("%s: content of another object", name)
			}
			return err
		})
	})
	if err != nil {
		t.Error(err)
	}
	same(t, "number of objects", len(b.list(t, "")), 8)
}
