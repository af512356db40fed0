package swift

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"nightshard/shared/objstore"
)

// cleanTimeout bounds what is done after a failure.
const cleanTimeout = time.Minute

// Put implements objstore.Store. The content is sent as it comes, in chunks.
// Segments of an object that is replaced are removed after the new one is
// stored.
func (s *Store) Put(ctx context.Context, container, name string, src objstore.Source, opts objstore.PutOptions) (objstore.Object, error) {
	o, err := s.put(ctx, container, name, src, opts)
	if err != nil {
		return objstore.Object{}, fmt.Errorf("put object %s/%s: %w", container, name, err)
	}
	return o, nil
}

func (s *Store) put(ctx context.Context, container, name string, src objstore.Source, opts objstore.PutOptions) (objstore.Object, error) {
	if err := objstore.CheckNames(container, name); err != nil {
		return objstore.Object{}, err //nolint:wrapcheck // it names the object
	}
	if err := s.ensure(ctx, container); err != nil {
		return objstore.Object{}, err
	}
	// Asked before the upload: what is found now is not of an upload that
	// begins later.
	old, err := s.segments(ctx, container, name)
	if err != nil {
		return objstore.Object{}, err
	}
	o, err := s.upload(ctx, container, name, src, opts)
	if errors.Is(err, objstore.ErrNotFound) && !isSource(err) {
		// Somebody has removed the container meanwhile.
		s.forget(container)
		if err := s.ensure(ctx, container); err != nil {
			return objstore.Object{}, err
		}
		o, err = s.upload(ctx, container, name, src, opts)
	}
	if err != nil {
		return objstore.Object{}, err
	}
	return o, s.removeReplaced(ctx, container, name, old)
}

// upload sends the content as one object if it can be one. That is known only
// at the limit; what was sent until then is lost, and the content is opened
// again. Options.SizeHint saves that.
func (s *Store) upload(ctx context.Context, container, name string, src objstore.Source, opts objstore.PutOptions) (objstore.Object, error) {
	to := target{container: container, name: name, header: headers(opts)}
	if opts.SizeHint <= s.segment {
		o, err := s.uploadWhole(ctx, to, src)
		if !errors.Is(err, errTooLarge) {
			return o, err
		}
	}
	return s.uploadLarge(ctx, to, src)
}

func (s *Store) uploadWhole(ctx context.Context, to target, src objstore.Source) (objstore.Object, error) {
	in, err := openInput(ctx, src)
	if err != nil {
		return objstore.Object{}, err
	}
	defer in.close()
	return s.sendWhole(ctx, to, in)
}

func (s *Store) sendWhole(ctx context.Context, to target, in *input) (objstore.Object, error) {
	w := newWatch(ctx, s.idle)
	defer w.stop()
	p := newPart(in, s.segment, true, nil)
	header, err := s.send(w, to, p)
	if err != nil {
		return objstore.Object{}, err
	}
	return objstore.Object{Name: to.name, Size: p.size, MD5: p.md5(), Listed: p.md5(), Modified: modified(header)}, nil
}

// discard removes an object that was stored wrong, as well as it can.
func (s *Store) discard(w *watch, to target) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.parent), cleanTimeout)
	defer cancel()
	_ = s.remove(ctx, to.container, to.name) // the upload has failed already
}

// ensure makes a container that is missing. It looks first: a user may have the
// right to write into a container and not that to make one.
func (s *Store) ensure(ctx context.Context, container string) error {
	s.mu.Lock()
	known := s.known[container]
	s.mu.Unlock()
	if known {
		return nil
	}
	w := newWatch(ctx, s.idle)
	defer w.stop()
	_, err := s.call(w, request{method: http.MethodHead, container: container})
	if errors.Is(err, objstore.ErrNotFound) {
		w.kick()
		_, err = s.call(w, request{method: http.MethodPut, container: container})
	}
	if err != nil {
		return fmt.Errorf("make container %s: %w", container, err)
	}
	s.mu.Lock()
	s.known[container] = true
	s.mu.Unlock()
	return nil
}

func (s *Store) forget(container string) {
	s.mu.Lock()
	delete(s.known, container)
	s.mu.Unlock()
}

func isSource(err error) bool {
	var source *objstore.SourceError
	return errors.As(err, &source)
}
