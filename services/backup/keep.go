package main

import (
	"context"
	"time"

	"nightshard/shared/night"
	"nightshard/shared/retention"
)

// pruneTimeout bounds the removal of old days after a night. What it cuts off
// the next night finishes.
const pruneTimeout = 2 * time.Hour

// keeper removes the days that no rule of NIGHTSHARD_KEEP keeps, after each
// good night. It works beside the restore and the dumps, which must not wait
// for it; the days that they work on stay.
type keeper struct {
	*backup
	keep night.Keep
	bus  retention.Bus
}

// done tells the keeper that a night is stored. It never waits: a night that
// ends while days are being removed is looked at after that.
func (b *backup) done() {
	select {
	case b.nights <- struct{}{}:
	default:
	}
}

// run waits for nights until ctx ends.
func (k *keeper) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.nights:
			k.prune(ctx)
		}
	}
}

// prune looks at every day. What goes wrong fails no night: the days are still
// there, and the next night tries again.
func (k *keeper) prune(ctx context.Context) {
	if k.keep.All() {
		return
	}
	begin := k.now()
	ctx, cancel := context.WithTimeout(ctx, pruneTimeout)
	defer cancel()
	kept := 0
	removed, err := retention.Apply(ctx, k.store, retention.Options{
		Keep: k.keep, Database: k.cfg.Database, Old: !k.cfg.KeepOld, Busy: retention.Work(k.bus), Now: k.now,
		Seen: func() { kept++ },
	}, func(retention.Day) bool { return true })
	if err != nil && ctx.Err() == nil {
		k.log.Warn().Err(err).Msg("days that no rule keeps could not be removed; the next night tries again")
	}
	var bytes int64
	days := make([]string, 0, len(removed))
	for _, d := range removed {
		days = append(days, d.Day)
		bytes += d.Bytes
	}
	k.log.Info().Str("keep", k.keep.String()).Strs("removed", days).Int64("bytes", bytes).Int("kept", kept-len(days)).
		Dur("duration", k.now().Sub(begin)).Msg("old days removed")
}
