package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"nightshard/shared/events"
	"nightshard/shared/night"
)

// What NIGHTSHARD_UNUSUAL may be.
const (
	unusualWarn = "warn"
	unusualFail = "fail"
)

// judge holds what was stored against the newest earlier day of this server and
// puts into the manifest what is unusual. With NIGHTSHARD_UNUSUAL=fail that ends
// the request, unless force accepts it: the day then stays as it was.
func (b *backup) judge(ctx context.Context, j *job, m *night.Manifest) error {
	earlier, err := b.earlierSuiting(ctx, j, m.Production.ClusterID, func(day night.Day, _ *night.Manifest) (bool, error) {
		return day.Before(j.day), nil
	})
	strict := b.cfg.Unusual == unusualFail && !j.force
	switch {
	case err == nil:
		m.Warnings = m.Unusual(earlier)
	case strict || ctx.Err() != nil:
		return err
	default:
		// A night does not fail for want of something to compare it with.
		m.Warnings = []string{"it is not known whether anything is unusual: " + err.Error()}
	}
	if len(m.Warnings) == 0 {
		return nil
	}
	j.log.Warn().Strs("warnings", m.Warnings).Msg("the day is unusual")
	if strict {
		return events.Permanent(fmt.Errorf("accept backup of %s: it is unusual, and NIGHTSHARD_UNUSUAL is %s: %s; look at production, and ask with force to accept what it has now",
			j.day, unusualFail, strings.Join(m.Warnings, "; ")))
	}
	return nil
}

// leave takes what waits beside a finished day away when it will not be used. A
// day that was not finished keeps what is there, and is visibly unfinished.
func (b *backup) leave(ctx context.Context, j *job, left leftover, refused error) error {
	if !left.finished() || !events.IsPermanent(refused) {
		return refused
	}
	return errors.Join(refused, b.sweep(ctx, j))
}
