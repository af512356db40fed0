package swift

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"nightshard/shared/objstore"
)

// Delete implements objstore.Store. The object goes first and its segments
// after it: a crash between leaves segments that the next Delete or Put of the
// name removes, and never an object with a hole.
func (s *Store) Delete(ctx context.Context, container, name string) error {
	if err := s.delete(ctx, container, name); err != nil {
		return fmt.Errorf("delete object %s/%s: %w", container, name, err)
	}
	return nil
}

func (s *Store) delete(ctx context.Context, container, name string) error {
	if err := objstore.CheckNames(container, name); err != nil {
		return err //nolint:wrapcheck // it names the object
	}
	if err := s.remove(ctx, container, name); err != nil {
		return err
	}
	old, err := s.segments(ctx, container, name)
	if err != nil {
		return err
	}
	return s.removeSegments(ctx, old)
}

// remove deletes one object as it is, a manifest without its segments.
func (s *Store) remove(ctx context.Context, container, name string) error {
	w := newWatch(ctx, s.idle)
	defer w.stop()
	_, err := s.call(w, request{method: http.MethodDelete, container: container, object: name})
	if errors.Is(err, objstore.ErrNotFound) {
		return nil
	}
	return err
}

// DeleteContainer implements objstore.Containers.
func (s *Store) DeleteContainer(ctx context.Context, container string) error {
	if err := objstore.CheckContainer(container); err != nil {
		return fmt.Errorf("delete container: %w", err)
	}
	w := newWatch(ctx, s.idle)
	defer w.stop()
	s.forget(container)
	_, err := s.call(w, request{method: http.MethodDelete, container: container})
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return fmt.Errorf("delete container %s: %w", container, err)
	}
	return nil
}
