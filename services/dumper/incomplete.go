package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"nightshard/shared/events"
	"nightshard/shared/intermediary"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// lookBack is how many days before the restored one are looked at for dumps
// that end at a cut-off. One is enough when every night succeeds.
const lookBack = 7

// incomplete finds the days before day whose backups ended before midnight, and
// whose dumps therefore lack the last minutes, which stand in the intermediary
// now. It stops at the first day whose dump is complete. The earliest comes
// first.
func (p *dumper) incomplete(ctx context.Context, measurement string, day night.Day, identity intermediary.Identity) ([]night.Day, error) {
	var days []night.Day
	for back := 1; back <= lookBack; back++ {
		earlier := day.Add(-back)
		_, end := earlier.Window(p.loc)
		if !night.Complete(identity.Cutoff, end) {
			continue
		}
		m, err := p.backup(ctx, earlier)
		if err != nil {
			return nil, err
		}
		if m.Cutoff.IsZero() || p.theirs(m) {
			continue // an old script's day, a night that failed, or another database's
		}
		if night.Complete(m.Cutoff, end) {
			break
		}
		done, err := p.complete(ctx, measurement, earlier)
		if err != nil {
			return nil, err
		}
		if done {
			break
		}
		days = append(days, earlier)
	}
	slices.Reverse(days)
	return days, nil
}

// backupHead is what a dumper needs to know of a day's manifest.
type backupHead struct {
	Database string    `json:"database"`
	Cutoff   time.Time `json:"cutoff"`
}

// backup reads whose backup a day holds, and its cut-off; both are empty when it
// has no manifest, or one that cannot be read: tonight's dump must not fail over
// a day of last week. Of a manifest of many shards nothing else is kept.
func (p *dumper) backup(ctx context.Context, day night.Day) (m backupHead, err error) {
	var damage error
	err = p.store.Get(ctx, day.String(), night.ManifestObject(day), func(_ objstore.Object, r io.Reader) error {
		damage = json.NewDecoder(r).Decode(&m)
		_, err := io.Copy(io.Discard, r)
		return err //nolint:wrapcheck // Get names the object
	})
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return backupHead{}, nil
	case err != nil:
		return backupHead{}, fmt.Errorf("get manifest of %s: %w", day, err)
	case damage != nil || m.Cutoff.IsZero():
		p.log.Warn().AnErr("damage", damage).Str("day", day.String()).Msg("the day's manifest is damaged: whether its dump lacks the last minutes is not known")
		return backupHead{}, nil //nolint:nilerr // err is nil; damage is told, and must not fail another day's dump
	}
	return m, nil
}

// theirs says that the backup is another database's.
func (p *dumper) theirs(m backupHead) bool { return m.Database != "" && m.Database != p.cfg.Database }

// ours refuses days that hold another database's backup: dumps are named by
// measurement and day only, so this database's would replace the other's.
func (p *dumper) ours(ctx context.Context, days []night.Day) error {
	for _, day := range days {
		m, err := p.backup(ctx, day)
		if err != nil {
			return err
		}
		if p.theirs(m) {
			return events.Permanent(fmt.Errorf("dump %q to container %s: it holds the backup of database %q; give each database a Swift account (ST_USER, or a project) of its own",
				p.cfg.Database, day, m.Database))
		}
	}
	return nil
}

// complete says whether the day's dump is already marked complete, in whatever
// format: a change of NIGHTSHARD_DUMP_FORMAT is no reason to write it again.
func (p *dumper) complete(ctx context.Context, measurement string, day night.Day) (bool, error) {
	for _, f := range p.formats() {
		object, err := night.DumpObjectIn(day, measurement, f)
		if err != nil {
			return false, err //nolint:wrapcheck // it names the measurement
		}
		done := false
		err = p.store.Get(ctx, day.String(), object, func(o objstore.Object, _ io.Reader) error {
			done = o.Meta[metaComplete] == "true"
			return objstore.ErrSkipBody
		})
		if err != nil && !errors.Is(err, objstore.ErrNotFound) {
			return false, fmt.Errorf("look at %s: %w", object, err)
		}
		if done {
			return true, nil
		}
	}
	return false, nil
}

// formats are all formats, the one that is set first: most dumps are in it.
func (p *dumper) formats() []night.Format {
	set := p.cfg.format()
	return append([]night.Format{set}, slices.DeleteFunc(night.Formats(), func(f night.Format) bool { return f == set })...)
}
