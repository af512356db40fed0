package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"nightshard/shared/influx"
	"nightshard/shared/night"
	"nightshard/shared/service"
)

// errUnknownDatabase says that production has no database of the name.
var errUnknownDatabase = errors.New("unknown database")

// inventory is what production says it has, at one moment.
type inventory struct {
	raw      []byte // meta.00, as the server sent it
	meta     *influx.Metastore
	database influx.DatabaseMeta
	shards   []night.ShardKey
}

// listTries bounds how often two answers of production may disagree. They do
// for a moment while a shard is made or deleted between them.
const listTries = 5

// inventory reads the metastore and holds it against SHOW SHARDS. A shard that
// one of them lacks, again and again, is an error: a list that may be short
// must not decide what a backup holds.
func (b *backup) inventory(ctx context.Context) (inventory, error) {
	var differ error
	for try := range listTries {
		if err := service.Pause(ctx, time.Duration(try)*200*time.Millisecond); err != nil {
			return inventory{}, err
		}
		inv, err := b.metastore(ctx)
		if err != nil {
			return inventory{}, err
		}
		if differ, err = b.confirm(ctx, inv.shards); err != nil {
			return inventory{}, err
		}
		if differ == nil {
			return inv, nil
		}
	}
	return inventory{}, differ
}

func (b *backup) metastore(ctx context.Context) (inventory, error) {
	raw, err := b.rawMetastore(ctx)
	if err != nil {
		return inventory{}, fmt.Errorf("read metastore: %w", err)
	}
	meta, err := influx.ParseMetastore(raw)
	if err != nil {
		return inventory{}, fmt.Errorf("read metastore: %w", err)
	}
	db, ok := meta.Database(b.cfg.Database)
	if !ok {
		return inventory{}, fmt.Errorf("find database %q on %s: %w", b.cfg.Database, b.cfg.Snapshot, errUnknownDatabase)
	}
	inv := inventory{raw: raw, meta: meta, database: db}
	for _, s := range meta.Shards(b.cfg.Database) {
		inv.shards = append(inv.shards, night.ShardKey{ID: s.ID, RetentionPolicy: s.RetentionPolicy, Start: s.Start, End: s.End})
	}
	return inv, nil
}

// rawMetastore reads the metastore until two answers in a row are equal: it has
// no checksum, and a changed bit in it may be a policy's duration or a user's
// password.
func (b *backup) rawMetastore(ctx context.Context) ([]byte, error) {
	var last []byte
	for range listTries {
		raw, err := b.snapshot.Metastore(ctx)
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the server
		}
		if bytes.Equal(raw, last) {
			return raw, nil
		}
		last = raw
	}
	return nil, fmt.Errorf("compare answers: no two in a row are equal, of %d", listTries)
}

// confirm asks production over HTTP for the same list. The first error says how
// the two differ, the second that the question failed.
func (b *backup) confirm(ctx context.Context, shards []night.ShardKey) (differ, err error) {
	infos, err := b.http.Shards(ctx)
	if err != nil {
		return nil, fmt.Errorf("show shards: %w", err)
	}
	var listed []night.ShardKey
	for _, s := range infos {
		if s.Database == b.cfg.Database {
			listed = append(listed, night.ShardKey{ID: s.ID, RetentionPolicy: s.RetentionPolicy, Start: s.Start, End: s.End})
		}
	}
	plan := night.Reconcile(listed, shards)
	if len(plan.Missing) > 0 {
		return fmt.Errorf("list shards: the metastore has shard %d, SHOW SHARDS does not", plan.Missing[0].ID), nil
	}
	if len(plan.Deleted) > 0 {
		return fmt.Errorf("list shards: SHOW SHARDS has shard %d, the metastore does not", plan.Deleted[0].ID), nil
	}
	return nil, nil
}
