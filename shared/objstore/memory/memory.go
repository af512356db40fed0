// Package memory keeps objects in memory, with the meaning that Swift gives to
// them: for tests, and for trying things out.
package memory

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // Swift's own checksum
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"nightshard/shared/objstore"
)

// Store is one account. It is safe for concurrent use.
type Store struct {
	mu         sync.Mutex
	containers map[string]map[string]object
}

// object is never changed once it is stored.
type object struct {
	objstore.Object
	data []byte
}

var _ objstore.Account = (*Store)(nil)

// New returns an empty account.
func New() *Store {
	return &Store{containers: map[string]map[string]object{}}
}

// Put implements objstore.Store.
func (s *Store) Put(ctx context.Context, container, name string, src objstore.Source, opts objstore.PutOptions) (objstore.Object, error) {
	fail := func(err error) (objstore.Object, error) {
		return objstore.Object{}, fmt.Errorf("put object %s/%s: %w", container, name, err)
	}
	if err := errors.Join(objstore.CheckNames(container, name), ctx.Err()); err != nil {
		return fail(err)
	}
	data, err := readAll(ctx, src)
	if err != nil {
		return fail(err)
	}
	o := objstore.Object{Name: name, Size: int64(len(data)), MD5: sum(data), Listed: sum(data), Modified: time.Now().UTC()}
	kept := o
	kept.Meta = lower(opts.Meta)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	s.container(container)[name] = object{Object: kept, data: data}
	return o, nil
}

// readAll reads the content in its own goroutine, so that a source which does
// not heed ctx cannot hold the call.
func readAll(ctx context.Context, src objstore.Source) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	rc, err := src(ctx)
	if err != nil {
		return nil, sourceError(ctx, err)
	}
	done := make(chan result, 1)
	go func() {
		data, err := io.ReadAll(rc)
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		if cerr := rc.Close(); r.err == nil {
			r.err = cerr
		}
		return r.data, sourceError(ctx, r.err)
	case <-ctx.Done():
		_ = rc.Close() // to end the Read
		return nil, ctx.Err()
	}
}

func sourceError(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return &objstore.SourceError{Err: err}
}

// Get implements objstore.Store.
func (s *Store) Get(ctx context.Context, container, name string, read func(objstore.Object, io.Reader) error) error {
	err := errors.Join(objstore.CheckNames(container, name), ctx.Err())
	if err == nil {
		var o object
		if o, err = s.find(container, name); err == nil {
			described := o.Object
			described.Meta = maps.Clone(o.Meta)
			err = read(described, &reader{ctx: ctx, r: bytes.NewReader(o.data)})
		}
	}
	if err != nil && !errors.Is(err, objstore.ErrSkipBody) {
		return fmt.Errorf("get object %s/%s: %w", container, name, err)
	}
	return nil
}

// List implements objstore.Store.
func (s *Store) List(ctx context.Context, container, prefix string, each func(objstore.Object) error) error {
	if err := errors.Join(objstore.CheckContainer(container), ctx.Err()); err != nil {
		return fmt.Errorf("list container %s: %w", container, err)
	}
	s.mu.Lock()
	c, found := s.containers[container]
	var list []objstore.Object
	for _, name := range sorted(c, prefix) {
		o := c[name].Object
		o.Meta = nil
		list = append(list, o)
	}
	s.mu.Unlock()
	if !found {
		return fmt.Errorf("list container %s: %w", container, objstore.ErrNotFound)
	}
	for _, o := range list {
		if err := errors.Join(ctx.Err(), each(o)); err != nil {
			return fmt.Errorf("list container %s: %w", container, err)
		}
	}
	return nil
}

// Copy implements objstore.Store.
func (s *Store) Copy(ctx context.Context, srcContainer, srcName, dstContainer, dstName string) error {
	err := errors.Join(objstore.CheckNames(srcContainer, srcName), objstore.CheckNames(dstContainer, dstName), ctx.Err())
	var o object
	if err == nil {
		o, err = s.find(srcContainer, srcName)
	}
	if err != nil {
		return fmt.Errorf("copy object %s/%s to %s/%s: %w", srcContainer, srcName, dstContainer, dstName, err)
	}
	o.Name, o.Modified = dstName, time.Now().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.container(dstContainer)[dstName] = o
	return nil
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, container, name string) error {
	if err := errors.Join(objstore.CheckNames(container, name), ctx.Err()); err != nil {
		return fmt.Errorf("delete object %s/%s: %w", container, name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.containers[container], name)
	return nil
}

// Sweep implements objstore.Sweeper: nothing is ever left behind here.
func (s *Store) Sweep(ctx context.Context, container, _ string) error {
	if err := errors.Join(objstore.CheckContainer(container), ctx.Err()); err != nil {
		return fmt.Errorf("sweep container %s: %w", container, err)
	}
	return nil
}

// Containers implements objstore.Containers.
func (s *Store) Containers(ctx context.Context, prefix string, each func(objstore.Container) error) error {
	s.mu.Lock()
	var list []objstore.Container
	for _, name := range sorted(s.containers, prefix) {
		c := objstore.Container{Name: name, Objects: int64(len(s.containers[name]))}
		for _, o := range s.containers[name] {
			c.Bytes += o.Size
		}
		list = append(list, c)
	}
	s.mu.Unlock()
	for _, c := range list {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("list containers: %w", err)
		}
		if err := each(c); err != nil {
			return fmt.Errorf("list containers: %w", err)
		}
	}
	return nil
}

// DeleteContainer implements objstore.Containers.
func (s *Store) DeleteContainer(ctx context.Context, container string) error {
	if err := errors.Join(objstore.CheckContainer(container), ctx.Err()); err != nil {
		return fmt.Errorf("delete container %s: %w", container, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.containers[container]) > 0 {
		return fmt.Errorf("delete container %s: %w", container, &objstore.StatusError{Code: http.StatusConflict, Text: "Conflict"})
	}
	delete(s.containers, container)
	return nil
}

// container is called with the lock held.
func (s *Store) container(name string) map[string]object {
	if s.containers[name] == nil {
		s.containers[name] = map[string]object{}
	}
	return s.containers[name]
}

func (s *Store) find(container, name string) (object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, found := s.containers[container][name]
	if !found {
		return object{}, objstore.ErrNotFound
	}
	return o, nil
}

// reader ends when ctx does.
type reader struct {
	ctx context.Context //nolint:containedctx // that of the Get it belongs to
	r   io.Reader
}

// Read implements io.Reader.
func (r *reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b) //nolint:wrapcheck // io.EOF must pass as it is
}

func sorted[T any](m map[string]T, prefix string) []string {
	var names []string
	for name := range m {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func lower(meta map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range meta {
		out[strings.ToLower(k)] = v
	}
	return out
}

func sum(data []byte) string {
	h := md5.Sum(data) //nolint:gosec // Swift's own checksum
	return hex.EncodeToString(h[:])
}
