package proof

import (
	"context"
	"strings"

	"nightshard/shared/night"
)

// withoutManifest looks at a day that has no manifest, or none that can be
// read: an old script's, or one of ours that lost it. What is there is held
// against the metastore, the only list of shards that is left.
func (v *verifier) withoutManifest(ctx context.Context) error {
	if _, there := v.listed[night.ManifestObject(v.day)]; !there {
		if reason, err := v.lost(ctx); err != nil {
			return err
		} else if reason != "" {
			v.bad(night.ManifestObject(v.day), "it is missing, and %s", reason)
		}
	}
	if v.meta == nil {
		if _, there := v.listed[night.MetaObject(v.day)]; !there {
			v.bad(night.MetaObject(v.day), "it is not listed: no restore is possible without it")
		}
		return nil
	}
	v.note("there is no manifest to compare with: what is proved is that the archives are whole, and that the metastore names each")
	old := 0
	stray := map[string]bool{}
	for name := range v.listed {
		stray[name] = strings.HasPrefix(name, night.ShardPrefix(v.day)) && name != night.MetaObject(v.day)
	}
	for _, db := range v.meta.Databases {
		found := v.archives(db.Name)
		if len(found) == 0 {
			continue // not one that was backed up
		}
		v.report.Database = db.Name
		for _, key := range v.known(db.Name) {
			name, ok := found[key.ID]
			if !ok {
				v.bad(night.MetaObject(v.day), "it has shard %d of %q in database %q, and there is no archive of it", key.ID, key.RetentionPolicy, db.Name)
				continue
			}
			stray[name] = false
			v.report.Shards++
			if night.OldForm(name) {
				old++
			}
		}
	}
	for name, is := range stray {
		if is {
			v.bad(name, "the metastore knows no such shard")
		}
	}
	if old > 0 {
		v.note("%d archives are in the old scripts' form: plain influxd restore puts a shard whose id ends in 0 into the wrong place; nightshard request restore %s does not", old, v.day)
	}
	return nil
}

// archives are the listed archives of a database by shard id.
func (v *verifier) archives(database string) map[uint64]string {
	found := map[uint64]string{}
	for name := range v.listed {
		if s, err := night.ParseShardObject(v.day, database, name); err == nil {
			found[s.ID] = name
		}
	}
	return found
}

// lost says what shows that the day had a manifest once; empty when nothing
// does.
func (v *verifier) lost(ctx context.Context) (string, error) {
	for name := range v.listed {
		switch {
		case name == night.RunObject(v.day):
			return "a first run of the day is under way or was cut off: the backup is not finished", nil
		case strings.HasPrefix(name, night.ShardPrefix(v.day)) && night.NewForm(name):
			return "archives have the names that only Nightshard gives: the manifest was lost", nil
		}
	}
	data, ok, err := v.read(ctx, night.DrillObject(v.day))
	if err != nil || !ok {
		return "", err
	}
	if d, err := night.ParseDrill(data); err == nil && d.Backup != "" {
		return "the day's drill was of a backup that had one: the manifest was lost", nil
	}
	return "", nil
}
