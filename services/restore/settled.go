package main

import (
	"context"
	"errors"

	"nightshard/shared/intermediary"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// settled gives the verdict of this very delivery, if an earlier call brought it
// to its end and only its event or the acknowledgement did not get through; else
// nil. To do all of it again would take the database from dumpers that read it
// by now.
func (r *restore) settled(ctx context.Context, j *job, src *source) (*night.Drill, error) {
	identity, ok, err := intermediary.Read(ctx, r.http, r.cfg.Database)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the identity
	}
	if !ok || identity.State != intermediary.Complete || identity.RestoreID != j.id {
		return nil, nil //nolint:nilnil // nil says that the restore is still to be done
	}
	if newest, err := r.newestShard(ctx); err != nil || newest != identity.Shard {
		return nil, err // the database was dropped since
	}
	data, err := r.read(ctx, j, night.DrillObject(j.day))
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, nil //nolint:nilnil // the day was backed up again since
	}
	if err != nil {
		return nil, err
	}
	d, err := night.ParseDrill(data)
	if err != nil || d.RestoreID != j.id || !d.Passed || src.manifest != nil && d.Backup != src.manifest.Request {
		return nil, nil //nolint:nilnil,nilerr // what it says is not of this restore
	}
	j.log.Info().Msg("restore was done before")
	return d, nil
}
