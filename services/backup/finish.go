package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// leftover is what stands in the day's container before the work begins.
type leftover struct {
	// manifest is that of a finished backup, nil if there is none.
	manifest *night.Manifest
	// staged is that of a second run whose objects are all verified and wait to
	// take their places, nil if there is none.
	staged *night.Manifest
	// foreign says that shards stand there which no run of ours began: an old
	// script's backup.
	foreign bool
}

// finished says that the day holds a backup that must survive a failed run.
func (l leftover) finished() bool { return l.manifest != nil || l.foreign }

// inspect finds out what earlier runs left.
func (b *backup) inspect(ctx context.Context, j *job) (leftover, error) {
	listed, err := b.listing(ctx, j, "")
	if err != nil {
		return leftover{}, err
	}
	var l leftover
	if l.manifest, err = b.manifest(ctx, j, night.ManifestObject(j.day)); err != nil {
		return leftover{}, err
	}
	if l.staged, err = b.manifest(ctx, j, night.Staged(j.day, night.ManifestObject(j.day))); err != nil {
		return leftover{}, err
	}
	_, ours := listed[night.RunObject(j.day)]
	for name := range listed {
		l.foreign = l.foreign || (l.manifest == nil && !ours && l.staged == nil && strings.HasPrefix(name, night.ShardPrefix(j.day)))
	}
	return l, b.alone(ctx, j, &l, listed)
}

// settle deals with what an earlier delivery left. It returns the manifest that
// answers this very request if the work was done already, else nil; l then says
// what stands there now.
func (b *backup) settle(ctx context.Context, j *job, l *leftover) (*night.Manifest, error) {
	staged := l.staged
	if staged != nil && l.manifest != nil && l.manifest.Request == staged.Request {
		staged = nil // it took its place; only the sweeping is left
	}
	// All of it is verified: it finishes the day, whoever asked for it.
	if staged != nil && (l.manifest == nil || staged.Request == j.id) {
		if err := b.promote(ctx, j, staged); err != nil {
			return nil, err
		}
		l.manifest = staged
	}
	if l.manifest != nil {
		if err := b.sweep(ctx, j); err != nil {
			return nil, err
		}
		if l.manifest.Request == j.id {
			return l.manifest, nil
		}
	}
	if past := j.day.Before(b.rule.Day(b.now(), b.loc)); past && !j.force && l.finished() {
		return nil, events.Permanent(fmt.Errorf("replace backup of %s: it is a past day and holds a finished backup; ask with force to replace it by what production has now", j.day))
	}
	return nil, nil //nolint:nilnil // nil says that the request is still to be answered
}

// begin marks the day as one of ours before the first object of an in-place run
// is written.
func (b *backup) begin(ctx context.Context, j *job) error {
	_, err := b.put(ctx, j, night.RunObject(j.day), fmt.Appendf(nil, "{%q:%q}\n", "request", j.id), "application/json")
	return err
}

// finish ends an in-place run: the manifest is written last, then the mark of
// the run goes.
func (b *backup) finish(ctx context.Context, j *job, m *night.Manifest) error {
	// The verdict on what stood here before says nothing of the new backup.
	if err := b.remove(ctx, j, []string{night.DrillObject(j.day)}); err != nil {
		return err
	}
	if err := b.putManifest(ctx, j, m, night.ManifestObject(j.day)); err != nil {
		return err
	}
	j.log.Info().Int("shards", len(m.Shards)).Int64("bytes", m.Bytes()).
		Dur("duration", m.FinishedAt.Sub(m.StartedAt)).Msg("day finished")
	return b.sweep(ctx, j)
}

// stage ends the run of a day that was finished before: the new objects are
// all verified in DAY/incoming/, and their manifest beside them says so. A
// crash from here on is finished by promote.
func (b *backup) stage(ctx context.Context, j *job, m *night.Manifest) error {
	if err := b.putManifest(ctx, j, m, night.Staged(j.day, night.ManifestObject(j.day))); err != nil {
		return err
	}
	if err := b.promote(ctx, j, m); err != nil {
		return err
	}
	return b.sweep(ctx, j)
}

