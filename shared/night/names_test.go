package night_test

import (
	"path"
	"strings"
	"testing"

	"nightshard/shared/night"
)

func day(t *testing.T, text string) night.Day {
	t.Helper()
	d, err := night.ParseDay(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestShardObjectsAreNamedAsTheOldScriptsNamedThem(t *testing.T) {
	t.Parallel()
	d := day(t, "2016-06-01")
	for _, c := range []struct {
		name   night.ShardName
		object string
		folder string
	}{
		{night.ShardName{Database: "sensu_db", RetentionPolicy: "default", ID: 2}, "2016-06-01/shards/sensu_db.default.00002.00", "sensu_db/default/2"},
		{night.ShardName{Database: "sensu_db", RetentionPolicy: "default", ID: 123456}, "2016-06-01/shards/sensu_db.default.123456.00", "sensu_db/default/123456"},
		{night.ShardName{Database: "sensu_db", RetentionPolicy: "default", ID: 20}, "2016-06-01/shards/sensu_db.default.00020_.00", "sensu_db/default/20/../20"},
		{night.ShardName{Database: "db", RetentionPolicy: "one.year", ID: 3}, "2016-06-01/shards/db.one%2Eyear.00003_.00", "db/one.year/3/../../one.year/3"},
		{night.ShardName{Database: "db", RetentionPolicy: "50%.x", ID: 100}, "2016-06-01/shards/db.50%25%2Ex.00100_.00", "db/50%.x/100/../../50%.x/100"},
	} {
		if got := c.name.Object(d); got != c.object {
			t.Errorf("object of %+v = %s, want %s", c.name, got, c.object)
		}
		if got := c.name.EntryFolder(); got != c.folder {
			t.Errorf("entries of %+v in %s, want %s", c.name, got, c.folder)
		}
		back, err := night.ParseShardObject(d, c.name.Database, c.object)
		if err != nil || back != c.name {
			t.Errorf("ParseShardObject(%s) = %+v, %v", c.object, back, err)
		}
	}
}

// restoreFolder is what influxd restore does with a file and an entry in it:
// the folder comes from the file's name, with its zeros trimmed, and the
// entry's path after its third part is added.
func restoreFolder(object, entry string) string {
	parts := strings.Split(path.Base(object), ".")
	folder := path.Join(parts[0], parts[1], strings.Trim(parts[2], "0"))
	return path.Dir(path.Join(folder, path.Join(strings.Split(entry, "/")[3:]...)))
}

func TestPlainRestorePutsEveryShardWhereItBelongs(t *testing.T) {
	t.Parallel()
	d := day(t, "2016-06-01")
	for _, rp := range []string{"default", "two_weeks", "a.b", "a..b%"} {
		for id := uint64(1); id <= 1200; id++ {
			n := night.ShardName{Database: "sensu_db", RetentionPolicy: rp, ID: id}
			if dots := strings.Count(path.Base(n.Object(d)), "."); dots != 3 {
				t.Fatalf("%s has %d dots, influxd restore wants 3", n.Object(d), dots)
			}
			want := path.Join("sensu_db", rp, strings.TrimLeft(path.Base(n.EntryFolder()), "0"))
			if got := restoreFolder(n.Object(d), n.EntryFolder()+"/000000001-000000001.tsm"); got != want {
				t.Fatalf("shard %d of %q lands in %s, want %s", id, rp, got, want)
			}
		}
	}
}

func TestOldFormIsRecognised(t *testing.T) {
	t.Parallel()
	for object, old := range map[string]bool{
		"2016-06-01/shards/sensu_db.default.00020.00":  true,
		"2016-06-01/shards/sensu_db.default.00020_.00": false,
		"2016-06-01/shards/sensu_db.default.00021.00":  false,
		"2016-06-01/shards/meta.00":                    false,
	} {
		if got := night.OldForm(object); got != old {
			t.Errorf("OldForm(%s) = %v", object, got)
		}
	}
}

func TestNamesThatAreNoShardAreRefusedByName(t *testing.T) {
	t.Parallel()
	d := day(t, "2016-06-01")
	for _, object := range []string{
		"2016-06-01/shards/meta.00", "2016-06-02/shards/sensu_db.default.00002.00", "2016-06-01/shards/other.default.00002.00",
		"2016-06-01/shards/sensu_db.default.2.00", "2016-06-01/shards/sensu_db.default.00000.00", "2016-06-01/shards/sensu_db.00002.00",
		"2016-06-01/shards/sensu_db.default.00002.01", "2016-06-01/shards/sensu_db.default.0000x.00", "",
	} {
		_, err := night.ParseShardObject(d, "sensu_db", object)
		if err == nil || !strings.Contains(err.Error(), object) {
			t.Errorf("ParseShardObject(%q): %v", object, err)
		}
	}
}

func TestDumpObjectEncodesOnlyWhatMustBe(t *testing.T) {
	t.Parallel()
	d := day(t, "2016-02-29")
	for measurement, part := range map[string]string{
		"cpu":             "cpu",
		"disk/usage":      "disk%2Fusage",
		"100%":            "100%25",
		".hidden":         "%2Ehidden",
		"a.b":             "a.b",
		"Größe in °C":     "Größe in °C",
		"line\nbreak\x7f": "line%0Abreak%7F",
		"c1\u0085":        "c1%C2%85",
		`say "hi"`:        `say "hi"`,
	} {
		object, err := night.DumpObject(d, measurement)
		if want := "2016-02-29/influxdb/" + part + "_2016-02-29-00:00:00_2016-03-01-00:00:00.json"; err != nil || object != want {
			t.Errorf("DumpObject(%q) = %q, %v; want %q", measurement, object, err, want)
		}
		if back, ok := night.ParseDumpObject(d, object); !ok || back != measurement {
			t.Errorf("ParseDumpObject(%q) = %q, %v", object, back, ok)
		}
	}
	if _, err := night.DumpObject(d, strings.Repeat("x", 1000)); err == nil {
		t.Error("a name over Swift's limit was taken")
	}
	if _, ok := night.ParseDumpObject(d, "2016-02-29/shards/meta.00"); ok {
		t.Error("a shard was taken for a dump")
	}
}

func TestADumpsNameSaysItsFormat(t *testing.T) {
	t.Parallel()
	d := day(t, "2016-02-29")
	for _, f := range night.Formats() {
		object, err := night.DumpObjectIn(d, "a/b.json", f)
		if want := "2016-02-29/influxdb/a%2Fb.json_2016-02-29-00:00:00_2016-03-01-00:00:00." + string(f); err != nil || object != want {
			t.Errorf("DumpObjectIn(%s) = %q, %v; want %q", f, object, err, want)
		}
		if got, ok := night.DumpFormat(d, object); !ok || got != f {
			t.Errorf("DumpFormat(%q) = %q, %v", object, got, ok)
		}
		if back, ok := night.ParseDumpObject(d, object); !ok || back != "a/b.json" {
			t.Errorf("ParseDumpObject(%q) = %q, %v", object, back, ok)
		}
		if got, err := night.ParseFormat(string(f)); err != nil || got != f {
			t.Errorf("ParseFormat(%s) = %q, %v", f, got, err)
		}
	}
	if plain, compressed := night.CSVGz.Plain(); plain != night.CSV || !compressed {
		t.Errorf("csv.gz is %s, compressed %v", plain, compressed)
	}
	for _, object := range []string{
		"2016-02-29/influxdb/cpu_2016-02-29-00:00:00_2016-03-01-00:00:00.xml", "2016-02-29/influxdb/cpu_2016-02-29-00:00:00_2016-03-01-00:00:00.gz",
		"2016-02-29/influxdb/cpu.csv", "2016-02-28/influxdb/cpu_2016-02-29-00:00:00_2016-03-01-00:00:00.csv",
	} {
		if f, ok := night.DumpFormat(d, object); ok {
			t.Errorf("%s was taken for a dump as %s", object, f)
		}
	}
	if _, err := night.ParseFormat("xml"); err == nil || !strings.Contains(err.Error(), `"xml"`) || !strings.Contains(err.Error(), "parquet") {
		t.Errorf("ParseFormat(xml): %v", err)
	}
}

func TestStagedNamesComeBack(t *testing.T) {
	t.Parallel()
	d := day(t, "2016-06-01")
	for _, object := range []string{night.MetaObject(d), night.ManifestObject(d), "2016-06-01/shards/a.b.00001.00"} {
		staged := night.Staged(d, object)
		if !strings.HasPrefix(staged, "2016-06-01/incoming/") || night.Unstaged(d, staged) != object {
			t.Errorf("Staged(%s) = %s, back %s", object, staged, night.Unstaged(d, staged))
		}
	}
}

func FuzzShardObject(f *testing.F) {
	f.Add("sensu_db", "default", uint64(20))
	f.Add("db", "a.b%2E", uint64(1))
	f.Fuzz(func(t *testing.T, database, rp string, id uint64) {
		if id == 0 || database == "" || rp == "" || strings.ContainsAny(database+rp, "/") {
			t.Skip()
		}
		d := day(t, "2016-06-01")
		want := night.ShardName{Database: database, RetentionPolicy: rp, ID: id}
		got, err := night.ParseShardObject(d, database, want.Object(d))
		if err != nil {
			t.Fatalf("%+v does not come back from %q: %v", want, want.Object(d), err)
		}
		// Only a policy that itself looks encoded may come back changed.
		if got != want && !strings.Contains(rp, "%2E") {
			t.Fatalf("%+v comes back from %q as %+v", want, want.Object(d), got)
		}
	})
}

func FuzzParseShardObjectNeverPanics(f *testing.F) {
	f.Add("2016-06-01/shards/sensu_db.default.00020_.00")
	f.Add("2016-06-01/shards/sensu_db..00.00")
	f.Fuzz(func(t *testing.T, object string) {
		d := day(t, "2016-06-01")
		if n, err := night.ParseShardObject(d, "sensu_db", object); err == nil && (n.ID == 0 || n.RetentionPolicy == "") {
			t.Fatalf("%q gives %+v", object, n)
		}
		night.ParseDumpObject(d, object)
	})
}
