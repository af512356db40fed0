package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"nightshard/shared/influx"
	"nightshard/shared/night"
)

// odd is a table with names and values of every kind that has bitten somebody.
func odd() (table []influx.Column, rows []func(*document) error) {
	table = []influx.Column{
		{Name: "time", Type: influx.TypeTime},
		{Name: "a,b.c", Type: influx.TypeTag},
		{Name: `say "hi"`, Type: influx.TypeString},
		{Name: "n", Type: influx.TypeInteger},
		{Name: "f", Type: influx.TypeFloat},
		{Name: "ok", Type: influx.TypeBoolean},
		{Name: "mixed", Type: typeMixed},
		{Name: "größe\n", Type: influx.TypeFloat},
	}
	names := make([]string, len(table))
	for i, c := range table {
		names[i] = c.Name
	}
	return table, []func(*document) error{
		row(names, `"2016-06-01T00:00:00Z"`, `"web,01"`, `"line\nbreak \"x\" \u003ct\u003e ü"`, `9223372036854775807`, `0.1`, `true`, `9007199254740993`, `1e+300`),
		row(names, `"2016-06-01T00:00:00.000000001Z"`, "null", `""`, `-9223372036854775808`, `5`, `false`, `1.5`, "null"),
		row(names, `"2016-06-01T23:59:59.999999999Z"`, `" spaced "`, "null", "null", `-0.000001`, "null", `"text"`, `2`),
		// Another shard has fewer columns, in another order.
		row([]string{"time", "n", "a,b.c"}, `"2016-06-02T00:00:00Z"`, `0`, `"back\\slash"`),
	}
}

// write writes rows as one document and gives its bytes.
func write(t *testing.T, f night.Format, table []influx.Column, rows []func(*document) error) []byte {
	t.Helper()
	var out bytes.Buffer
	doc := &document{format: f, table: table, report: func(int64) {}}
	if err := doc.begin(&out); err != nil {
		t.Fatalf("%s: %v", f, err)
	}
	for _, r := range rows {
		if err := r(doc); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
	}
	if err := doc.end(); err != nil {
		t.Fatalf("%s: %v", f, err)
	}
	return out.Bytes()
}

// tool runs one of the machine's tools on a file.
func tool(t *testing.T, data []byte, name string, args ...string) string {
	t.Helper()
	need(t, name)
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("%s %v: %v: %s", name, args, err, e.Stderr)
		}
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return string(out)
}

// need finds one of the machine's tools, or ends the test as the testbed does
// for a server.
func need(t *testing.T, name string) {
	t.Helper()
	_, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("TESTBED_REQUIRED") == "1":
		t.Fatalf("%s is not installed, and TESTBED_REQUIRED=1", name)
	default:
		t.Skipf("%s is not installed", name)
	}
}

// unpacked is what zcat makes of a compressed dump, and of another one itself.
func unpacked(t *testing.T, f night.Format, data []byte) string {
	t.Helper()
	if _, compressed := f.Plain(); compressed {
		return tool(t, data, "zcat")
	}
	return string(data)
}

// records are those of a dump as Python's own json module reads them: with
// integers of any size.
const readJSON = `
import json, sys
plain = sys.argv[1] == "json"
rows = json.load(sys.stdin) if plain else [json.loads(line) for line in sys.stdin]
for r in rows:
    print(sorted((k, repr(v)) for k, v in r.items()))
`

func TestJSONIsReadWithAllDigits(t *testing.T) {
	t.Parallel()
	table, rows := odd()
	want := []string{
		`[('a,b.c', "'web,01'"), ('f', '0.1'), ('größe\n', '1e+300'), ('mixed', '9007199254740993'), ('n', '9223372036854775807'), ('ok', 'True'), ('say "hi"', '\'line\\nbreak "x" <t> ü\''), ('time', "'2016-06-01T00:00:00Z'")]`,
		`[('f', '5'), ('mixed', '1.5'), ('n', '-9223372036854775808'), ('ok', 'False'), ('say "hi"', "''"), ('time', "'2016-06-01T00:00:00.000000001Z'")]`,
		`[('a,b.c', "' spaced '"), ('f', '-1e-06'), ('größe\n', '2'), ('mixed', "'text'"), ('time', "'2016-06-01T23:59:59.999999999Z'")]`,
		`[('a,b.c', "'back\\\\slash'"), ('n', '0'), ('time', "'2016-06-02T00:00:00Z'")]`,
	}
	for _, f := range []night.Format{night.JSON, night.NDJSON, night.JSONGz, night.NDJSONGz} {
		text := unpacked(t, f, write(t, f, table, rows))
		plain, _ := f.Plain()
		got := tool(t, []byte(text), "python3", "-X", "utf8", "-c", readJSON, string(plain))
		if got != strings.Join(want, "\n")+"\n" {
			t.Errorf("%s: Python reads\n%s\nwant\n%s", f, got, strings.Join(want, "\n"))
		}
		// jq counts the records of an array, or the lines.
		count := "length"
		if plain == night.NDJSON {
			count = "[inputs, .] | length"
		}
		if n := tool(t, []byte(text), "jq", count); n != "4\n" {
			t.Errorf("%s: jq counts %s", f, n)
		}
	}
}

const readCSV = `
import csv, sys
sys.stdin.reconfigure(newline="")
for r in csv.reader(sys.stdin, strict=True):
    print(r)
`

