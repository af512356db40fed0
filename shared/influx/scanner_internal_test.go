package influx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// scan reads an answer and gives its rows as text.
func scan(r io.Reader) ([]string, error) {
	var rows []string
	err := newScanner(r, func(columns []string, values [][]byte) error {
		rows = append(rows, rowText(columns, values))
		return nil
	}).answer()
	return rows, err
}

func rowText(columns []string, values [][]byte) string {
	var row strings.Builder
	row.WriteString(strings.Join(columns, ",") + ":")
	for _, v := range values {
		if v == nil {
			v = []byte("NIL")
		}
		row.WriteString(" " + string(v))
	}
	return row.String()
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
	for name, answer := range map[string]string{
		"the last chunk is missing": chunkA,
		"a row limit cut a series":  `{"results":[{"series":[{"columns":["a"],"values":[[1]],"partial":true}]}]}`,
		"only the result says so":   `{"results":[{"partial":true,"series":[{"columns":["a"],"values":[[1]]}]}]}`,
		"nothing but an object":     `{}`,
		"no result":                 `{"results":[]}`,
	} {
		if _, err := scan(strings.NewReader(answer)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestServersErrorAmongTheRowsIsAnError(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		chunkA + `{"results":[{"statement_id":0,"error":"query-timeout limit exceeded"}]}`,
		chunkA + `{"error":"query-timeout limit exceeded"}`,
		`{"error":"query-timeout limit exceeded"}`,
		`{"results":[{"statement_id":0,"series":[{"columns":["a"],"values":[[1]]}],"error":"query-timeout limit exceeded"}]}`,
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
	for _, answer := range []string{
		`{"results":[{"statement_id":0}]}` + "\n", `{"results":[{"statement_id":0,"series":null}]}`,
		`{"results":[{"statement_id":0,"messages":[{"level":"warning","text":"x"}],"series":[]}]}`,
	} {
		if rows, err := scan(strings.NewReader(answer)); err != nil || len(rows) != 0 {
			t.Errorf("%q, %v", rows, err)
		}
	}
	if _, err := scan(strings.NewReader("")); err == nil {
		t.Error("an empty body was taken for an answer")
	}
}

func TestOnlyJSONPasses(t *testing.T) {
	t.Parallel()
	for _, v := range []string{
		`01`, `1.`, `.5`, `-`, `1e`, `1e+`, `+1`, `1-2`, `0x1`, `nul`, `nulL`, `True`, `truefalse`, "\"\x01\"", `"\x"`, `"\u12g4"`, `"\u12"`,
		`{`, `[}`, `{"a"}`, `[1,]`, `'a'`, `1,`, ``, `NaN`,
	} {
		if _, err := scan(strings.NewReader(`{"results":[{"series":[{"columns":["a"],"values":[[` + v + `]]}]}]}`)); err == nil {
			t.Errorf("%s passed", v)
		}
	}
	for _, v := range []string{`0`, `-0`, `-0.50`, `1E+9`, `1e-09`, `"\u12aF\/\b"`, `{"a":[1,{}]}`, `false`, `""`} {
		rows, err := scan(iotest.OneByteReader(strings.NewReader(`{"results":[{"series":[{"columns":["a"],"values":[[` + v + `]]}]}]}`)))
		if err != nil || len(rows) != 1 || rows[0] != "a: "+v {
			t.Errorf("%s: %q, %v", v, rows, err)
		}
	}
}

func TestTheCallersErrorEndsTheScan(t *testing.T) {
	t.Parallel()
	mine, calls := errors.New("mine"), 0
	s := newScanner(strings.NewReader(chunkA+chunkB), func([]string, [][]byte) error { calls++; return mine })
	if err := s.answer(); !errors.Is(err, mine) || calls != 1 || !errors.Is(s.rowErr, mine) {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestARowsMemoryIsBounded(t *testing.T) {
	t.Parallel()
	endless := io.MultiReader(strings.NewReader(`{"results":[{"series":[{"columns":["time"],"values":[["`), endlessText{})
	if _, err := scan(endless); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("%v", err)
	}
}

func TestManySmallRowsNeedNoLargerBuffer(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	for range 50 {
		b.WriteString(bigChunk(1000, true))
	}
	b.WriteString(bigChunk(1, false))
	rows := 0
	s := newScanner(&b, func([]string, [][]byte) error { rows++; return nil })
	if err := s.answer(); err != nil || rows != 50_001 || cap(s.buf) != 64<<10 {
		t.Errorf("%d rows, buffer of %d bytes, %v", rows, cap(s.buf), err)
	}
}

type endlessText struct{}

func (endlessText) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// bigChunk makes a chunk as the server writes it.
func bigChunk(rows int, partial bool) string {
	var b strings.Builder
	b.WriteString(`{"results":[{"statement_id":0,"series":[{"name":"metrics","columns":["time","entity","value","count","ok","text"],"values":[`)
	for i := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `["2016-06-01T00:00:%02d.123456789Z","web-%d.example.org",%d.25,%d,true,"some \"quoted\" output"]`, i%60, i%97, i, i*1_000_003)
	}
	if partial {
		b.WriteString(`],"partial":true}],"partial":true}]}` + "\n")
	} else {
		b.WriteString(`]}]}]}` + "\n")
	}
	return b.String()
}

func BenchmarkScanner(b *testing.B) {
	answer := []byte(strings.Repeat(bigChunk(1000, true), 20) + bigChunk(1000, false))
	b.SetBytes(int64(len(answer)))
	b.ReportAllocs()
	for b.Loop() {
		if err := newScanner(bytes.NewReader(answer), func([]string, [][]byte) error { return nil }).answer(); err != nil {
			b.Fatal(err)
		}
	}
}
