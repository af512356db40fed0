package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"nightshard/shared/events"
	"nightshard/shared/night"
)

// claim marks the day as this database's and then looks again. Container names
// carry the day only, so two databases of one Swift account would meet in it;
// their services may begin at the same moment. Each has put its mark before it
// looks, so at least one of them sees the other.
func (b *backup) claim(ctx context.Context, j *job) (leftover, error) {
	if err := b.mark(ctx, j); err != nil {
		return leftover{}, err
	}
	return b.inspect(ctx, j)
}

func (b *backup) mark(ctx context.Context, j *job) error {
	_, err := b.put(ctx, j, night.ClaimObject(j.day, b.cfg.Database), fmt.Appendf(nil, "{%q:%q}\n", "request", j.id), "application/json")
	return err
}

// unclaim takes the mark away after a failed attempt: an old script's container
// would look unfinished by it. If the work was taken from this process, the mark
// is that of its successor.
func (b *backup) unclaim(ctx context.Context, j *job) {
	if ctx.Err() != nil {
		return
	}
	if err := b.remove(ctx, j, []string{night.ClaimObject(j.day, b.cfg.Database)}); err != nil {
		j.log.Warn().Err(err).Msg("the day stays marked as being backed up; the next attempt takes the mark away")
	}
}

// alone refuses a day in whose container another database has, or is about to
// have, its backup. Nothing of the other one is touched, with force neither.
func (b *backup) alone(ctx context.Context, j *job, l *leftover, listed map[string]night.Stored) error {
	err := b.other(j, l, listed)
	mark := night.ClaimObject(j.day, b.cfg.Database)
	if _, marked := listed[mark]; !marked || !events.IsPermanent(err) {
		return err
	}
	if gone := b.remove(ctx, j, []string{mark}); gone != nil {
		return errors.Join(err, gone)
	}
	return err
}

// other says which other database the day belongs to.
func (b *backup) other(j *job, l *leftover, listed map[string]night.Stored) error {
	for _, m := range []*night.Manifest{l.manifest, l.staged} {
		if m != nil && m.Database != b.cfg.Database {
			return events.Permanent(b.taken(j, fmt.Sprintf("holds the backup of database %q", m.Database)))
		}
	}
	if l.manifest != nil || l.staged != nil {
		return nil // the rest of another one's attempt does not matter
	}
	stored, claimed := false, ""
	for name := range listed {
		if night.ArchiveOfAnother(j.day, b.cfg.Database, name) {
			return events.Permanent(b.taken(j, fmt.Sprintf("holds archives of another database, such as %s", name)))
		}
		stored = stored || strings.HasSuffix(name, ".00") && !strings.HasSuffix(name, "/meta.00")
		if db, ok := night.ClaimedBy(j.day, name); ok && db != b.cfg.Database {
			claimed = max(claimed, db)
		}
	}
	if claimed == "" || stored {
		// Who has stored an archive was there first: the other one sees it, and
		// takes its mark away again.
		return nil
	}
	err := b.taken(j, fmt.Sprintf("is being filled with the backup of database %q", claimed))
	if _, marked := listed[night.ClaimObject(j.day, b.cfg.Database)]; marked && b.cfg.Database < claimed {
		// Both began at the same moment. The other one gives way, unless it was
		// earlier: then its archives show it at the next attempt.
		return err
	}
	return events.Permanent(err)
}

// taken is the error of a day that belongs to another database.
func (b *backup) taken(j *job, how string) error {
	return fmt.Errorf("back up %q to container %s: it %s; give each database a Swift account (ST_USER, or a project) of its own; "+
		"nothing of the other one was changed, and force would not help", b.cfg.Database, j.container(), how)
}
