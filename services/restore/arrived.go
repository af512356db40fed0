package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"nightshard/shared/influx"
	"nightshard/shared/tsm"
)

// checkPlaces holds the database that the server made against the backup's
// metastore. The protocol has no checksum: one wrong bit may give a policy
// another duration, or lead a shard into the place of another.
func (r *restore) checkPlaces(ctx context.Context, src *source, ids map[uint64]uint64) error {
	live, err := r.liveMetastore(ctx)
	if err != nil {
		return err
	}
	want, _ := src.meta.Database(r.cfg.Database)
	made, _ := live.Database(r.cfg.Database)
	if err := samePolicies(want, made); err != nil {
		return err
	}
	places := map[uint64]influx.ShardMeta{}
	for _, p := range live.Shards(r.cfg.Database) {
		places[p.ID] = p
	}
	for _, s := range src.shards {
		p, ok := places[ids[s.ID]]
		if !ok || p.RetentionPolicy != s.RetentionPolicy || !p.Start.Equal(s.Start) || !p.End.Equal(s.End) {
			return fmt.Errorf("find place %d of shard %d: it is not one for %q from %s to %s",
				ids[s.ID], s.ID, s.RetentionPolicy, s.Start.UTC(), s.End.UTC())
		}
	}
	return nil
}

// samePolicies compares retention policies. The server keeps what it restored
// for ever, whatever production does.
func samePolicies(want, made influx.DatabaseMeta) error {
	lines := func(db influx.DatabaseMeta, duration func(influx.RetentionPolicyMeta) time.Duration) []string {
		var out []string
		for _, rp := range db.RetentionPolicies {
			out = append(out, fmt.Sprintf("%q keeps for %s in shards of %s", rp.Name, duration(rp), rp.ShardGroupDuration))
		}
		slices.Sort(out)
		return out
	}
	asked := lines(want, func(influx.RetentionPolicyMeta) time.Duration { return 0 })
	got := lines(made, func(rp influx.RetentionPolicyMeta) time.Duration { return rp.Duration })
	if !slices.Equal(asked, got) || want.DefaultRetentionPolicy != made.DefaultRetentionPolicy {
		return fmt.Errorf("compare retention policies: the server made %q, default %q; the backup has %q, default %q",
			got, made.DefaultRetentionPolicy, asked, want.DefaultRetentionPolicy)
	}
	return nil
}

// errNotAsSent says that the server holds something else than was sent.
var errNotAsSent = errors.New("the server holds something else than was sent")

// arrived streams the shard back and compares it with what was sent, file by
// file. An upload has no answer, and the counts of the drill do not show a
// changed value. same is false if only the counts could be compared.
func (r *restore) arrived(ctx context.Context, j *job, id uint64, sent *tsm.Archive) (same bool, err error) {
	held, err := backoff.Retry(ctx, func() (*tsm.Archive, error) {
		body, err := r.snapshot.Shard(ctx, id, time.Time{})
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the shard
		}
		defer func() { _ = body.Close() }()
		held, err := tsm.Verify(body, tsm.Options{Count: true})
		if _, bad := errors.AsType[*tsm.CorruptError](err); bad {
			err = fmt.Errorf("%w: %w", errNotAsSent, err)
		}
		return held, err
	}, backoff.WithMaxTries(3), backoff.WithMaxElapsedTime(0))
	if err != nil {
		return false, fmt.Errorf("read back: %w", err)
	}
	bad, others := compareFiles(sent.Sent, held.Files)
	switch {
	case len(bad) > 0 && others == 0:
		return false, fmt.Errorf("read back: %s: %w", strings.Join(bad, "; "), errNotAsSent)
	case others == 0:
		return true, nil
	}
	// The server has compacted the shard already: its files have other names.
	j.log.Warn().Uint64("place", id).Int("files", others).Msg("the server compacted the shard before it could be read back; only its counts are compared")
	return false, sameCounts(sent, held)
}

// compareFiles names the files that are not as they were sent, and counts those
// that were not sent.
func compareFiles(sent, held []tsm.File) (bad []string, others int) {
	back := map[string]tsm.File{}
	for _, f := range held {
		back[f.Name] = f
	}
	for _, want := range sent {
		f, ok := back[want.Name]
		switch {
		case !ok:
			bad = append(bad, want.Name+" is missing")
		case f.Size != want.Size || f.SHA256 != want.SHA256:
			bad = append(bad, want.Name+" is another")
		}
		delete(back, want.Name)
	}
	return bad, len(back)
}

// sameCounts compares the values counted in the blocks.
func sameCounts(sent, held *tsm.Archive) error {
	for key, n := range sent.Counts {
		if held.Counts[key] != n && !sent.Inexact[key] && !held.Inexact[key] {
			return fmt.Errorf("read back %q field %q: %d values, %d were sent: %w", key.Measurement, key.Field, held.Counts[key], n, errNotAsSent)
		}
	}
	return nil
}
