// Package proof verifies a day that is stored: what the container shows, what
// its archives hold, and whether a restore of it was proved. It only reads. The
// rules are in package night; this package fetches what they need.
package proof

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"nightshard/shared/influx"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// maxRecord bounds what is held whole: manifest, metastore, drill. In bytes.
const maxRecord = 1 << 30

// Options say how a day is verified.
type Options struct {
	// Level is how deep.
	Level night.Level
	// Parallel is how many archives are read at the same time, 1 when 0.
	Parallel int
	// Progress, if not nil, is told how many bytes of how many were read. Calls
	// may come from several goroutines.
	Progress func(done, total int64)
}

// Report is what was found.
type Report struct {
	Day   string `json:"day"`
	Level string `json:"level"`
	// Good is true when there is no problem.
	Good     bool   `json:"good"`
	Database string `json:"database,omitempty"`
	// NoBackup says that nothing of a backup is stored, nor of one under way.
	NoBackup bool `json:"noBackup,omitempty"`
	// Shards and Bytes are those that were looked at.
	Shards int   `json:"shards"`
	Bytes  int64 `json:"bytes"`
	// Problems are all that was found, by object.
	Problems []night.Problem `json:"problems"`
	// Notes are no problems, but worth knowing.
	Notes []string `json:"notes"`
}

// verifier does the work for one day.
type verifier struct {
	store    objstore.Store
	day      night.Day
	o        Options
	report   *Report
	listed   map[string]night.Stored
	manifest *night.Manifest
	meta     *influx.Metastore
}

// Verify verifies a day. Damage is in the report; an error says that Swift could
// not be asked, or, as objstore.ErrNotFound, that it has no such day.
func Verify(ctx context.Context, store objstore.Store, day night.Day, o Options) (*Report, error) {
	v, err := verify(ctx, store, day, o)
	if err != nil {
		return nil, err
	}
	return v.report, nil
}

func verify(ctx context.Context, store objstore.Store, day night.Day, o Options) (*verifier, error) {
	v := &verifier{store: store, day: day, o: o, report: &Report{
		Day: day.String(), Level: o.Level.String(), Problems: []night.Problem{}, Notes: []string{},
	}}
	if err := v.list(ctx); err != nil {
		return nil, err
	}
	if v.report.NoBackup = !v.begun(); v.report.NoBackup {
		v.bad(day.String(), "it holds no backup")
		return v, nil
	}
	for _, step := range []struct {
		from night.Level
		do   func(context.Context) error
	}{
		{night.LevelListing, v.records},
		{night.LevelListing, v.shown},
		{night.LevelContent, v.contents},
		{night.LevelRestored, v.restored},
	} {
		if o.Level < step.from {
			continue
		}
		if err := step.do(ctx); err != nil {
			return nil, err
		}
	}
	v.report.Good = len(v.report.Problems) == 0
	return v, nil
}

func (v *verifier) add(problems ...night.Problem) {
	v.report.Problems = append(v.report.Problems, problems...)
}

func (v *verifier) bad(object, format string, args ...any) {
	v.add(night.Problem{Object: object, Reason: fmt.Sprintf(format, args...)})
}

func (v *verifier) note(format string, args ...any) {
	v.report.Notes = append(v.report.Notes, fmt.Sprintf(format, args...))
}

// list reads the listing once: everything is held against it.
func (v *verifier) list(ctx context.Context) error {
	v.listed = map[string]night.Stored{}
	err := v.store.List(ctx, v.day.String(), "", func(o objstore.Object) error {
		v.listed[o.Name] = night.Stored{Object: o.Name, Bytes: o.Size, MD5: o.Listed}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list container %s: %w", v.day, err)
	}
	return nil
}

// begun says that something of a backup is listed. Dumps alone are none: they
// may be of a day that was never backed up.
func (v *verifier) begun() bool {
	for name := range v.listed {
		if strings.HasPrefix(name, night.ShardPrefix(v.day)) || strings.HasPrefix(name, night.IncomingPrefix(v.day)) ||
			name == night.ManifestObject(v.day) || name == night.DrillObject(v.day) {
			return true
		}
	}
	return false
}

// records reads the manifest and the metastore.
func (v *verifier) records(ctx context.Context) error {
	data, ok, err := v.read(ctx, night.ManifestObject(v.day))
	if err != nil {
		return err
	}
	if ok {
		if v.manifest, err = night.ParseManifest(v.day, data); err != nil {
			v.bad(night.ManifestObject(v.day), "%v", err)
		}
	}
	data, ok, err = v.read(ctx, night.MetaObject(v.day))
	if err != nil {
		return err
	}
	if ok {
		if v.meta, err = influx.ParseMetastore(data); err != nil {
			v.bad(night.MetaObject(v.day), "%v", err)
		}
	}
	return nil
}

// read gets a small object whole. One that is damaged or not there is a
// problem, or the absence of a record; ok is false for both.
func (v *verifier) read(ctx context.Context, object string) (data []byte, ok bool, err error) {
	data, err = objstore.Read(ctx, v.store, v.day.String(), object, maxRecord)
	switch {
	case err == nil:
		return data, true, nil
	case errors.Is(err, objstore.ErrNotFound):
		return nil, false, nil
	case errors.Is(err, objstore.ErrCorrupt):
		v.bad(object, "%v", err)
		return nil, false, nil
	}
	return nil, false, err //nolint:wrapcheck // it names the object
}

// shown holds the listing, the manifest and the metastore against each other.
func (v *verifier) shown(ctx context.Context) error {
	for name := range v.listed {
		if strings.HasPrefix(name, night.IncomingPrefix(v.day)) {
			v.note("another run of the day is under way or was cut off (%s)", night.IncomingPrefix(v.day))
			break
		}
	}
	if v.manifest == nil {
		return v.withoutManifest(ctx)
	}
	v.report.Database = v.manifest.Database
	v.report.Shards = len(v.manifest.Shards)
	v.add(night.CheckStored(v.day, v.manifest, v.listed)...)
	if v.meta == nil {
		return nil // its absence or damage is a problem already
	}
	if _, ok := v.meta.Database(v.manifest.Database); !ok {
		v.bad(night.MetaObject(v.day), "it has no database %q", v.manifest.Database)
		return nil
	}
	v.add(night.CheckShards(v.day, v.manifest, fmt.Sprint(v.meta.ClusterID), v.known(v.manifest.Database))...)
	return nil
}

// known are the shards of a database by the metastore.
func (v *verifier) known(database string) []night.ShardKey {
	var out []night.ShardKey
	for _, s := range v.meta.Shards(database) {
		out = append(out, night.ShardKey{ID: s.ID, RetentionPolicy: s.RetentionPolicy, Start: s.Start, End: s.End})
	}
	return out
}

// restored reads the verdict of the last restore.
func (v *verifier) restored(ctx context.Context) error {
	data, ok, err := v.read(ctx, night.DrillObject(v.day))
	if err != nil {
		return err
	}
	var d *night.Drill
	if ok {
		if d, err = night.ParseDrill(data); err != nil {
			v.bad(night.DrillObject(v.day), "%v", err)
			return nil
		}
	}
	switch {
	case v.manifest != nil:
		v.add(night.CheckDrill(v.day, v.manifest, d)...)
	case d == nil:
		v.bad(night.DrillObject(v.day), "it is missing: the day was never restored")
	case d.Note != night.NoFingerprint:
		v.bad(night.DrillObject(v.day), "it is the verdict on a backup with a manifest")
	default:
		v.note("the restore had no fingerprint to be compared with: only that it could be restored is proved")
	}
	return nil
}
