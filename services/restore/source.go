package main

import (
	"context"
	"crypto/md5" //nolint:gosec // Swift's own checksum
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nightshard/shared/events"
	"nightshard/shared/influx"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// maxMeta bounds the metastore's archive, the one object that is held whole.
const maxMeta = 256 << 20

// source is the backup that is restored: what the manifest says, or for an old
// script's container what its listing shows.
type source struct {
	manifest *night.Manifest // nil for an old script's container
	raw      []byte          // meta.00
	meta     *influx.Metastore
	cutoff   time.Time
	shards   []night.Shard
}

func (s *source) bytes() int64 {
	var sum int64
	for i := range s.shards {
		sum += s.shards[i].Bytes
	}
	return sum
}

// source reads the day's manifest and metastore. Only an operator's request may
// name a day without a manifest: an old script's.
func (r *restore) source(ctx context.Context, j *job) (*source, error) {
	src := &source{}
	data, err := r.read(ctx, j, night.ManifestObject(j.day))
	switch {
	case err == nil:
		if src.manifest, err = night.ParseManifest(j.day, data); errors.Is(err, night.ErrNewer) {
			return nil, events.Permanent(err)
		} else if err != nil {
			return nil, events.Permanent(fmt.Errorf("trust manifest: %w; nightshard verify %s says what else is wrong", err, j.day))
		}
		if src.manifest.Database != r.cfg.Database {
			return nil, events.Permanent(fmt.Errorf("read manifest of %s: it is of database %q, this service restores %q", j.day, src.manifest.Database, r.cfg.Database))
		}
		src.shards, src.cutoff = src.manifest.Shards, src.manifest.Cutoff
	case errors.Is(err, objstore.ErrNotFound) && j.asked:
		if err := r.fromListing(ctx, j, src); err != nil {
			return nil, err
		}
	default:
		return nil, err //nolint:wrapcheck // read names the object
	}
	if src.raw, err = r.read(ctx, j, night.MetaObject(j.day)); err != nil {
		return nil, err
	}
	if src.manifest != nil {
		if sum := fmt.Sprintf("%x", md5.Sum(src.raw)); sum != src.manifest.Meta.MD5 { //nolint:gosec // Swift's own checksum
			return nil, fmt.Errorf("trust metastore of %s: it has MD5 %s, the manifest says %s; nightshard verify %s says what else is wrong", j.day, sum, src.manifest.Meta.MD5, j.day)
		}
	}
	if src.meta, err = influx.ParseMetastore(src.raw); err != nil {
		return nil, events.Permanent(fmt.Errorf("read metastore of %s: %w", j.day, err))
	}
	return src, r.fit(j, src)
}

// fromListing takes an old script's container as it is listed. A day of ours
// that lost its manifest looks much like one, and what its listing lacks would
// be missed by nobody: it takes force.
func (r *restore) fromListing(ctx context.Context, j *job, src *source) error {
	lost := ""
	err := r.store.List(ctx, j.day.String(), j.day.String()+"/", func(o objstore.Object) error {
		switch {
		case strings.HasPrefix(o.Name, night.IncomingPrefix(j.day)):
			return events.Permanent(fmt.Errorf("restore %s: its backup is unfinished: it has no manifest; back the day up again", j.day))
		case o.Name == night.MetaObject(j.day):
			src.cutoff = o.Modified
			return nil
		case night.NewForm(o.Name):
			lost = o.Name
		}
		name, err := night.ParseShardObject(j.day, r.cfg.Database, o.Name)
		if err != nil {
			return nil //nolint:nilerr // a dump, or another database's shard
		}
		src.shards = append(src.shards, night.Shard{
			Stored: night.Stored{Object: o.Name, Bytes: o.Size, MD5: o.MD5},
			ID:     name.ID, RetentionPolicy: name.RetentionPolicy,
		})
		return nil
	})
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return events.Permanent(fmt.Errorf("restore %s: there is no backup of that day: Swift has no container of that name; nightshard list shows the days that there are", j.day))
	case err != nil:
		return fmt.Errorf("list %s: %w", j.day, err)
	case src.cutoff.IsZero():
		return events.Permanent(fmt.Errorf("restore %s: the container has neither a manifest nor a metastore (%s), so it holds no backup; nightshard list shows the days that do", j.day, night.MetaObject(j.day)))
	}
	if lost == "" {
		if lost, err = r.drilled(ctx, j); err != nil {
			return err
		}
	}
	if lost != "" && !j.force {
		return events.Permanent(fmt.Errorf("restore %s: it has no manifest, and %s shows that it had one; back the day up again, or ask with force to restore what its listing shows", j.day, lost))
	}
	return nil
}

// drilled names the day's drill if that is of a backup with a manifest.
func (r *restore) drilled(ctx context.Context, j *job) (string, error) {
	data, err := r.read(ctx, j, night.DrillObject(j.day))
	if errors.Is(err, objstore.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if d, err := night.ParseDrill(data); err == nil && d.Backup == "" {
		return "", nil
	}
	return night.DrillObject(j.day), nil
}

// fit holds the shards against the metastore: each must be in it, and each of
// its shards must be among them. A listing gets the time ranges from it.
func (r *restore) fit(j *job, src *source) error {
	db, ok := src.meta.Database(r.cfg.Database)
	if !ok {
		return fmt.Errorf("read metastore of %s: it has no database %q", j.day, r.cfg.Database)
	}
	known := src.meta.Shards(db.Name)
	for i := range src.shards {
		s := &src.shards[i]
		at := slices.IndexFunc(known, func(m influx.ShardMeta) bool { return m.ID == s.ID && m.RetentionPolicy == s.RetentionPolicy })
		if at < 0 {
			return fmt.Errorf("restore %s: the metastore does not know shard %d of %q (%s)", j.day, s.ID, s.RetentionPolicy, s.Object)
		}
		s.Start, s.End = known[at].Start, known[at].End
	}
	if src.manifest != nil && len(known) != len(src.shards) {
		return fmt.Errorf("restore %s: the metastore has %d shards, the manifest %d", j.day, len(known), len(src.shards))
	}
	return nil
}

// read gets one object whole. Those it is used for are small.
func (r *restore) read(ctx context.Context, j *job, object string) ([]byte, error) {
	return objstore.Read(ctx, r.store, j.day.String(), object, maxMeta) //nolint:wrapcheck // it names the object
}
