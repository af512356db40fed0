package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"nightshard/shared/events"
	"nightshard/shared/influx"
	"nightshard/shared/intermediary"
	"nightshard/shared/night"
)

// endOfTime is the last instant that InfluxDB knows
// (influxql.MaxTime, 2262-04-11T23:47:16.854775806Z).
func endOfTime() time.Time { return time.Unix(0, 1<<63-2) }

// guard refuses a server that may be production. Every reason is given at once.
// It only reads. Force overrides it: the operator has looked.
func (r *restore) guard(ctx context.Context, j *job, src *source) error {
	reasons, err := r.suspicions(ctx, src)
	if err != nil {
		return err
	}
	if len(reasons) == 0 {
		return nil
	}
	text := strings.Join(reasons, "; ")
	if j.force {
		j.log.Warn().Str("reasons", text).Msg("guard overridden by force")
		return nil
	}
	return events.Permanent(fmt.Errorf("restore %s to %s: it may be production: %s; if it is not, ask for the restore with force", j.day, r.cfg.URL, text))
}

func (r *restore) suspicions(ctx context.Context, src *source) ([]string, error) {
	meta, err := r.liveMetastore(ctx)
	if err != nil {
		return nil, err
	}
	var reasons []string
	if src.manifest != nil {
		reasons = r.sameServer(ctx, src.manifest.Production, meta)
	} else if src.meta.ClusterID == meta.ClusterID {
		reasons = append(reasons, fmt.Sprintf("it has the cluster id %d of the server that was backed up", meta.ClusterID))
	}
	listed, err := r.http.Shards(ctx)
	if err != nil {
		return nil, fmt.Errorf("show shards of the intermediary: %w", err)
	}
	owned, err := r.owned(ctx, listed)
	if err != nil {
		return nil, err
	}
	return append(append(reasons, r.oneServer(listed, meta)...), owned...), nil
}

// sameServer compares the target with the server that the manifest names.
func (r *restore) sameServer(ctx context.Context, p night.Production, meta *influx.Metastore) []string {
	var reasons []string
	if id := fmt.Sprint(meta.ClusterID); id == p.ClusterID {
		reasons = append(reasons, "it has production's cluster id "+id)
	}
	if u, err := url.Parse(r.cfg.URL); err == nil {
		if v, err := url.Parse(p.URL); err == nil && r.sameAddress(ctx, u.Host, v.Host, p.Host) {
			reasons = append(reasons, fmt.Sprintf("NIGHTSHARD_INTERMEDIARY_URL %s is production's address %s", u.Host, v.Host))
		}
	}
	if r.sameAddress(ctx, r.cfg.Snapshot, p.Snapshot, p.Host) {
		reasons = append(reasons, fmt.Sprintf("NIGHTSHARD_INTERMEDIARY_SNAPSHOT %s is production's address %s", r.cfg.Snapshot, p.Snapshot))
	}
	return reasons
}

// sameAddress says that two host:port pairs name one address. A loopback
// address of the backup's machine means something only on that machine.
func (r *restore) sameAddress(ctx context.Context, ours, theirs, theirHost string) bool {
	oh, op, err1 := net.SplitHostPort(ours)
	th, tp, err2 := net.SplitHostPort(theirs)
	if err1 != nil || err2 != nil || op != tp {
		return false
	}
	a, b := lookup(ctx, oh), lookup(ctx, th)
	for _, ip := range a {
		parsed := net.ParseIP(ip)
		if parsed != nil && parsed.IsLoopback() && r.host != theirHost {
			continue
		}
		if slices.Contains(b, ip) {
			return true
		}
	}
	return false
}

// lookup gives the addresses of a host, the name itself when there are none.
func lookup(ctx context.Context, host string) []string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil || len(ips) == 0 {
		return []string{host}
	}
	return ips
}

// oneServer holds the two addresses of the target against each other: dropping
// the database over HTTP on one server and filling it through the snapshot port
// of another would lose it.
func (r *restore) oneServer(listed []influx.ShardInfo, meta *influx.Metastore) []string {
	var a, b []string
	for _, s := range listed {
		a = append(a, shardText(s.ID, s.Database, s.RetentionPolicy, s.Start))
	}
	for _, db := range meta.Databases {
		for _, s := range meta.Shards(db.Name) {
			b = append(b, shardText(s.ID, s.Database, s.RetentionPolicy, s.Start))
		}
	}
	slices.Sort(a)
	slices.Sort(b)
	if slices.Equal(a, b) {
		return nil
	}
	return []string{fmt.Sprintf("NIGHTSHARD_INTERMEDIARY_URL %s (%d shards) and NIGHTSHARD_INTERMEDIARY_SNAPSHOT %s (%d shards) answer for different servers",
		r.cfg.URL, len(a), r.cfg.Snapshot, len(b))}
}

func shardText(id uint64, database, policy string, start time.Time) string {
	return fmt.Sprintf("%d %q %q %d", id, database, policy, start.Unix())
}

// owned says why the database on the target is not one that Nightshard put
// there and nobody wrote to since.
func (r *restore) owned(ctx context.Context, listed []influx.ShardInfo) ([]string, error) {
	if !slices.ContainsFunc(listed, func(s influx.ShardInfo) bool { return s.Database == r.cfg.Database }) {
		return nil, nil
	}
	identity, ok, err := intermediary.Read(ctx, r.http, r.cfg.Database)
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	if !ok {
		return []string{fmt.Sprintf("its database %q was not put there by Nightshard", r.cfg.Database)}, nil
	}
	if identity.State != intermediary.Complete {
		return nil, nil // the rest of a restore that was cut off
	}
	beyond, err := r.countBeyond(ctx, identity.Cutoff)
	if err != nil {
		return nil, err
	}
	if beyond != identity.Beyond {
		return []string{fmt.Sprintf("its database %q has %d values newer than %s, and had %d after the restore of %s: somebody writes to it",
			r.cfg.Database, beyond, identity.Cutoff.Format(time.RFC3339), identity.Beyond, identity.Day)}, nil
	}
	return nil, nil
}

// countBeyond counts the values of the database after an instant.
func (r *restore) countBeyond(ctx context.Context, after time.Time) (int64, error) {
	meta, err := r.liveMetastore(ctx)
	if err != nil {
		return 0, err
	}
	db, ok := meta.Database(r.cfg.Database)
	if !ok {
		return 0, nil
	}
	var sum int64
	for _, rp := range db.RetentionPolicies {
		n, err := r.http.CountRough(ctx, r.cfg.Database, rp.Name, after, endOfTime())
		if err != nil {
			return 0, fmt.Errorf("count values after %s: %w", after.Format(time.RFC3339), err)
		}
		sum += n
	}
	return sum, nil
}

// liveMetastore reads what the intermediary says it has.
func (r *restore) liveMetastore(ctx context.Context) (*influx.Metastore, error) {
	raw, err := r.snapshot.Metastore(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the intermediary's metastore: %w", err)
	}
	meta, err := influx.ParseMetastore(raw)
	if err != nil {
		return nil, fmt.Errorf("read the intermediary's metastore: %w", err)
	}
	return meta, nil
}
