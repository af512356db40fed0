package objstoretest

import (
	"context"
	"errors"
	"io"
	"sync"

	"nightshard/shared/objstore"
)

// Op names a method of a store.
type Op string

// The methods that can be broken.
const (
	Put             Op = "Put"
	Get             Op = "Get"
	List            Op = "List"
	Copy            Op = "Copy"
	Delete          Op = "Delete"
	Sweep           Op = "Sweep"
	Containers      Op = "Containers"
	DeleteContainer Op = "DeleteContainer"
)

// Fault says how calls go wrong. By default they fail with Err before anything
// happens.
type Fault struct {
	// Op is the method, each method when empty.
	Op Op
	// Name, if not empty, is the object (or, where there is none, the
	// container) whose calls go wrong.
	Name string
	// Call is which call goes wrong, counted from 1 over those that Op and
	// Name fit; 0 for each.
	Call int
	// Err is what the call returns.
	Err error
	// After lets that many bytes of content (Put, Get) or entries (List,
	// Containers) pass first.
	After int64
	// Late lets the call be done and loses its answer.
	Late bool
	// Corrupt changes the byte of content at After; the call then finds
	// ErrCorrupt, as a store that checks does. Err is not used.
	Corrupt bool
	// Stall waits for the end of the context in place of failing. Err is not
	// used.
	Stall bool
}

// atOnce says that nothing happens before the failure.
func (f *Fault) atOnce() bool { return f.After == 0 && !f.Corrupt && !f.Stall && !f.Late }

// Faulty is a store that goes wrong as it is told.
type Faulty struct {
	inner  Inner
	mu     sync.Mutex
	faults []*planned
	calls  map[Op]int
}

// planned is a fault and how many calls it has seen.
type planned struct {
	Fault
	seen int
}

var _ Inner = (*Faulty)(nil)

// NewFaulty decorates inner. Until Break is called it changes nothing.
func NewFaulty(inner Inner, faults ...Fault) *Faulty {
	f := &Faulty{inner: inner, calls: map[Op]int{}}
	for _, x := range faults {
		f.Break(x)
	}
	return f
}

// Break adds a fault. Its calls are counted from now on.
func (f *Faulty) Break(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, &planned{Fault: fault})
}

// Mend takes all faults back.
func (f *Faulty) Mend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// Calls is how often a method was called.
func (f *Faulty) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// next counts a call and gives its fault, if it has one.
func (f *Faulty) next(op Op, name string) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op]++
	var found *Fault
	for _, p := range f.faults {
		if p.Op != "" && p.Op != op || p.Name != "" && p.Name != name {
			continue
		}
		p.seen++
		if found == nil && (p.Call == 0 || p.Call == p.seen) {
			found = &p.Fault
		}
	}
	return found
}

// whole runs a call that has no content.
func (f *Faulty) whole(ctx context.Context, op Op, name string, call func() error) error {
	fault := f.next(op, name)
	switch {
	case fault == nil:
		return call()
	case fault.Stall:
		<-ctx.Done()
		return ctx.Err()
	case fault.Late:
		return errors.Join(call(), fault.Err)
	}
	return fault.Err
}

// Put implements objstore.Store.
func (f *Faulty) Put(ctx context.Context, container, name string, src objstore.Source, opts objstore.PutOptions) (objstore.Object, error) {
	fault := f.next(Put, name)
	switch {
	case fault == nil:
		return f.inner.Put(ctx, container, name, src, opts)
	case fault.atOnce():
		return objstore.Object{}, fault.Err
	}
	o, err := f.inner.Put(ctx, container, name, func(ctx context.Context) (io.ReadCloser, error) {
		rc, err := src(ctx)
		if err != nil {
			return nil, err
		}
		return &faultyBody{ctx: ctx, ReadCloser: rc, fault: fault, left: fault.After}, nil
	}, opts)
	switch {
	case err != nil && errors.Is(err, errInjected):
		return objstore.Object{}, fault.Err
	case err != nil:
		return objstore.Object{}, err
	case fault.Corrupt:
		return objstore.Object{}, objstore.ErrCorrupt
	}
	return o, fault.Err
}