// promote moves the staged objects to their places, by copies inside Swift:
// the old manifest goes first, the new one comes last.
func (b *backup) promote(ctx context.Context, j *job, m *night.Manifest) error {
	begin := b.now()
	if err := b.remove(ctx, j, []string{night.ManifestObject(j.day), night.DrillObject(j.day)}); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(b.cfg.Parallel)
	for _, s := range m.Objects() {
		g.Go(func() error {
			if err := b.store.Copy(gctx, j.container(), night.Staged(j.day, s.Object), j.container(), s.Object); err != nil {
				return fmt.Errorf("copy %s to its place: %w", s.Object, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := b.check(ctx, j, m, inPlace); err != nil {
		return err
	}
	if err := b.putManifest(ctx, j, m, night.ManifestObject(j.day)); err != nil {
		return err
	}
	j.log.Info().Int("shards", len(m.Shards)).Int64("bytes", m.Bytes()).
		Dur("duration", b.now().Sub(begin)).Msg("day replaced")
	return nil
}

// sweep removes DAY/incoming/, its manifest first: without it the rest is
// rubbish, not a backup that waits.
func (b *backup) sweep(ctx context.Context, j *job) error {
	if err := b.remove(ctx, j, []string{night.Staged(j.day, night.ManifestObject(j.day))}); err != nil {
		return err
	}
	listed, err := b.listing(ctx, j, night.IncomingPrefix(j.day))
	if err != nil {
		return err
	}
	for name := range listed {
		if err := b.remove(ctx, j, []string{name}); err != nil {
			return err
		}
	}
	return b.sweepParts(ctx, j, night.IncomingPrefix(j.day))
}

// sweepParts removes what broken-off uploads and removals of archives left.
func (b *backup) sweepParts(ctx context.Context, j *job, prefix string) error {
	if err := b.store.Sweep(ctx, j.container(), prefix); err != nil {
		return fmt.Errorf("sweep up below %s: %w", prefix, err)
	}
	return nil
}

// putManifest stores the manifest and reads it back: it is the word that the
// whole day rests on. A server may say that it stored what it did not.
func (b *backup) putManifest(ctx context.Context, j *job, m *night.Manifest, object string) error {
	if m.FinishedAt.IsZero() {
		m.FinishedAt = b.now().UTC()
	}
	data, err := m.Encode()
	if err != nil {
		return fmt.Errorf("write manifest of %s: %w", j.day, err)
	}
	put := func() (struct{}, error) {
		if _, err := b.put(ctx, j, object, data, "application/json"); err != nil {
			return struct{}{}, backoff.Permanent(err) // it was tried again already
		}
		back, err := b.read(ctx, j, object)
		if err == nil && !bytes.Equal(back, data) {
			err = fmt.Errorf("read back %s: it is not what was written", object)
		}
		return struct{}{}, err
	}
	_, err = backoff.Retry(ctx, put, backoff.WithMaxTries(3), backoff.WithNotify(func(err error, d time.Duration) {
		j.log.Warn().Err(err).Dur("wait", d).Msg("manifest is written again")
	}))
	return err //nolint:wrapcheck // it names the object
}

// manifest reads a manifest of the day, nil if there is none, or none that can
// be read: then the day is not known to be finished.
func (b *backup) manifest(ctx context.Context, j *job, object string) (*night.Manifest, error) {
	data, err := b.read(ctx, j, object)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, nil //nolint:nilnil // no manifest is an answer, not an error
	}
	if err != nil {
		return nil, err
	}
	m, err := night.ParseManifest(j.day, data)
	switch {
	case errors.Is(err, night.ErrNewer):
		return nil, events.Permanent(fmt.Errorf("look at %s: %w", object, err))
	case err != nil:
		j.log.Warn().Err(err).Str("object", object).Msg("the manifest is damaged: what it was for counts as unfinished")
		return nil, nil //nolint:nilnil // as if there were none
	}
	return m, nil
}

// maxManifest bounds a manifest, which is held whole. In bytes.
const maxManifest = 1 << 30

// read gets a manifest whole.
func (b *backup) read(ctx context.Context, j *job, object string) ([]byte, error) {
	return objstore.Read(ctx, b.store, j.container(), object, maxManifest) //nolint:wrapcheck // it names the object
}
