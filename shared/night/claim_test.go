package night_test

import (
	"testing"

	"nightshard/shared/night"
)

func TestAMarkNamesItsDatabase(t *testing.T) {
	t.Parallel()
	day := day(t, "2016-06-01")
	for _, db := range []string{"sensu_db", "with.dots", "with/slash", "ü ber"} {
		if got, ok := night.ClaimedBy(day, night.ClaimObject(day, db)); !ok || got != db {
			t.Errorf("the mark of %q is that of %q, %v", db, got, ok)
		}
	}
	for _, object := range []string{night.RunObject(day), night.ManifestObject(day), "2016-06-02/incoming/run/a.json", "2016-06-01/incoming/run/a"} {
		if db, ok := night.ClaimedBy(day, object); ok {
			t.Errorf("%s is the mark of %q", object, db)
		}
	}
}

func TestAnArchiveShowsThatItIsAnotherDatabases(t *testing.T) {
	t.Parallel()
	day := day(t, "2016-06-01")
	for object, want := range map[string]bool{
		"2016-06-01/shards/sensu_db.main.00002.00":           false,
		"2016-06-01/shards/sensu_db.main.00020_.00":          false,
		"2016-06-01/incoming/shards/sensu_db.main.00002.00":  false,
		"2016-06-01/shards/meta.00":                          false,
		"2016-06-01/incoming/shards/meta.00":                 false,
		"2016-06-01/incoming/run.json":                       false,
		"2016-06-01/influxdb/cpu_2016-06-01-00:00:00_x.json": false,
		"2016-06-01/shards/sensu_db2.main.00002.00":          true,
		"2016-06-01/shards/telegraf.autogen.00020_.00":       true,
		"2016-06-01/incoming/shards/telegraf.a%2Eb.00002.00": true,
	} {
		if got := night.ArchiveOfAnother(day, "sensu_db", object); got != want {
			t.Errorf("%s: %v, want %v", object, got, want)
		}
	}
}
