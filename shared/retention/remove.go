package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// batch is how many objects are removed between two looks at the mark.
const batch = 16

// relists is how often a day is listed anew for what a listing left out.
const relists = 3

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
	if l.objects == 0 {
		// What is left of a removal: no object, perhaps some segments of one.
		remove = func(names ...string) error { return p.drop(ctx, day, names) }
	} else if err := p.takeObjects(ctx, l.Day, mine, names, remove); err != nil {
		return err
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
	return p.ended(ctx, l.Day, mine, p.takeContainer(ctx, day))
}

// takeObjects removes the manifest and then the names, and what a listing that is
// behind shows only later.
func (p *pruner) takeObjects(ctx context.Context, day night.Day, mine mark, names []string, remove func(...string) error) error {
	if err := p.begin(ctx, day, mine); err != nil {
		return err
	}
	for range relists {
		for some := range slices.Chunk(names, batch) {
			if err := remove(some...); err != nil {
				return err
			}
		}
		var err error
		if names, err = p.left(ctx, day); err != nil || len(names) == 0 {
			return err
		}
	}
	return fmt.Errorf("remove %d objects, %s among them: they are listed again and again", len(names), names[0])
}

// left lists what the first listing did not show: one that is behind.
func (p *pruner) left(ctx context.Context, day night.Day) ([]string, error) {
	l := &listed{day: day}
	var names []string
	err := p.store.List(ctx, day.String(), "", func(o objstore.Object) error {
		if l.known(o.Name) && o.Name != night.RunObject(day) {
			names = append(names, o.Name)
		}
		return nil
	})
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return nil, fmt.Errorf("list container %s: %w", day, err)
	}
	return names, nil
}

// ended puts the mark back if the container holds something after all, unless a
// run has put its own there: the day must not look like a backup.
func (p *pruner) ended(ctx context.Context, day night.Day, mine mark, err error) error {
	if !isConflict(err) {
		return err
	}
	_, again := objstore.Read(ctx, p.store, day.String(), night.RunObject(day), maxRecord)
	if errors.Is(again, objstore.ErrNotFound) {
		again = p.put(ctx, day, mine)
	}
	return errors.Join(err, again)
}

func isConflict(err error) bool {
	status, ok := errors.AsType[*objstore.StatusError](err)
	return ok && status.Code == http.StatusConflict
}

// begin says that the day is being removed, and that it is unfinished.
func (p *pruner) begin(ctx context.Context, day night.Day, m mark) error {
	if err := p.put(ctx, day, m); err != nil {
		return err
	}
	return p.drop(ctx, day.String(), []string{night.ManifestObject(day)})
}

// put stores the mark.
func (p *pruner) put(ctx context.Context, day night.Day, m mark) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("mark day %s: %w", day, err)
	}
	_, err = p.store.Put(ctx, day.String(), night.RunObject(day), objstore.NewSource(append(data, '\n')), objstore.PutOptions{ContentType: "application/json"})
	return err //nolint:wrapcheck // it names the object
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
		if err != nil && !isConflict(err) {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err //nolint:wrapcheck // it names the container
	}
	_, err := backoff.Retry(ctx, try, backoff.WithMaxTries(6))
	return err //nolint:wrapcheck // it names the container
}
