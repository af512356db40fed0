package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nightshard/shared/objstore/memory"
	"nightshard/shared/service"
)

func TestRestoreFilesBringsADay(t *testing.T) {
	t.Parallel()
	store := memory.New()
	goodDay(t, store, "2016-06-01")
	dumpOf(t, store, "2016-06-01", "cpu", "true")
	dir := filepath.Join(t.TempDir(), "a day")
	c := cli{store: store}
	r := c.run(t, "restore-files", "2016-06-01", dir).done(t)
	r.shows(t, "2 shards and the metastore of 2016-06-01", dir+"\n", "  influxd restore -metadir /var/lib/influxdb/meta -datadir /var/lib/influxdb/data -database db '"+dir+"'\n")
	var names []string
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
		if info, err := f.Info(); err != nil || info.Mode() != secretMode {
			t.Errorf("%s: mode %v, %v", f.Name(), info.Mode(), err)
		}
	}
	if got := strings.Join(names, " "); got != "db.autogen.00009.00 db.autogen.00010_.00 meta.00" {
		t.Errorf("brought were %s", got)
	}
	c.run(t, "restore-files", "2016-06-01", dir).done(t).shows(t, "3 of the files were there already")
	report := decode[filesReport](t, c.run(t, "restore-files", "2016-06-01", dir, "--json").done(t))
	if report.Kept != 3 || report.Shards != 2 || report.Database != "db" || report.Command[len(report.Command)-1] != dir {
		t.Errorf("report %+v", report)
	}
}

func TestRestoreFilesRefusesWhatIsNotWhole(t *testing.T) {
	t.Parallel()
	store := memory.New()
	cutDay(t, store, "2016-06-02")
	put(t, store, "2016-06-03", "2016-06-03/incoming/run.json", []byte("{}"), nil)
	dumpOf(t, store, "2016-06-04", "cpu", "true")
	oldDay(t, store, "2016-06-05") // its archives are none
	for args, want := range map[string]string{
		"2016-06-01": "no container of that name",
		"2016-06-02": "it has 512 bytes, 1024 were sent",
		"2016-06-03": "unfinished",
		"2016-06-04": "no backup",
		"2016-06-05": "verify shard archive",
	} {
		dir := t.TempDir()
		r := cli{store: store}.run(t, "restore-files", args, dir)
		if r.code != service.ExitFailed || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit code %d, %s", args, r.code, r.err)
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "db*")); len(files) > 0 {
			t.Errorf("%s: brought were %v", args, files)
		}
	}
	for _, args := range []string{"restore-files 2016-06-01", "restore-files newest x", "restore-files 2016-06-01 x --parallel 0"} {
		if r := (cli{store: store}).run(t, strings.Fields(args)...); r.code != service.ExitMisuse {
			t.Errorf("%s: exit code %d, %s", args, r.code, r.err)
		}
	}
}

func TestTransferTextSaysHowLongTheRestTakes(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct {
		done, total int64
		after       time.Duration
	}{
		"0 B of 10.0 MB":                           {0, 10e6, time.Minute},
		"5.0 MB of 10.0 MB":                        {5e6, 10e6, time.Millisecond},
		"5.0 MB of 10.0 MB, 1.0 MB/s, 5s left":     {5e6, 10e6, 5 * time.Second},
		"1.0 MB of 1.0 GB, 100.0 kB/s, 2h46m left": {1e6, 1e9, 10 * time.Second},
	} {
		if got := transferText(c.done, c.total, c.after); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestShellLineIsReadAsItWasMeant(t *testing.T) {
	t.Parallel()
	if got := shellLine([]string{"influxd", "-x", "", "a b", "it's", "/a/b_c.00"}); got != `influxd -x '' 'a b' 'it'\''s' /a/b_c.00` {
		t.Errorf("got %s", got)
	}
}
