package objstoretest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"nightshard/shared/objstore"
)

func listPromises() []promise {
	return []promise{
		{"ListOfMissingContainerIsNotFound", listOfMissing},
		{"ListGoesOverPages", listGoesOverPages},
		{"ListByPrefix", listByPrefix},
		{"ListInOrderOfBytes", listInOrderOfBytes},
		{"ErrorOfEachEndsTheList", errorOfEach},
		{"ContainersByPrefix", containersByPrefix},
		{"ErrorOfEachEndsTheContainers", errorOfEachContainer},
	}
}

func otherPromises() []promise {
	return []promise{
		{"CopyStandsAlone", copyStandsAlone},
		{"CopyReplaces", copyReplaces},
		{"CopyOntoItself", copyOntoItself},
		{"CopyOfMissingIsNotFound", copyOfMissing},
		{"DeleteTwice", deleteTwice},
		{"DeleteContainer", deleteContainer},
		{"SweepKeepsObjects", sweepKeepsObjects},
		{"PutAfterContainerWasDeleted", putAfterContainerWasDeleted},
	}
}

func listOfMissing(t *testing.T, b box) {
	err := b.store.List(t.Context(), b.container, "", func(objstore.Object) error { return nil })
	if !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("List = %v, want ErrNotFound", err)
	}
}

func listGoesOverPages(t *testing.T, b box) {
	const n = 55
	err := parallel(5, func(i int) error {
		for j := range n / 5 {
			name := fmt.Sprintf("p/%03d", i*n/5+j)
			if _, err := b.store.Put(t.Context(), b.container, name, objstore.NewSource([]byte(name)), objstore.PutOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.put(t, "q", "")
	objects := b.list(t, "p/")
	same(t, "number of objects", len(objects), n)
	for i, o := range objects {
		name := fmt.Sprintf("p/%03d", i)
		if o.Name != name || o.Size != 5 || o.MD5 != MD5([]byte(name)) {
			t.Errorf("object %d is %+v", i, o)
		}
	}
	same(t, "number of all objects", len(b.list(t, "")), n+1)
}

func listByPrefix(t *testing.T, b box) {
	for _, name := range []string{"a", "a/b", "a/c", "ab", "b/a/b"} {
		b.put(t, name, "x")
	}
	same(t, "list of a/", names(b.list(t, "a/")), []string{"a/b", "a/c"})
	same(t, "list of a", names(b.list(t, "a")), []string{"a", "a/b", "a/c", "ab"})
	same(t, "list of c", names(b.list(t, "c")), []string{})
}

func listInOrderOfBytes(t *testing.T, b box) {
	want := []string{"A", "Z", "a", "a ", "a/", "a0", "aé", "b", "~", "é", "日"}
	for _, name := range slices.Backward(want) {
		b.put(t, name, "")
	}
	same(t, "listing", names(b.list(t, "")), want)
}

func errorOfEach(t *testing.T, b box) {
	b.put(t, "a", "")
	b.put(t, "b", "")
	calls := 0
	err := b.store.List(t.Context(), b.container, "", func(objstore.Object) error {
		calls++
		return errReader
	})
	if !errors.Is(err, errReader) || calls != 1 {
		t.Errorf("List = %v after %d calls", err, calls)
	}
}

func containersByPrefix(t *testing.T, b box) {
	prefix := b.container
	for _, suffix := range []string{"-b", "-a", " ☃ %"} {
		b.container = prefix + suffix
		b.put(t, "x", "y")
	}
	var got []string
	err := b.store.Containers(t.Context(), prefix, func(c objstore.Container) error {
		got = append(got, c.Name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "containers", got, []string{prefix + " ☃ %", prefix + "-a", prefix + "-b"})
}

func errorOfEachContainer(t *testing.T, b box) {
	b.put(t, "a", "")
	err := b.store.Containers(t.Context(), b.container, func(objstore.Container) error { return errReader })
	if !errors.Is(err, errReader) {
		t.Errorf("Containers = %v", err)
	}
}

func copyStandsAlone(t *testing.T, b box) {
	put := b.put(t, "a", "content")
	other := box{store: b.store, container: b.container + "-other"}
	if err := b.store.Copy(t.Context(), b.container, "a", other.container, "b"); err != nil {
		t.Fatal(err)
	}
	if err := b.store.Delete(t.Context(), b.container, "a"); err != nil {
		t.Fatal(err)
	}
	o, content := other.get(t, "b")
	same(t, "content", content, "content")
	same(t, "MD5", o.MD5, put.MD5)
	same(t, "hash in the listing", other.list(t, "")[0].Listed, put.Listed)
}

func copyReplaces(t *testing.T, b box) {
	b.put(t, "a", "new")
	b.put(t, "b", "an older content")
	if err := b.store.Copy(t.Context(), b.container, "a", b.container, "b"); err != nil {
		t.Fatal(err)
	}
	_, content := b.get(t, "b")
	same(t, "content", content, "new")
}

func copyOntoItself(t *testing.T, b box) {
	b.put(t, "a", "content")
	if err := b.store.Copy(t.Context(), b.container, "a", b.container, "a"); err != nil {
		t.Fatal(err)
	}
	_, content := b.get(t, "a")
	same(t, "content", content, "content")
}

func copyOfMissing(t *testing.T, b box) {
	for range 2 {
		err := b.store.Copy(t.Context(), b.container, "a", b.container, "b")
		if !errors.Is(err, objstore.ErrNotFound) {
			t.Errorf("Copy = %v, want ErrNotFound", err)
		}
		b.put(t, "other", "x")
	}
}

func deleteTwice(t *testing.T, b box) {
	if err := b.store.Delete(t.Context(), b.container, "a"); err != nil {
		t.Errorf("Delete without a container: %v", err)
	}
	b.put(t, "a", "x")
	for range 2 {
		if err := b.store.Delete(t.Context(), b.container, "a"); err != nil {
			t.Errorf("Delete: %v", err)
		}
		b.missing(t, "a")
	}
}

func deleteContainer(t *testing.T, b box) {
	b.put(t, "a", "x")
	var status *objstore.StatusError
	if err := b.store.DeleteContainer(t.Context(), b.container); !errors.As(err, &status) || status.Code != http.StatusConflict {
		t.Errorf("DeleteContainer of a full one = %v, want status 409", err)
	}
	if err := b.store.Delete(t.Context(), b.container, "a"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.store.DeleteContainer(t.Context(), b.container); err != nil {
			t.Errorf("DeleteContainer: %v", err)
		}
	}
	listOfMissing(t, b)
}

func putAfterContainerWasDeleted(t *testing.T, b box) {
	b.put(t, "a", "x")
	if err := errors.Join(b.store.Delete(t.Context(), b.container, "a"), b.store.DeleteContainer(t.Context(), b.container)); err != nil {
		t.Fatal(err)
	}
	b.put(t, "b", "y")
	same(t, "listing", names(b.list(t, "")), []string{"b"})
}

func sweepKeepsObjects(t *testing.T, b box) {
	if err := b.store.Sweep(t.Context(), b.container, ""); err != nil {
		t.Errorf("Sweep of a container that is not there: %v", err)
	}
	names := []string{"a/1", "a/2", "b/slo/1.000001/2/00000000"}
	for _, name := range names {
		b.put(t, name, name)
	}
	if err := b.store.Sweep(t.Context(), b.container, ""); err != nil {
		t.Error(err)
	}
	for _, name := range names {
		if _, content := b.get(t, name); content != name {
			t.Errorf("%s holds %q", name, content)
		}
	}
}