func TestCSVIsReadByPython(t *testing.T) {
	t.Parallel()
	table, rows := odd()
	want := strings.Join([]string{
		`['time', 'a,b.c', 'say "hi"', 'n', 'f', 'ok', 'mixed', 'größe\n']`,
		`['2016-06-01T00:00:00Z', 'web,01', 'line\nbreak "x" <t> ü', '9223372036854775807', '0.1', 'true', '9007199254740993', '1e+300']`,
		`['2016-06-01T00:00:00.000000001Z', '', '', '-9223372036854775808', '5', 'false', '1.5', '']`,
		`['2016-06-01T23:59:59.999999999Z', ' spaced ', '', '', '-0.000001', '', 'text', '2']`,
		`['2016-06-02T00:00:00Z', 'back\\slash', '', '0', '', '', '', '']`,
	}, "\n") + "\n"
	for _, f := range []night.Format{night.CSV, night.CSVGz} {
		text := unpacked(t, f, write(t, f, table, rows))
		if got := tool(t, []byte(text), "python3", "-X", "utf8", "-c", readCSV); got != want {
			t.Errorf("%s: Python reads\n%s\nwant\n%s", f, got, want)
		}
		if !strings.Contains(text, `2016-06-01T00:00:00.000000001Z,,"",-9223372036854775808`) {
			t.Errorf("%s: an empty string is not told from a missing value:\n%s", f, text)
		}
	}
}

// cells reads a Parquet file by the library's own reader: the names of its
// columns, and the rows, missing values left out.
func cells(t *testing.T, data []byte) (names []string, rows []map[string]any, file *parquet.File) {
	t.Helper()
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range file.Schema().Columns() {
		names = append(names, path[0])
	}
	for _, group := range file.RowGroups() {
		in := group.Rows()
		buf := make([]parquet.Row, 64)
		for {
			n, err := in.ReadRows(buf)
			for _, r := range buf[:n] {
				rows = append(rows, cellsOf(names, r))
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return names, rows, file
}

func cellsOf(names []string, r parquet.Row) map[string]any {
	out := map[string]any{}
	for _, v := range r {
		switch {
		case v.IsNull():
		case v.Kind() == parquet.Boolean:
			out[names[v.Column()]] = v.Boolean()
		case v.Kind() == parquet.Int64:
			out[names[v.Column()]] = v.Int64()
		case v.Kind() == parquet.Double:
			out[names[v.Column()]] = v.Double()
		default:
			out[names[v.Column()]] = string(v.ByteArray())
		}
	}
	return out
}

func TestParquetKeepsTypesAndDigits(t *testing.T) {
	t.Parallel()
	table, rows := odd()
	names, got, file := cells(t, write(t, night.Parquet, table, rows))
	if want := []string{"time", "a,b.c", `say "hi"`, "n", "f", "ok", "mixed", "größe\n"}; !reflect.DeepEqual(names, want) {
		t.Errorf("columns %q, want %q", names, want)
	}
	at := func(text string) int64 {
		v, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return v.UnixNano()
	}
	want := []map[string]any{
		{"time": at("2016-06-01T00:00:00Z"), "a,b.c": "web,01", `say "hi"`: "line\nbreak \"x\" <t> ü", "n": int64(9223372036854775807), "f": 0.1, "ok": true, "mixed": "9007199254740993", "größe\n": 1e300},
		{"time": at("2016-06-01T00:00:00.000000001Z"), `say "hi"`: "", "n": int64(-9223372036854775808), "f": 5.0, "ok": false, "mixed": "1.5"},
		{"time": at("2016-06-01T23:59:59.999999999Z"), "a,b.c": " spaced ", "f": -0.000001, "mixed": "text", "größe\n": 2.0},
		{"time": at("2016-06-02T00:00:00Z"), "n": int64(0), "a,b.c": `back\slash`},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("rows %v\nwant %v", got, want)
	}
	if logical := file.Schema().Fields()[0].Type().String(); logical != "TIMESTAMP(isAdjustedToUTC=true,unit=NANOS)" {
		t.Errorf("the time is %s", logical)
	}
	types, _ := file.Lookup(typesKey)
	var said map[string]string
	if err := json.Unmarshal([]byte(types), &said); err != nil || said["a,b.c"] != "tag" || said["mixed"] != "mixed" || said["n"] != "integer" {
		t.Errorf("types %s, %v", types, err)
	}
}

func TestAValueThatIsNotOfItsColumnIsAnError(t *testing.T) {
	t.Parallel()
	table := []influx.Column{{Name: "time", Type: influx.TypeTime}, {Name: "n", Type: influx.TypeInteger}}
	for name, r := range map[string]func(*document) error{
		`write column "n"`:  row([]string{"time", "n"}, `"2016-06-01T00:00:00Z"`, `1.5`),
		`place column "no"`: row([]string{"time", "no"}, `"2016-06-01T00:00:00Z"`, `1`),
	} {
		doc := &document{format: night.Parquet, table: table, report: func(int64) {}}
		if err := doc.begin(io.Discard); err != nil {
			t.Fatal(err)
		}
		if err := r(doc); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %s", err, name)
		}
	}
}

func TestColumnsOfSeveralShardsAreMerged(t *testing.T) {
	t.Parallel()
	first := []influx.Column{{Name: "time", Type: influx.TypeTime}, {Name: "b", Type: influx.TypeInteger}, {Name: "host", Type: influx.TypeTag}, {Name: "t", Type: influx.TypeTag}}
	second := []influx.Column{{Name: "time", Type: influx.TypeTime}, {Name: "a", Type: influx.TypeString}, {Name: "b", Type: influx.TypeFloat}, {Name: "host", Type: influx.TypeTag}, {Name: "t", Type: influx.TypeString}}
	got := fmt.Sprint(merge(merge(nil, first), second))
	if want := "[{time time} {a string} {b mixed} {host tag} {t string}]"; got != want {
		t.Errorf("merged %s, want %s", got, want)
	}
}
