package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"nightshard/shared/night"
)

// encode writes rows as one document.
func encode(t *testing.T, want map[string]int64, chunks ...func(*document) error) (string, error) {
	t.Helper()
	var out bytes.Buffer
	doc := &document{format: night.JSON, tally: tally{want: want}, report: func(int64) {}}
	if err := doc.begin(&out); err != nil {
		return "", err
	}
	for _, chunk := range chunks {
		if err := chunk(doc); err != nil {
			return "", err
		}
	}
	if err := doc.tally.check(); err != nil {
		return "", err
	}
	if err := doc.end(); err != nil {
		return "", err
	}
	return out.String(), nil
}

func row(columns []string, values ...string) func(*document) error {
	raw := make([][]byte, len(values))
	for i, v := range values {
		if v != "null" {
			raw[i] = []byte(v)
		}
	}
	return func(d *document) error { return d.row(columns, raw) }
}

func TestDocumentIsOneRecordALine(t *testing.T) {
	t.Parallel()
	columns := []string{"time", "host", `we"ird <k&y>`, "n"}
	var out bytes.Buffer
	doc := &document{format: night.JSON, tally: tally{want: map[string]int64{"n": 2, `we"ird <k&y>`: 1}}, report: func(int64) {}}
	if err := doc.begin(&out); err != nil {
		t.Fatal(err)
	}
	for _, r := range []func(*document) error{
		row(columns, `"2016-06-01T00:00:00Z"`, `"a\nb"`, `"x"`, `9223372036854775807`),
		row(columns, `"2016-06-01T00:00:00.000000001Z"`, "null", "null", `-9007199254740993`),
	} {
		if err := r(doc); err != nil {
			t.Fatal(err)
		}
	}
	if err := doc.tally.check(); err != nil {
		t.Fatal(err)
	}
	if err := doc.end(); err != nil {
		t.Fatal(err)
	}
	want := "[\n" +
		`{"time":"2016-06-01T00:00:00Z","host":"a\nb","we\"ird <k&y>":"x","n":9223372036854775807}` + ",\n" +
		`{"time":"2016-06-01T00:00:00.000000001Z","n":-9007199254740993}` + "\n]\n"
	if out.String() != want {
		t.Errorf("document:\n%s\nwant:\n%s", out.String(), want)
	}
	if !json.Valid(out.Bytes()) {
		t.Error("not valid JSON")
	}
}

func TestAMissingOrRepeatedRecordIsNoticed(t *testing.T) {
	t.Parallel()
	columns := []string{"time", "v"}
	for what, want := range map[string]int64{"missing": 3, "repeated": 1} {
		_, err := encode(t, map[string]int64{"v": want}, row(columns, `"a"`, "1"), row(columns, `"b"`, "2"))
		if err == nil || !strings.Contains(err.Error(), `field "v" has 2 values`) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := encode(t, map[string]int64{"v": 2, "w": 1}, row(columns, `"a"`, "1"), row(columns, `"b"`, "2")); err == nil {
		t.Error("a field that is missing everywhere was not noticed")
	}
}

func TestColumnsMayChangeBetweenChunks(t *testing.T) {
	t.Parallel()
	out, err := encode(t, map[string]int64{"v": 2, "w": 1},
		row([]string{"time", "v"}, `"a"`, "1"), row([]string{"time", "w", "v"}, `"b"`, "2", "3"))
	if err != nil || !strings.Contains(out, `{"time":"b","w":2,"v":3}`) {
		t.Errorf("%s, %v", out, err)
	}
}

func TestATagWithAFieldsNameDoesNotConfuseTheCount(t *testing.T) {
	t.Parallel()
	if _, err := encode(t, map[string]int64{"host": 1}, row([]string{"time", "host", "host_1"}, `"a"`, `"tag"`, "null"), row([]string{"time", "host", "host_1"}, `"b"`, `"tag"`, "5")); err != nil {
		t.Error(err)
	}
}
