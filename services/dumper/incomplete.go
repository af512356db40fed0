package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"nightshard/shared/intermediary"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// lookBack is how many days before the restored one are looked at for dumps
// that end at a cut-off. One is enough when every night succeeds.
const lookBack = 7

// incomplete finds the days before day whose backups ended before midnight, and
// whose dumps therefore lack the last minutes, which stand in the intermediary
// now. It stops at the first day whose dump is complete. The earliest comes
// first.
func (p *dumper) incomplete(ctx context.Context, measurement string, day night.Day, identity intermediary.Identity) ([]night.Day, error) {
	var days []night.Day
	for back := 1; back <= lookBack; back++ {
		earlier := day.Add(-back)
		_, end := earlier.Window(p.loc)
		if !night.Complete(identity.Cutoff, end) {
			continue
		}
		cutoff, ok, err := p.cutoff(ctx, earlier)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue // an old script's day, or a night that failed
		}
		if night.Complete(cutoff, end) {
			break
		}
		done, err := p.complete(ctx, measurement, earlier)
		if err != nil {
			return nil, err
		}
		if done {
			break
		}
		days = append(days, earlier)
	}
	slices.Reverse(days)
	return days, nil
}

// cutoff reads the cut-off of a day's backup; ok is false when it has no
// manifest, or one that cannot be read: tonight's dump must not fail over a day
// of last week. Of a manifest of many shards nothing else is kept.
func (p *dumper) cutoff(ctx context.Context, day night.Day) (cutoff time.Time, ok bool, err error) {
	var m struct {
		Cutoff time.Time `json:"cutoff"`
	}
	var damage error
	err = p.store.Get(ctx, day.String(), night.ManifestObject(day), func(_ objstore.Object, r io.Reader) error {
		damage = json.NewDecoder(r).Decode(&m)
		_, err := io.Copy(io.Discard, r)
		return err //nolint:wrapcheck // Get names the object
	})
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return time.Time{}, false, nil
	case err != nil:
		return time.Time{}, false, fmt.Errorf("get manifest of %s: %w", day, err)
	case damage != nil || m.Cutoff.IsZero():
		p.log.Warn().AnErr("damage", damage).Str("day", day.String()).Msg("the day's manifest is damaged: whether its dump lacks the last minutes is not known")
		return time.Time{}, false, nil //nolint:nilerr // err is nil; damage is told, and must not fail another day's dump
	}
	return m.Cutoff, true, nil
}

// complete says whether the day's dump is already marked complete.
func (p *dumper) complete(ctx context.Context, measurement string, day night.Day) (bool, error) {
	object, err := night.DumpObject(day, measurement)
	if err != nil {
		return false, err //nolint:wrapcheck // it names the measurement
	}
	done := false
	err = p.store.Get(ctx, day.String(), object, func(o objstore.Object, _ io.Reader) error {
		done = o.Meta[metaComplete] == "true"
		return objstore.ErrSkipBody
	})
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return false, fmt.Errorf("look at %s: %w", object, err)
	}
	return done, nil
}
