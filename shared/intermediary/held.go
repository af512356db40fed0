package intermediary

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"nightshard/shared/influx"
)

// Held says what the restore put into one of the intermediary's shards, and how
// to tell later that it still stands there.
type Held struct {
	// RestoreID is that of the restore that wrote this down.
	RestoreID string `json:"restoreId"`
	// Shard is the shard's id in production.
	Shard uint64 `json:"shard"`
	// Place is its id in the intermediary.
	Place uint64 `json:"place"`
	// MD5 and Archive, a size in bytes, are those of the archive in Swift.
	MD5     string `json:"md5"`
	Archive int64  `json:"archive"`
	// Clock is the intermediary's, after the files were taken in and before they
	// were read back; zero if they were not read back as they were sent.
	Clock time.Time `json:"clock"`
	// Bytes and Files are their size and number.
	Bytes int64 `json:"bytes"`
	Files int64 `json:"files"`
}

// Reading is what the intermediary is asked about.
func (h Held) Reading() influx.Reading {
	return influx.Reading{Since: h.Clock, FilesState: influx.FilesState{Bytes: h.Bytes, Files: h.Files}}
}

// ReadHeld gives what the restore id wrote down of its shards of a database.
func ReadHeld(ctx context.Context, c *influx.Client, database, id string) ([]Held, error) {
	series, err := c.Query(ctx, Database, `SELECT "held" FROM "shard" WHERE "database" = `+influx.QuoteString(database)+` GROUP BY "id"`)
	if err != nil {
		return nil, fmt.Errorf("read what the intermediary holds: %w", err)
	}
	var out []Held
	for _, s := range series {
		for _, row := range s.Values {
			var h Held
			text, _ := row[len(row)-1].(string)
			if err := json.Unmarshal([]byte(text), &h); err != nil {
				return nil, fmt.Errorf("read what the intermediary holds of shard %s: %w", s.Tags["id"], err)
			}
			if h.RestoreID == id {
				out = append(out, h)
			}
		}
	}
	return out, nil
}

// WriteHeld writes down what a restore put into the shards of a database. What
// another restore wrote of them is replaced.
func WriteHeld(ctx context.Context, c *influx.Client, database string, held []Held) error {
	if len(held) == 0 {
		return nil
	}
	var lines []byte
	for _, h := range held {
		line, err := point("shard", database, ",id="+strconv.FormatUint(h.Shard, 10), "held", h)
		if err != nil {
			return fmt.Errorf("write what the intermediary holds: %w", err)
		}
		lines = append(lines, line...)
	}
	if err := c.WritePoints(ctx, Database, "", lines); err != nil {
		return fmt.Errorf("write what the intermediary holds: %w", err)
	}
	return nil
}

// ForgetHeld deletes all that was written down of a database.
func ForgetHeld(ctx context.Context, c *influx.Client, database string) error {
	if err := c.Exec(ctx, Database, `DROP SERIES FROM "shard" WHERE "database" = `+influx.QuoteString(database)); err != nil {
		return fmt.Errorf("forget what the intermediary holds: %w", err)
	}
	return nil
}
