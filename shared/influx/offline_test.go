package influx_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"nightshard/shared/influx"
	"nightshard/shared/testbed"
)

// TestAServerStartsWithAMergedMetastoreAndShards restores offline, as the
// restore service does in that mode.
func TestAServerStartsWithAMergedMetastoreAndShards(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]testbed.InfluxOptions{
		{{Version: testbed.Influx18}, {Version: testbed.Influx18, Index: "tsi1", Auth: true}},
		{{Version: testbed.Influx16}, {Version: testbed.Influx18}},
		{{Version: testbed.Influx18, Index: "tsi1"}, {Version: testbed.Influx16, Auth: true}},
	} {
		t.Run(pair[0].Version+" to "+pair[1].Version, func(t *testing.T) {
			t.Parallel()
			from, to := newServer(t, pair[0]), newServer(t, pair[1])
			fill(t, from.InfluxServer)
			to.create(t, "keep")
			to.write(t, "keep", "", points("kept", start(), time.Hour, 24*20))
			to.create(t, database)
			to.write(t, database, "", points("old", start(), time.Hour, 3))
			before, _ := to.metastore(t)
			to.exec(t, "", "DROP DATABASE "+influx.QuoteIdent(database))
			to.Stop()
			mergeInto(t, from, to)
			to.Start()

			if want, got := everything(t, from.http), everything(t, to.http); len(want) != 6 || !maps.Equal(want, got) {
				t.Errorf("source has %v, target %v", want, got)
			}
			after, _ := to.metastore(t)
			if after.ClusterID != before.ClusterID || after.Users != before.Users || len(after.Databases) != 2 {
				t.Errorf("before %+v, after %+v", before, after)
			}
			kept, err := to.http.CountMeasurement(t.Context(), "keep", "autogen", "kept", start(), start().AddDate(1, 0, 0))
			if err != nil || kept["value"] != 24*20 {
				t.Errorf("%v, %v", kept, err)
			}
			// New shards get ids of their own.
			to.write(t, database, "", points("new", start().AddDate(1, 0, 0), time.Hour, 1))
			last, _ := to.metastore(t)
			if last.MaxShardID != after.MaxShardID+1 || last.MaxShardGroupID != after.MaxShardGroupID+1 {
				t.Errorf("highest ids %d %d, then %d %d", after.MaxShardID, after.MaxShardGroupID, last.MaxShardID, last.MaxShardGroupID)
			}
		})
	}
}

// mergeInto writes metastore and shards into the folders of a stopped server.
func mergeInto(t *testing.T, from, to *server) {
	t.Helper()
	m, raw := from.metastore(t)
	file := filepath.Join(to.MetaDir, "meta.db")
	existing, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	blob, ids, err := influx.MergeMetastore(existing, raw, database)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, blob, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range m.Shards(database) {
		dir := filepath.Join(to.DataDir, database, s.RetentionPolicy, strconv.FormatUint(ids[s.ID], 10))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		unpack(t, shard(t, from.snap, s.ID), dir)
	}
}

func unpack(t *testing.T, archive []byte, dir string) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path.Base(h.Name)), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A subscription would have the target send what is written to it to
// production's subscribers; users and queries are production's own.
func TestARestoredDatabaseBringsNothingButData(t *testing.T) {
	t.Parallel()
	from, to := newServer(t, testbed.InfluxOptions{}), newServer(t, testbed.InfluxOptions{})
	fill(t, from.InfluxServer)
	from.exec(t, database, "CREATE USER u WITH PASSWORD 'p'",
		`CREATE SUBSCRIPTION "sub" ON "sensu_db"."autogen" DESTINATIONS ALL 'udp://127.0.0.1:9'`,
		`CREATE CONTINUOUS QUERY "cq" ON "sensu_db" BEGIN SELECT mean("idle") INTO "x" FROM "cpu" GROUP BY time(1m) END`)
	all, _ := from.metastore(t)
	gone := all.Shards(database)[0].ID
	from.exec(t, database, "DROP SHARD "+strconv.FormatUint(gone, 10))
	production, raw := from.metastore(t)
	blob, err := influx.RestoreBlob(raw, database)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := to.snap.UpdateMetastore(t.Context(), blob, database)
	if err != nil || len(ids) != len(production.Shards(database)) || ids[gone] != 0 {
		t.Errorf("ids %v, %v", ids, err)
	}
	for _, statement := range []string{"SHOW SUBSCRIPTIONS", "SHOW USERS", "SHOW CONTINUOUS QUERIES"} {
		series, err := to.http.Query(t.Context(), "", statement)
		for _, s := range series {
			if len(s.Values) > 0 {
				t.Errorf("%s: %v", statement, s)
			}
		}
		if err != nil {
			t.Error(err)
		}
	}
	if restored, _ := to.metastore(t); restored.ClusterID == production.ClusterID || production.Users != 1 || restored.Users != 0 {
		t.Errorf("production %+v, restored %+v", production, restored)
	}
	if _, _, err := influx.MergeMetastore(nil, raw, database); err == nil {
		t.Error("an empty file passed for a server's metastore")
	}
}
