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
	days, err := storedDays(ctx, store)
	if err != nil {
		return nil, nil, err
	}
	for _, day := range slices.Backward(days) {
		r, err := Verify(ctx, store, day, o)
		if errors.Is(err, objstore.ErrNotFound) {
			continue // removed since the account was listed
		}
		if err != nil {
			return nil, passed, err
		}
		if err := refuted(ctx, store, day, r); err != nil {
			return nil, passed, err
		}
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

// storedDays are the days among the account's containers, oldest first.
func storedDays(ctx context.Context, store objstore.Containers) ([]night.Day, error) {
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

// refuted adds to a report that the last restore of this backup failed.
func refuted(ctx context.Context, store objstore.Store, day night.Day, r *Report) error {
	v := &verifier{store: store, day: day, report: &Report{}}
	if err := v.records(ctx); err != nil {
		return err
	}
	data, ok, err := v.read(ctx, night.DrillObject(day))
	if err != nil || !ok || v.manifest == nil {
		return err
	}
	d, err := night.ParseDrill(data)
	if err != nil || d.Passed || d.Backup != v.manifest.Request {
		return nil //nolint:nilerr // a verdict that cannot be read refutes nothing
	}
	r.Problems = append(r.Problems, night.CheckDrill(day, v.manifest, d)...)
	r.Good = false
	return nil
}
