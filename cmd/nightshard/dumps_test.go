package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshard/shared/objstore"
	"nightshard/shared/objstore/memory"
	"nightshard/shared/objstore/objstoretest"
	"nightshard/shared/service"
)

// june has dumps on four days: cpu on all but the third, disk/free on the last,
// where it is not complete.
func june(t *testing.T) objstore.Account {
	t.Helper()
	store := memory.New()
	for day, text := range map[string]string{
		"2016-06-01": "[\n{\"time\":\"2016-06-01T00:00:00Z\",\"big\":9007199254740993}\n]\n",
		"2016-06-02": "[\n{\"n\":2},\n{\"n\":3,\"s\":\"a]b,{\"}\n]\n",
		"2016-06-04": `[{"n":4}]`,
	} {
		put(t, store, day, day+"/influxdb/cpu_"+day+"-00:00:00_"+mustDay(t, day).Add(1).String()+"-00:00:00.json", []byte(text), nil)
	}
	oldDay(t, store, "2016-06-03")
	dumpOf(t, store, "2016-06-04", "disk/free", "false")
	return store
}

func fileOf(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDumpsOfAMonthComeIntoOneFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "june")
	c := cli{store: june(t), change: func(a *app) {
		a.now = func() time.Time { return time.Date(2016, 6, 5, 1, 0, 0, 0, time.UTC) }
	}}
	r := c.run(t, "dumps", "2016-06", dir).done(t)
	r.shows(t, "4 files of 2 measurements, 105 B, in 0s: "+dir)
	for _, note := range []string{"2016-06-03 has no dump\n", "2016-06-05 has no dump\n", "disk%2Ffree_2016-06-04-00:00:00_2016-06-05-00:00:00.json lacks the day's last minutes"} {
		if !strings.Contains(r.err, note) {
			t.Errorf("it is not said that %s: %s", note, r.err)
		}
	}
	if strings.Contains(r.err, "2016-06-06") {
		t.Errorf("a day to come is missed: %s", r.err)
	}
	if text := fileOf(t, dir, "cpu_2016-06-04-00:00:00_2016-06-05-00:00:00.json"); text != `[{"n":4}]` {
		t.Errorf("a dump holds %s", text)
	}
	c.run(t, "dumps", "2016-06", dir).done(t).shows(t, "4 of them were there already")
}

func TestDumpsOfOneMeasurementAsJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := decode[dumpsReport](t, cli{store: june(t)}.run(t, "dumps", "2016-06-01..2016-06-04", dir, "-m", "disk/free", "--json").done(t))
	if len(r.Files) != 1 || r.Files[0].Measurement != "disk/free" || r.Files[0].Complete == nil || *r.Files[0].Complete ||
		r.Files[0].MD5 != objstoretest.MD5([]byte("[\n]\n")) || len(r.Missing) != 3 {
		t.Errorf("report %+v", r)
	}
}

func TestMergedDumpsAreOneValidDocument(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := objstoretest.NewFaulty(june(t), // the second dump breaks once in its middle
		objstoretest.Fault{Op: objstoretest.Get, Name: "2016-06-02/influxdb/cpu_2016-06-02-00:00:00_2016-06-03-00:00:00.json", Call: 1, Corrupt: true, After: 20})
	r := decode[dumpsReport](t, cli{store: store}.run(t, "dumps", "2016-06-0*", dir, "--merge", "--json").done(t))
	if len(r.Files) != 2 || r.Files[0].Records != 4 || r.Files[0].Days != 3 || r.Files[1].Records != 0 {
		t.Errorf("report %+v", r)
	}
	text := fileOf(t, dir, "cpu_2016-06-01-00:00:00_2016-06-05-00:00:00.json")
	want := "[\n{\"time\":\"2016-06-01T00:00:00Z\",\"big\":9007199254740993},\n{\"n\":2},\n{\"n\":3,\"s\":\"a]b,{\"},\n{\"n\":4}\n]\n"
	if text != want || int64(len(text)) != r.Files[0].Bytes {
		t.Errorf("merged to %s", text)
	}
	for _, f := range r.Files {
		if !json.Valid([]byte(fileOf(t, dir, filepath.Base(f.File)))) {
			t.Errorf("%s is not valid", f.File)
		}
	}
	if parts, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(parts) > 0 {
		t.Errorf("left behind: %v", parts)
	}
}

func TestADocumentThatCannotBeMergedIsNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{`{"a":1}`: "it begins with {", `[{"a":]`: "invalid character", `[{"a":1}`: "cut off", "": "cut off"} {
		store := memory.New()
		name := "2016-06-01/influxdb/cpu_2016-06-01-00:00:00_2016-06-02-00:00:00.json"
		put(t, store, "2016-06-01", name, []byte(text), nil)
		dir := t.TempDir()
		r := cli{store: store}.run(t, "dumps", "2016-06", dir, "--merge")
		if r.code != service.ExitFailed || !strings.Contains(r.err, name) || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit code %d, %s", text, r.code, r.err)
		}
		if files, _ := os.ReadDir(dir); len(files) > 0 {
			t.Errorf("left behind: %v", files)
		}
	}
}

func TestMissingDaysInARowAreOneLine(t *testing.T) {
	t.Parallel()
	lines := missingText([]missingDump{
		{Day: "2016-06-01"},
		{Day: "2016-06-29"},
		{Day: "2016-06-30"},
		{Day: "2016-07-01"},
		{Day: "2016-07-02", Measurement: "cpu"},
		{Day: "2016-07-03", Measurement: "cpu"},
		{Day: "2016-07-04", Measurement: "mem"},
	})
	want := []string{
		"2016-06-01 has no dump", "2016-06-29 to 2016-07-01 have no dump",
		"2016-07-02 to 2016-07-03 have no dump of cpu", "2016-07-04 has no dump of mem",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%q", lines)
	}
}

// mixed is june with one day in two formats more: as CSV, complete, and as
// Parquet.
func mixed(t *testing.T) objstore.Account {
	t.Helper()
	store := june(t)
	for format, measurement := range map[string]string{"csv.gz": "disk%2Ffree", "parquet": "cpu"} {
		put(t, store, "2016-06-04", "2016-06-04/influxdb/"+measurement+"_2016-06-04-00:00:00_2016-06-05-00:00:00."+format, []byte(format), map[string]string{metaComplete: "true"})
	}
	return store
}

func TestDumpsOfEveryFormatAreBrought(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := cli{store: mixed(t)}.run(t, "dumps", "2016-06-04", dir).done(t)
	r.shows(t, "4 files of 2 measurements")
	if !strings.Contains(r.err, "disk%2Ffree_2016-06-04-00:00:00_2016-06-05-00:00:00.json lacks the day's last minutes: csv.gz has them") {
		t.Errorf("it is not said where the last minutes are: %s", r.err)
	}
	if text := fileOf(t, dir, "cpu_2016-06-04-00:00:00_2016-06-05-00:00:00.parquet"); text != "parquet" {
		t.Errorf("a dump holds %s", text)
	}
	one := decode[dumpsReport](t, cli{store: mixed(t)}.run(t, "dumps", "2016-06", t.TempDir(), "--format", "csv.gz", "--json").done(t))
	if len(one.Files) != 1 || one.Files[0].Format != "csv.gz" || one.Files[0].Measurement != "disk/free" {
		t.Errorf("report %+v", one)
	}
	c := cli{store: mixed(t)}
	c.run(t, "show", "2016-06-04").done(t).shows(t, "csv.gz")
	c.run(t, "list").done(t).shows(t, "2016-06-04")
}

func TestOnlyJSONIsMerged(t *testing.T) {
	t.Parallel()
	c := cli{store: mixed(t)}
	r := c.run(t, "dumps", "2016-06", t.TempDir(), "--merge")
	if r.code != service.ExitMisuse || !strings.Contains(r.err, "cpu of 2016-06-04 is there as parquet: add --format json") {
		t.Errorf("exit code %d, %s", r.code, r.err)
	}
	c.run(t, "dumps", "2016-06", t.TempDir(), "--merge", "--format", "json").done(t).shows(t, "2 files of 2 measurements")
}

func TestDumpsThatAreNotThere(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"2015-06":              "there is none in 2015-06",
		"2016-06 -m mem":       "there is none in 2016-06 of mem",
		"2016-06 --format csv": "there is none in 2016-06 as csv",
	} {
		words := strings.Fields(args)
		r := cli{store: june(t)}.run(t, append([]string{"dumps", words[0], t.TempDir()}, words[1:]...)...)
		if r.code != service.ExitFailed || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit code %d, %s", args, r.code, r.err)
		}
	}
	for _, args := range []string{"dumps 2016-06", "dumps june x", "dumps 2016-06 x --parallel 0", "dumps 2016-06 x --format xml"} {
		if r := (cli{store: june(t)}).run(t, strings.Fields(args)...); r.code != service.ExitMisuse {
			t.Errorf("%s: exit code %d, %s", args, r.code, r.err)
		}
	}
}
