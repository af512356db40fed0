package swift

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"nightshard/shared/objstore"
)

// ownSegment matches the name of a segment that this package wrote, and gives
// the name of its object.
var ownSegment = regexp.MustCompile(`^(.+)/slo/[0-9]+\.[0-9]+/[0-9]+/[0-9]{8}$`)

// Sweep implements objstore.Sweeper: it removes the segments that no object
// needs. A crash leaves such ones between two requests of an upload, or of the
// removal of an object; so does an upload whose last answer was lost.
func (s *Store) Sweep(ctx context.Context, container, prefix string) error {
	if err := s.sweep(ctx, container, prefix); err != nil {
		return fmt.Errorf("sweep container %s: %w", container, err)
	}
	return nil
}

func (s *Store) sweep(ctx context.Context, container, prefix string) error {
	if objstore.CheckContainer(container+segmentsSuffix) != nil {
		return nil //nolint:nilerr // a name too long to have segments
	}
	found := map[string][]segment{}
	err := s.list(ctx, container+segmentsSuffix, prefix, func(o objstore.Object) error {
		if m := ownSegment.FindStringSubmatch(o.Name); m != nil {
			found[m[1]] = append(found[m[1]], segment{Path: container + segmentsSuffix + "/" + o.Name, Etag: o.MD5, Size: o.Size})
		}
		return nil
	})
	if errors.Is(err, objstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list segments: %w", err)
	}
	if len(found) == 0 {
		return nil
	}
	listed := map[string]bool{}
	err = s.list(ctx, container, "", func(o objstore.Object) error {
		if _, has := found[o.Name]; has {
			listed[o.Name] = true
		}
		return nil
	})
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return fmt.Errorf("list objects: %w", err)
	}
	for _, name := range slices.SortedFunc(maps.Keys(found), strings.Compare) {
		if err := s.sweepObject(ctx, container, name, found[name], listed[name]); err != nil {
			return err
		}
	}
	return nil
}

// sweepObject removes those of an object's segments that it does not need: all
// of them when it is gone by two witnesses, the listing and the object itself.
func (s *Store) sweepObject(ctx context.Context, container, name string, found []segment, listed bool) error {
	if !listed {
		if _, err := s.head(ctx, container, name); errors.Is(err, objstore.ErrNotFound) {
			return s.removeSegments(ctx, found)
		}
	}
	return s.removeReplaced(ctx, container, name, found)
}
