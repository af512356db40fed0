package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"nightshard/shared/influx"
	"nightshard/shared/intermediary"
)

// owned says why the next restore would refuse what stands in the intermediary.
func (s *influxServer) owned(ctx context.Context) {
	db := s.common.Database
	has := false
	for _, i := range s.listed {
		has = has || i.Database == db
	}
	if db == "" || !has {
		return
	}
	const why = "a restore drops that database, so it refuses one that may be somebody's"
	id, ok, err := intermediary.Read(ctx, s.http, db)
	switch {
	case err != nil:
		s.findings.unknown(fmt.Sprintf("who put database %q into the intermediary: %v", db, err), why, "look at the intermediary's log")
		return
	case !ok:
		s.findings.problem(fmt.Sprintf("the intermediary has a database %q that Nightshard did not put there", db), why,
			"if it may go: nightshard request restore DAY --force, or drop it")
		return
	case id.State != intermediary.Complete:
		s.findings.warning(fmt.Sprintf("the intermediary holds a restore of %s that is not finished", id.Day), "dumps wait for it", "see nightshard status; the next restore replaces it")
		return
	}
	beyond, err := s.beyond(ctx, id.Cutoff)
	switch {
	case err != nil:
		s.findings.unknown(fmt.Sprintf("whether somebody writes to the intermediary: %v", err), why, "look at the intermediary's log")
	case beyond != id.Beyond:
		s.findings.problem(fmt.Sprintf("the intermediary's database %q has %s newer than %s, and had %s after the restore of %s: somebody writes to it",
			db, plural(beyond, "value"), id.Cutoff.Format(time.RFC3339), countText(id.Beyond), id.Day), why,
			"find out who writes there; if that may go: nightshard request restore DAY --force")
	default:
		s.findings.ok("the intermediary holds the restore of %s, and nobody wrote to it since", id.Day)
	}
}

// beyond counts the values after an instant, as the restore's guard does.
func (s *influxServer) beyond(ctx context.Context, after time.Time) (int64, error) {
	policies, err := s.http.RetentionPolicies(ctx, s.common.Database)
	if err != nil {
		return 0, err //nolint:wrapcheck // it says what was asked
	}
	var sum int64
	for _, rp := range policies {
		n, err := s.http.CountRough(ctx, s.common.Database, rp.Name, after, time.Unix(0, 1<<63-2))
		if err != nil {
			return 0, err //nolint:wrapcheck // it says what was asked
		}
		sum += n
	}
	return sum, nil
}

// room holds the disk below the intermediary against the size of production.
func (d *doctor) room(ctx context.Context, prod, inter *influxServer) {
	const why = "a restore that finds no room fails, and may take the intermediary with it"
	need := prod.size(ctx)
	if need < 0 {
		inter.findings.unknown("whether the intermediary has room: production does not tell the size of the database", why, "compare du -sh of production's data folder with df of the intermediary's")
		return
	}
	dir := inter.dataDir(ctx)
	free, err := int64(-1), error(nil)
	if dir != "" {
		free, err = freeBytes(dir)
	}
	if dir == "" || err != nil {
		inter.findings.unknown(fmt.Sprintf("whether the intermediary has room for the %s of production: its disk is not to be seen from here", bytesText(need)), why,
			"look with df at the folder of its data, on its machine")
		return
	}
	// What stands there is dropped first.
	free += max(inter.size(ctx), 0)
	text := fmt.Sprintf("the intermediary has room for %s in %s, production has %s", bytesText(free), dir, bytesText(need))
	switch {
	case free < need+need/10:
		inter.findings.problem(text, why, "give it a larger disk")
	case free < 2*need:
		inter.findings.warning(text, why, "give it a larger disk before the database grows")
	default:
		inter.findings.ok("%s", text)
	}
}

// size is that of the database's files, -1 when the server does not tell.
func (s *influxServer) size(ctx context.Context) int64 {
	if s.common.Database == "" || !s.admin {
		return -1
	}
	files, err := s.http.Files(ctx, s.common.Database)
	if err != nil {
		return -1
	}
	var sum int64
	for _, f := range files {
		sum += f.Bytes
	}
	return sum
}

// dataDir is the folder of the server's data if that is to be seen from here:
// the one that is set for offline restores, or what a server on this machine
// says of itself.
func (s *influxServer) dataDir(ctx context.Context) string {
	dir := s.vars["NIGHTSHARD_RESTORE_DATADIR"]
	if dir == "" && s.admin && isHere(s.url) {
		dir = diagnosed(ctx, s.http)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return ""
	}
	return dir
}

// diagnosed asks a server for the folder of its data, empty if it does not tell.
func diagnosed(ctx context.Context, c *influx.Client) string {
	series, err := c.Query(ctx, "", "SHOW DIAGNOSTICS FOR 'config-data'")
	if err != nil {
		return ""
	}
	for _, s := range series {
		for i, column := range s.Columns {
			if column == "dir" && len(s.Values) > 0 {
				dir, _ := s.Values[0][i].(string)
				return dir
			}
		}
	}
	return ""
}