// Get implements objstore.Store.
func (f *Faulty) Get(ctx context.Context, container, name string, read func(objstore.Object, io.Reader) error) error {
	fault := f.next(Get, name)
	switch {
	case fault == nil:
		return f.inner.Get(ctx, container, name, read)
	case fault.atOnce():
		return fault.Err
	}
	err := f.inner.Get(ctx, container, name, func(o objstore.Object, r io.Reader) error {
		body := &faultyBody{ctx: ctx, ReadCloser: io.NopCloser(r), fault: fault, left: fault.After, get: true}
		if err := read(o, body); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, body)
		return err
	})
	if err == nil && fault.Late {
		return fault.Err
	}
	return err
}

// List implements objstore.Store.
func (f *Faulty) List(ctx context.Context, container, prefix string, each func(objstore.Object) error) error {
	return entries(ctx, f.next(List, container), each, func(each func(objstore.Object) error) error {
		return f.inner.List(ctx, container, prefix, each)
	})
}

// Containers implements objstore.Containers.
func (f *Faulty) Containers(ctx context.Context, prefix string, each func(objstore.Container) error) error {
	return entries(ctx, f.next(Containers, ""), each, func(each func(objstore.Container) error) error {
		return f.inner.Containers(ctx, prefix, each)
	})
}

// Copy implements objstore.Store. The fault's name is that of the target.
func (f *Faulty) Copy(ctx context.Context, srcContainer, srcName, dstContainer, dstName string) error {
	return f.whole(ctx, Copy, dstName, func() error {
		return f.inner.Copy(ctx, srcContainer, srcName, dstContainer, dstName)
	})
}

// Delete implements objstore.Store.
func (f *Faulty) Delete(ctx context.Context, container, name string) error {
	return f.whole(ctx, Delete, name, func() error { return f.inner.Delete(ctx, container, name) })
}

// Sweep implements objstore.Sweeper.
func (f *Faulty) Sweep(ctx context.Context, container, prefix string) error {
	return f.whole(ctx, Sweep, prefix, func() error { return f.inner.Sweep(ctx, container, prefix) })
}

// DeleteContainer implements objstore.Containers.
func (f *Faulty) DeleteContainer(ctx context.Context, container string) error {
	return f.whole(ctx, DeleteContainer, container, func() error { return f.inner.DeleteContainer(ctx, container) })
}

// entries runs a listing that breaks off after some entries.
func entries[T any](ctx context.Context, fault *Fault, each func(T) error, call func(func(T) error) error) error {
	if fault == nil {
		return call(each)
	}
	left := fault.After
	err := call(func(entry T) error {
		if left--; left < 0 && !fault.Late {
			return errInjected
		}
		return each(entry)
	})
	if err != nil && !errors.Is(err, errInjected) {
		return err
	}
	if fault.Stall {
		<-ctx.Done()
		return ctx.Err()
	}
	return fault.Err
}

// errInjected ends the inner call where the fault is to show.
var errInjected = errors.New("injected fault")

// faultyBody is content that goes wrong after some bytes.
type faultyBody struct {
	io.ReadCloser
	ctx   context.Context
	fault *Fault
	left  int64
	get   bool
	wrong bool
}

// Read implements io.Reader.
func (b *faultyBody) Read(p []byte) (int, error) {
	switch {
	case b.fault.Late, b.wrong, len(p) == 0:
		return b.rest(b.ReadCloser.Read(p))
	case b.left > 0:
		n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
		b.left -= int64(n)
		return n, err
	case b.fault.Corrupt:
		n, err := b.ReadCloser.Read(p)
		if n > 0 {
			p[0] ^= 1
			b.wrong = true
		}
		return b.rest(n, err)
	case b.fault.Stall:
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	case b.get:
		return 0, b.fault.Err
	}
	return 0, errInjected
}

// rest gives ErrCorrupt in place of the end, once a byte was changed.
func (b *faultyBody) rest(n int, err error) (int, error) {
	if b.get && b.wrong && errors.Is(err, io.EOF) {
		return n, objstore.ErrCorrupt
	}
	return n, err
}
