// Package intermediary keeps the identity of the restore that stands in the
// intermediary InfluxDB, in a small database of its own there. The restore
// writes it; dumpers compare it before and after they read, so that a dump
// never mixes two nights; the next restore's guard knows by it that the
// database is one that Nightshard put there.
package intermediary

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"nightshard/shared/influx"
)

// Database is the name of our own database in the intermediary.
const Database = "_nightshard"

// State says how far the restore is.
type State string

// A restore is Restoring from before the first byte is dropped until its drill
// has passed; then it is Complete.
const (
	Restoring State = "restoring"
	Complete  State = "complete"
)

// Identity says which restore stands in the intermediary.
type Identity struct {
	// RestoreID is different for each delivery that a restore answers.
	RestoreID string `json:"restoreId"`
	// Day is the backup's day, YYYY-MM-DD.
	Day string `json:"day"`
	// State is Complete once the drill has passed.
	State State `json:"state"`
	// Cutoff is that of the backup.
	Cutoff time.Time `json:"cutoff"`
	// Shard is one of the restored shards, 0 if there is none. A database that
	// was dropped since and made anew has others.
	Shard uint64 `json:"shard,omitempty"`
	// Beyond is how many values the restored database held after the cut-off.
	// More of them later means that somebody writes there.
	Beyond int64 `json:"beyond"`
	// FinishedAt is when the drill passed.
	FinishedAt time.Time `json:"finishedAt"`
	// Production is the cluster id of the server whose backup it is, empty for
	// an old script's.
	Production string `json:"production,omitempty"`
	// Held is how many shards were written down, each as a Held.
	Held int `json:"held,omitempty"`
	// Incremental is how many restores in a row kept shards of the one before.
	Incremental int `json:"incremental,omitempty"`
}

// Read gives the identity of the restore of database; ok is false if there is
// none.
func Read(ctx context.Context, c *influx.Client, database string) (id Identity, ok bool, err error) {
	names, err := c.Databases(ctx)
	if err != nil {
		return Identity{}, false, fmt.Errorf("read identity: %w", err)
	}
	if !slices.Contains(names, Database) {
		return Identity{}, false, nil
	}
	series, err := c.Query(ctx, Database, `SELECT "identity" FROM "restore" WHERE "database" = `+influx.QuoteString(database))
	if err != nil {
		return Identity{}, false, fmt.Errorf("read identity: %w", err)
	}
	if len(series) == 0 || len(series[0].Values) == 0 {
		return Identity{}, false, nil
	}
	row := series[0].Values[0]
	text, _ := row[len(row)-1].(string)
	if err := json.Unmarshal([]byte(text), &id); err != nil {
		return Identity{}, false, fmt.Errorf("read identity of %q: %w", database, err)
	}
	return id, true, nil
}

// Write records the identity of the restore of database, in place of the one
// before.
func Write(ctx context.Context, c *influx.Client, database string, id Identity) error {
	if err := c.Exec(ctx, "", "CREATE DATABASE "+influx.QuoteIdent(Database)); err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	line, err := point("restore", database, "", "identity", id)
	if err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	if err := c.WritePoints(ctx, Database, "", line); err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	return nil
}

// point is a line of line protocol with v as JSON. One series and one time: it
// replaces the point before it. A field holds at most 64 KiB.
func point(measurement, database, tags, field string, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what it is
	}
	// What line protocol escapes in a tag and in a quoted field.
	tagEscapes := strings.NewReplacer(",", `\,`, "=", `\=`, " ", `\ `)
	fieldEscapes := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	return fmt.Appendf(nil, "%s,database=%s%s %s=\"%s\" 0\n", measurement, tagEscapes.Replace(database), tags, field, fieldEscapes.Replace(string(text))), nil
}
