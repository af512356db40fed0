package proof

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// ErrNoGoodDay says that no stored day is good.
var ErrNoGoodDay = errors.New("no stored day is good")

// Newest finds the newest day that is good: verified at the level of o, and not
// one whose last restore failed. It returns the newer days that it passed over
// with what is wrong with each, newest first. A day without a verdict may be
// chosen: its restore will give one.
func Newest(ctx context.Context, store objstore.Account, o Options) (chosen *Report, passed []*Report, err error) {
	days, err := Days(ctx, store)
	if err != nil {
		return nil, nil, err
	}
	for _, day := range slices.Backward(days) {
		v, err := verify(ctx, store, day, o)
		if errors.Is(err, objstore.ErrNotFound) {
			continue // removed since the account was listed
		}
		if err != nil {
			return nil, passed, err
		}
		if err := v.refuted(ctx); err != nil {
			return nil, passed, err
		}
		r := v.report
		if r.Good && r.Shards > 0 {
			return r, passed, nil
		}
		if r.Good {
			r.Good = false
			r.Problems = append(r.Problems, night.Problem{Object: day.String(), Reason: "it holds no backup"})
		}
		passed = append(passed, r)
	}
	return nil, passed, ErrNoGoodDay
}

// Days are the days among the account's containers, oldest first.
func Days(ctx context.Context, store objstore.Containers) ([]night.Day, error) {
	var days []night.Day
	err := store.Containers(ctx, "", func(c objstore.Container) error {
		if day, err := night.ParseDay(c.Name); err == nil {
			days = append(days, day)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	slices.SortFunc(days, func(a, b night.Day) int { return strings.Compare(a.String(), b.String()) })
	return days, nil
}

// refuted adds to the report that the last restore of this backup failed.
func (v *verifier) refuted(ctx context.Context) error {
	if v.manifest == nil {
		return nil
	}
	data, err := objstore.Read(ctx, v.store, v.day.String(), night.DrillObject(v.day), maxRecord)
	if errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrCorrupt) {
		return nil
	}
	if err != nil {
		return err //nolint:wrapcheck // it names the object
	}
	d, err := night.ParseDrill(data)
	if err != nil || d.Passed || d.Backup != v.manifest.Request {
		return nil //nolint:nilerr // a verdict that cannot be read refutes nothing
	}
	v.add(night.CheckDrill(v.day, v.manifest, d)...)
	v.report.Good = false
	return nil
}
