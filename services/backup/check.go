package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/service"
)

// listingLag bounds how long a listing may trail behind the uploads. Swift
// updates it with each upload, or a little later when its container server is
// busy.
const listingLag = time.Minute

// putMeta stores the metastore as production sent it.
func (b *backup) putMeta(ctx context.Context, j *job, raw []byte, place func(string) string) (night.Stored, error) {
	object := night.MetaObject(j.day)
	sent, err := b.put(ctx, j, place(object), raw, "application/octet-stream")
	if err != nil {
		return night.Stored{}, err
	}
	return stored(object, sent), nil
}

// check holds one listing of the day against all that was sent: every name,
// byte count and MD5. What earlier runs left in the same place is removed.
func (b *backup) check(ctx context.Context, j *job, m *night.Manifest, place func(string) string) error {
	begin := b.now()
	var sent []night.Stored
	for _, s := range m.Objects() {
		s.Object = place(s.Object)
		sent = append(sent, s)
	}
	prefix := strings.TrimSuffix(place(night.ShardPrefix(j.day)), "/") + "/"
	leftovers, err := b.awaitListing(ctx, j, sent, prefix)
	if err != nil {
		return err
	}
	if err := b.remove(ctx, j, leftovers); err != nil {
		return err
	}
	if err := b.sweepParts(ctx, j, prefix); err != nil {
		return err
	}
	j.log.Info().Int("objects", len(sent)).Int64("bytes", m.Bytes()).Int("removed", len(leftovers)).
		Dur("duration", b.now().Sub(begin)).Msg("listing checked")
	return nil
}

// awaitListing lists until the listing shows what was sent, or for at most
// listingLag. It returns the names below prefix that were not sent.
func (b *backup) awaitListing(ctx context.Context, j *job, sent []night.Stored, prefix string) ([]string, error) {
	deadline := b.now().Add(listingLag)
	for wait := 100 * time.Millisecond; ; wait *= 2 {
		listed, err := b.listing(ctx, j, prefix)
		if err != nil {
			return nil, err
		}
		problems, leftovers := night.CheckListing(sent, listed)
		if len(problems) == 0 {
			return leftovers, nil
		}
		if err := b.damaged(ctx, j, sent, listed); err != nil {
			return nil, err
		}
		if b.now().Add(wait).After(deadline) {
			return nil, fmt.Errorf("check listing of %s: %d problems: %s", j.container(), len(problems),
				strings.Join(problems[:min(len(problems), 10)], "; "))
		}
		if err := service.Pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// damaged asks for the objects that the listing shows otherwise than they were
// sent: a listing may trail behind, but what the server holds now must be what
// was sent. A server may say that it stored what it did not.
func (b *backup) damaged(ctx context.Context, j *job, sent []night.Stored, listed map[string]night.Stored) error {
	for _, s := range sent {
		shown, ok := listed[s.Object]
		if !ok || shown.Bytes == s.Bytes && shown.MD5 == s.Hash() {
			continue
		}
		err := objstore.Confirm(ctx, b.store, j.container(), objstore.Object{Name: s.Object, Size: s.Bytes, Listed: s.Hash()})
		if err != nil {
			return fmt.Errorf("check listing of %s: %w", j.container(), err)
		}
	}
	return nil
}

// listing is what the container shows below prefix, by name.
func (b *backup) listing(ctx context.Context, j *job, prefix string) (map[string]night.Stored, error) {
	listed := map[string]night.Stored{}
	err := b.store.List(ctx, j.container(), prefix, func(o objstore.Object) error {
		listed[o.Name] = night.Stored{Object: o.Name, Bytes: o.Size, MD5: o.Listed}
		return nil
	})
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return nil, fmt.Errorf("list %s: %w", j.container(), err)
	}
	return listed, nil
}

// remove deletes objects of the day.
func (b *backup) remove(ctx context.Context, j *job, names []string) error {
	for _, name := range names {
		if err := b.store.Delete(ctx, j.container(), name); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	return nil
}

// put stores a small object.
func (b *backup) put(ctx context.Context, j *job, name string, data []byte, contentType string) (objstore.Object, error) {
	o, err := b.store.Put(ctx, j.container(), name, objstore.NewSource(data), objstore.PutOptions{ContentType: contentType})
	if err != nil {
		return objstore.Object{}, fmt.Errorf("put %s: %w", name, err)
	}
	return o, nil
}
