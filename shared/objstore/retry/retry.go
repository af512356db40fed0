// Package retry makes an object store patient. It is a decorator that holds all
// policy of the store: what is worth another try, how long to wait, when to
// give up. The adapters below it try everything once.
package retry

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"nightshard/shared/objstore"
)

// Inner is what is decorated.
type Inner = objstore.Account

// Store is an account that tries again. It is safe for concurrent use if what
// it decorates is.
type Store struct {
	inner  Inner
	policy Policy
}

var _ objstore.Account = (*Store)(nil)

// New decorates inner. Fields of the policy that are zero get their defaults.
func New(inner Inner, policy Policy) *Store {
	return &Store{inner: inner, policy: policy.withDefaults()}
}

// Put implements objstore.Store. Each try opens the source anew. A failure of
// the source itself is never tried again here: only its owner knows whether
// that is of use.
func (s *Store) Put(ctx context.Context, container, name string, src objstore.Source, opts objstore.PutOptions) (objstore.Object, error) {
	var o objstore.Object
	err := s.do(ctx, "put", container+"/"+name, worthIt, func() (err error) {
		o, err = s.inner.Put(ctx, container, name, src, opts)
		return err //nolint:wrapcheck // the store names the object
	})
	return o, err
}

// Get implements objstore.Store. It tries again only until the first byte has
// come: read is called once, and what it was given cannot be taken back.
func (s *Store) Get(ctx context.Context, container, name string, read func(objstore.Object, io.Reader) error) error {
	given := false
	again := func(err error) bool { return !given && worthIt(err) }
	return s.do(ctx, "get", container+"/"+name, again, func() error {
		return s.inner.Get(ctx, container, name, func(o objstore.Object, r io.Reader) error {
			ahead := bufio.NewReader(r)
			if _, err := ahead.Peek(1); err != nil && !errors.Is(err, io.EOF) {
				return fmt.Errorf("read first byte: %w", err)
			}
			given = true
			return read(o, ahead)
		})
	})
}

// List implements objstore.Store. After a failure the listing goes on behind
// the last name that was yielded.
func (s *Store) List(ctx context.Context, container, prefix string, each func(objstore.Object) error) error {
	return s.listing(ctx, "list", container, func(y *yielder) error {
		return s.inner.List(ctx, container, prefix, func(o objstore.Object) error {
			return y.yield(o.Name, func() error { return each(o) })
		})
	})
}

// Containers implements objstore.Containers, as List does.
func (s *Store) Containers(ctx context.Context, prefix string, each func(objstore.Container) error) error {
	return s.listing(ctx, "list", "containers", func(y *yielder) error {
		return s.inner.Containers(ctx, prefix, func(c objstore.Container) error {
			return y.yield(c.Name, func() error { return each(c) })
		})
	})
}

// Copy implements objstore.Store.
func (s *Store) Copy(ctx context.Context, srcContainer, srcName, dstContainer, dstName string) error {
	return s.do(ctx, "copy", srcContainer+"/"+srcName, worthIt, func() error {
		return s.inner.Copy(ctx, srcContainer, srcName, dstContainer, dstName)
	})
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, container, name string) error {
	return s.do(ctx, "delete", container+"/"+name, worthIt, func() error {
		return s.inner.Delete(ctx, container, name)
	})
}

// Sweep implements objstore.Sweeper.
func (s *Store) Sweep(ctx context.Context, container, prefix string) error {
	return s.do(ctx, "sweep", container+"/"+prefix, worthIt, func() error {
		return s.inner.Sweep(ctx, container, prefix)
	})
}

// DeleteContainer implements objstore.Containers. That a container is not empty
// is not tried again.
func (s *Store) DeleteContainer(ctx context.Context, container string) error {
	again := func(err error) bool { return code(err) != http.StatusConflict && worthIt(err) }
	return s.do(ctx, "delete", container, again, func() error {
		return s.inner.DeleteContainer(ctx, container)
	})
}

// Reauthenticate implements objstore.Reauthenticator, where the decorated store
// does.
func (s *Store) Reauthenticate(ctx context.Context) error {
	if r, ok := s.inner.(objstore.Reauthenticator); ok {
		return r.Reauthenticate(ctx) //nolint:wrapcheck // the store says where
	}
	return nil
}

func (s *Store) do(ctx context.Context, op, name string, again func(error) bool, try func() error) error {
	return run(ctx, s.policy, op, name, again, func() error {
		err := try()
		if code(err) != http.StatusUnauthorized {
			return err
		}
		// The token has ended; the next try needs another one. Only
		// credentials that are refused make it useless.
		if aerr := s.Reauthenticate(ctx); errors.Is(aerr, objstore.ErrCredentials) {
			return aerr
		}
		return err
	})
}

func (s *Store) listing(ctx context.Context, op, name string, try func(*yielder) error) error {
	var y yielder
	again := func(err error) bool { return y.err == nil && worthIt(err) }
	return s.do(ctx, op, name, again, func() error { return try(&y) })
}

// yielder passes on entries that come after the last one it has passed on.
type yielder struct {
	last string
	// err is that of the caller's function, which ends the listing for good.
	err error
}

func (y *yielder) yield(name string, each func() error) error {
	if y.last != "" && name <= y.last {
		return nil
	}
	y.last = name
	y.err = each()
	return y.err
}
