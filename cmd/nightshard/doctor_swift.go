package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"nightshard/shared/connect"
	"nightshard/shared/objstore"
	"nightshard/shared/objstore/swift"
	"nightshard/shared/proof"
	"nightshard/shared/service"
)

// checkSwift logs in and asks for account, quota and limits.
func (d *doctor) checkSwift(ctx context.Context) findings {
	var f findings
	const why = "the days are stored there: without it there is no backup, no restore and no dump"
	cfg, err := connect.SwiftConfig(d.env)
	if err != nil {
		if config, ok := errors.AsType[*service.ConfigError](err); ok {
			err = errors.New(strings.Join(config.Problems, "; "))
		}
		f.problem("Swift's settings: "+err.Error(), why, "set ST_AUTH, ST_USER and ST_KEY, or OS_*, as for the swift client")
		return f
	}
	cfg.IdleTimeout = d.patience
	store, err := swift.Open(ctx, cfg)
	switch {
	case errors.Is(err, objstore.ErrCredentials):
		f.problem("Swift refuses the login: "+err.Error(), why, "correct ST_USER and ST_KEY, or OS_*; swift stat shows whether they are right")
		return f
	case err != nil:
		f.problem("Swift does not answer: "+err.Error(), why, "check that it runs and that ST_AUTH or OS_AUTH_URL names it")
		return f
	}
	info, err := store.Account(ctx)
	if err != nil {
		f.problem("Swift's account: "+err.Error(), why, "swift stat says more")
		return f
	}
	f.ok("Swift's account at %s holds %s in %s", store.Endpoint(), bytesText(info.Bytes), plural(info.Containers, "container"))
	d.quota(ctx, store, &f, info)
	if skew := info.Clock.Sub(d.now()).Abs(); !info.Clock.IsZero() && skew >= skewWorth {
		f.warning(fmt.Sprintf("the clock of Swift and that of this machine differ by %s", spanText(skew)),
			"the times in its listings are its own: list and verify tell a verdict's age by them", "have both keep time (NTP)")
	}
	limits(ctx, store, &f)
	return f
}

// quota holds what is left against what the newest day takes.
func (d *doctor) quota(ctx context.Context, store *swift.Store, f *findings, info swift.AccountInfo) {
	if info.Quota == 0 {
		f.ok("the account has no quota")
		return
	}
	left := info.Quota - info.Bytes
	night := newestBytes(ctx, store)
	text := fmt.Sprintf("the account's quota leaves %s of %s; the newest day has %s", bytesText(max(left, 0)), bytesText(info.Quota), bytesText(night))
	const why = "Swift refuses what is above the quota, and the backup fails"
	const do = "raise the quota, or have old days removed: NIGHTSHARD_KEEP, nightshard prune --dry-run"
	switch {
	case left <= 0 || left < 2*night:
		f.problem(text, why, do)
	case left < 14*night:
		f.warning(text, why, do)
	default:
		f.ok("%s", text)
	}
}

// newestBytes is the size of the newest day, 0 when there is none.
func newestBytes(ctx context.Context, store *swift.Store) int64 {
	days, err := proof.Days(ctx, store)
	if err != nil || len(days) == 0 {
		return 0
	}
	var sum int64
	err = store.List(ctx, days[len(days)-1].String(), "", func(o objstore.Object) error {
		sum += o.Size
		return nil
	})
	if err != nil {
		return 0
	}
	return sum
}

// limits asks for what an object may be.
func limits(ctx context.Context, store *swift.Store, f *findings) {
	l, err := store.Limits(ctx)
	const why = "a shard above the limit is stored in segments, which needs the server's slo"
	switch {
	case err != nil:
		f.unknown("Swift's limits: "+err.Error(), why, "nothing, as long as no shard has 5 GB")
	case !l.LargeObjects:
		f.warning(fmt.Sprintf("Swift takes no object above %s: it has no slo", bytesText(l.ObjectBytes)), why, "have slo put into the proxy's pipeline before a shard is larger")
	default:
		f.ok("Swift %s takes objects of up to %s, and larger ones in segments", orElse(l.Version, "of unknown version"), bytesText(l.ObjectBytes))
	}
}
