//go:build !race

package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nightshard/shared/testbed"
)

// Steps of the old way, as its scripts ran them one after the other.
const (
	oldBackup   = "influxd backup"
	oldUpload   = "swift upload"
	oldList     = "swift stat, swift list"
	oldDownload = "swift download"
	oldEmpty    = "stop, empty the folders"
	oldRestore  = "influxd restore"
	oldStart    = "start, until it answers"
	oldPages    = "curl, pages of LIMIT 1000 OFFSET n"
	oldQuery    = "curl, one chunked query"
	oldConvert  = "conversion to records"
	oldSend     = "swift upload of the dump"
)

// oldWay runs the old pipeline with the tools that it had, against the servers
// that ours is measured with. Its intermediary is a server of the same version,
// of its own: it gets production's cluster id, which ours refuses to touch.
type oldWay struct {
	h     *house
	inter *testbed.InfluxServer
	swift string
	dir   string
}

func newOldWay(t *testing.T, h *house) *oldWay {
	t.Helper()
	return &oldWay{h: h, inter: testbed.Influx(t, testbed.InfluxOptions{}), swift: testbed.SwiftClient(t), dir: t.TempDir()}
}

// container is where the old way stores a day, beside the one that ours uses.
func (o *oldWay) container(day string) string { return "old-" + day }

// night runs all steps for a day. The dump in pages takes many times as long as
// all else: it is run when it is asked for.
func (o *oldWay) night(t *testing.T, day string, pages bool) round {
	t.Helper()
	r := round{}
	o.empty(t)
	o.backup(t, r, day)
	o.restore(t, r, day)
	o.dump(t, r, day)
	if pages {
		o.pages(t, r, day)
	}
	o.run(t, o.h.swift, o.swift, "delete", o.container(day))
	return r
}

// empty removes what the last night left on the disk.
func (o *oldWay) empty(t *testing.T) {
	t.Helper()
	must(t, emptied(o.dir))
}

// backup writes every shard to a folder, uploads it, and looks at what arrived.
func (o *oldWay) backup(t *testing.T, r round, day string) {
	t.Helper()
	folder := filepath.Join(day, "shards")
	must(t, os.MkdirAll(filepath.Join(o.dir, folder), 0o750))
	o.time(t, r, oldBackup, nil, o.h.prod.Binary, "backup", "-database", database, "-host", o.h.prod.Snapshot, folder)
	o.time(t, r, oldUpload, o.h.swift, o.swift, "upload", o.container(day), folder)
	o.time(t, r, oldList, o.h.swift, o.swift, "stat", o.container(day))
	o.time(t, r, oldList, o.h.swift, o.swift, "list", o.container(day))
}

// restore brings the day back into empty folders, and waits until the server
// answers a query for a row.
func (o *oldWay) restore(t *testing.T, r round, day string) {
	t.Helper()
	must(t, os.RemoveAll(filepath.Join(o.dir, day)))
	o.time(t, r, oldDownload, o.h.swift, o.swift, "download", o.container(day), "-p", day+"/shards/")
	r.time(oldEmpty, func() {
		o.inter.Stop()
		for _, dir := range []string{o.inter.MetaDir, o.inter.DataDir, o.inter.WALDir} {
			must(t, emptied(dir))
		}
	})
	o.time(t, r, oldRestore, nil, o.inter.Binary, "restore", "-metadir", o.inter.MetaDir, "-datadir", o.inter.DataDir,
		"-database", database, filepath.Join(day, "shards"))
	r.time(oldStart, func() {
		o.inter.Start()
		o.inter.Query(t, database, "SELECT * FROM main.cpu LIMIT 1")
	})
}

// dump asks for one day in one chunked query, converts the answer to records,
// and uploads them.
func (o *oldWay) dump(t *testing.T, r round, day string) {
	t.Helper()
	o.time(t, r, oldQuery, nil, "curl", curl(o.inter, o.statement(t, day), "raw.json")...)
	o.time(t, r, oldConvert, nil, "python3", "-c", converter, "raw.json", "dump.json")
	o.time(t, r, oldSend, o.h.swift, o.swift, "upload", o.container(day), "dump.json")
}

// pages asks for the same day as the scripts did it.
func (o *oldWay) pages(t *testing.T, r round, day string) {
	t.Helper()
	env := map[string]string{"URL": o.inter.URL, "DB": database, "QUERY": o.statement(t, day)}
	o.time(t, r, oldPages, env, "bash", "-c", pager)
}

// statement selects one day of cpu.
func (o *oldWay) statement(t *testing.T, day string) string {
	t.Helper()
	from, to := mustDay(t, day).Window(time.UTC)
	return selectDay(from, to)
}

func selectDay(from, to time.Time) string {
	return fmt.Sprintf("SELECT * FROM main.cpu WHERE time >= %d AND time < %d", from.UnixNano(), to.UnixNano())
}

// curl are the arguments that write the answer to a statement into a file.
func curl(s *testbed.InfluxServer, statement, file string) []string {
	return []string{
		"-sSfG", s.URL + "/query", "--data-urlencode", "db=" + database, "--data-urlencode", "q=" + statement,
		"-d", "chunked=true", "-d", "chunk_size=10000", "-o", file,
	}
}

// pager is the old script's loop.
const pager = `set -e
: >pages.json
for ((n = 0; ; n += 1000)); do
  curl -sSfG "$URL/query" --data-urlencode "db=$DB" --data-urlencode "q=$QUERY LIMIT 1000 OFFSET $n" -o page.json
  grep -q '"series"' page.json || break
  cat page.json >>pages.json
done`

// converter turns rows into records. It decodes and writes a chunk at a time,
// which Python does in C.
const converter = `import json, sys
write, first = open(sys.argv[2], "w").write, True
write("[")
for line in open(sys.argv[1]):
    for result in json.loads(line)["results"]:
        for series in result.get("series", ()):
            columns = series["columns"]
            records = [{k: v for k, v in zip(columns, row) if v is not None} for row in series["values"]]
            write(("\n" if first else ",\n") + json.dumps(records)[1:-1])
            first = False
write("\n]\n")`

// time runs a command and adds its time to a step of the round.
func (o *oldWay) time(t *testing.T, r round, step string, env map[string]string, name string, args ...string) {
	t.Helper()
	r.time(step, func() { o.run(t, env, name, args...) })
}

// run runs a command in the old way's folder. It is quiet unless it fails.
func (o *oldWay) run(t *testing.T, env map[string]string, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = o.dir, os.Environ()
	for k, v := range maps.All(env) {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// emptied makes a folder that is empty.
func emptied(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o750)
}
