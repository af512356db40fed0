package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// batch is how many objects are removed between two looks at the mark.
const batch = 16

// errHeld says that a day must stay after all.
var errHeld = errors.New("the day is in use")

// remove takes one day away. It looks again first: since the plan was made
// somebody may have begun to work on the day.
func (p *pruner) remove(ctx context.Context, d Day) error {
	day, err := night.ParseDay(d.Day)
	if err != nil {
		return err //nolint:wrapcheck // it names the day
	}
	busy, err := p.Busy(ctx)
	if err != nil {
		return fmt.Errorf("ask who is at work: %w", err)
	}
	if busy[day] != "" {
		return errHeld
	}
	l, err := p.look(ctx, day)
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return nil // somebody else has done it
	case err != nil:
		return err
	case l.Hold != "" || !l.Removing && (l.request != d.request || l.objects != d.Objects):
		return errHeld
	}
	return p.take(ctx, l)
}

// take removes what is listed: the manifest first, so that from then on the day
// is unfinished for whoever looks, and the mark last.
func (p *pruner) take(ctx context.Context, l looked) error {
	day := l.Day.String()
	mine := mark{Removing: true, ID: strconv.FormatInt(p.Now().UnixNano(), 36)}
	names := slices.DeleteFunc(l.names, func(name string) bool {
		return name == night.RunObject(l.Day) || name == night.ManifestObject(l.Day)
	})
	remove := func(names ...string) error { return p.confirmed(ctx, l.Day, mine, names...) }
	if l.objects == 0 { // what is left of a removal: nobody's mark can be there
		remove = func(names ...string) error { return p.drop(ctx, day, names) }
	} else if err := p.begin(ctx, l.Day, mine); err != nil {
		return err
	}
	for some := range slices.Chunk(names, batch) {
		if err := remove(some...); err != nil {
			return err
		}
	}
	if err := p.takeSegments(ctx, l.Day, remove); err != nil {
		return err
	}
	if l.objects > 0 {
		if err := remove(night.RunObject(l.Day)); err != nil {
			return err
		}
	}
	if err := p.takeContainer(ctx, day+segmentsSuffix); err != nil {
		return err
	}
	return p.takeContainer(ctx, day)
}

// begin says that the day is being removed, and that it is unfinished.
func (p *pruner) begin(ctx context.Context, day night.Day, m mark) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("mark day %s: %w", day, err)
	}
	_, err = p.store.Put(ctx, day.String(), night.RunObject(day), objstore.NewSource(append(data, '\n')), objstore.PutOptions{ContentType: "application/json"})
	if err != nil {
		return err //nolint:wrapcheck // it names the object
	}
	return p.drop(ctx, day.String(), []string{night.ManifestObject(day)})
}

// confirmed removes some objects if the mark is still the one of this removal:
// a run that backs the day up meanwhile has written its own.
func (p *pruner) confirmed(ctx context.Context, day night.Day, mine mark, names ...string) error {
	m, err := p.readMark(ctx, day)
	if err != nil {
		return err
	}
	if m != mine {
		return errHeld
	}
	return p.drop(ctx, day.String(), names)
}

// drop removes some objects side by side.
func (p *pruner) drop(ctx context.Context, container string, names []string) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, name := range names {
		g.Go(func() error {
			return p.store.Delete(gctx, container, name)
		})
	}
	return g.Wait()
}

// takeSegments removes the segments that a crash has left without their object.
// A removal of the object takes its segments along.
func (p *pruner) takeSegments(ctx context.Context, day night.Day, remove func(...string) error) error {
	left := map[string]bool{}
	err := p.store.List(ctx, day.String()+segmentsSuffix, "", func(o objstore.Object) error {
		if m := segment.FindStringSubmatch(o.Name); m != nil && m[1] != night.RunObject(day) {
			left[m[1]] = true
		}
		return nil
	})
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return fmt.Errorf("list segments of %s: %w", day, err)
	}
	for name := range left {
		if err := remove(name); err != nil {
			return err
		}
	}
	return nil
}

// takeContainer removes an empty container. A listing that is behind shows for
// a moment what is gone; what is not gone stays, and so does the container.
func (p *pruner) takeContainer(ctx context.Context, container string) error {
	try := func() (struct{}, error) {
		err := p.store.DeleteContainer(ctx, container)
		if status, ok := errors.AsType[*objstore.StatusError](err); err != nil && (!ok || status.Code != 409) {
			return struct{}{}, backoff.Permanent(err) //nolint:wrapcheck // it names the container
		}
		return struct{}{}, err
	}
	_, err := backoff.Retry(ctx, try, backoff.WithMaxTries(6))
	return err //nolint:wrapcheck // it names the container
}
