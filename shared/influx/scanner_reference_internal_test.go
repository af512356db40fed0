package influx

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// TestAnyRegularAnswerIsRead makes answers of random shape and layout.
func TestAnyRegularAnswerIsRead(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		answer := g.answer()
		want, err := reference(answer)
		if err != nil {
			t.Fatalf("seed %d: the test itself: %v", seed, err)
		}
		got, err := scan(iotest.HalfReader(bytes.NewReader(answer)))
		if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("seed %d: %v\n%s\n%q\n%q", seed, err, answer, got, want)
		}
	}
}

type generator struct{ *rand.Rand }

// pick gives one of the texts.
func (g generator) pick(texts ...string) string { return texts[g.IntN(len(texts))] }

func (g generator) space() string { return g.pick("", "", "", " ", "\n", "\t \r\n") }

// list joins n elements, with chance white space.
func (g generator) list(opening string, n int, element func() string, closing string) string {
	out := opening + g.space()
	for i := range n {
		if i > 0 {
			out += g.space() + "," + g.space()
		}
		out += element()
	}
	return out + g.space() + closing
}

func (g generator) value() string {
	return g.pick("null", "true", "false", "0", "-12.5e+3", "9223372036854775807", `""`, `"a\u00e9\"\\ü"`, `"`+strings.Repeat("long ", g.IntN(300))+`"`)
}

func (g generator) series() string {
	columns := 1 + g.IntN(4)
	return g.list("{", 1, func() string {
		return g.pick("", `"name":"x",`, `"tags":{"k":"v","n":[1,{}]},`) +
			`"columns"` + g.space() + ":" + g.list("[", columns, func() string { return g.pick(`"time"`, `"a b"`, `"\u0061"`) }, "]") +
			`,"values":` + g.list("[", g.IntN(5), func() string { return g.list("[", columns, g.value, "]") }, "]") +
			g.pick("", `,"partial":false`)
	}, "}")
}

func (g generator) answer() []byte {
	var out string
	for range 1 + g.IntN(3) {
		out += g.list(`{"results":[`, 1+g.IntN(2), func() string {
			return g.list(`{"statement_id":0,"series":[`, g.IntN(3), g.series, `]`+g.pick("", `,"messages":[{"level":"x"}]`)+`}`)
		}, "]}") + g.space()
	}
	return []byte(out)
}

// FuzzScanner holds the scanner against a reader built on encoding/json: both
// must take the same answers and find the same rows.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{
		chunkA + chunkB, `{"results":[{"series":[{"columns":["a"],"values":[[null]]}]}]}`, bigChunk(3, false),
		`{"results":[{"series":null,"partial":false}]}{"error":"x"}`, `{"results":[{"messages":[{}]}]}`, `{"results":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := scan(iotest.HalfReader(bytes.NewReader(data)))
		want, refErr := reference(data)
		if (err == nil) != (refErr == nil) {
			t.Fatalf("%q: scanner %v, encoding/json %v", data, err, refErr)
		}
		if err == nil && strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("%q: scanner %q, encoding/json %q", data, got, want)
		}
	})
}

// ref reads answers token by token with encoding/json.
type ref struct {
	dec            *json.Decoder
	rows           []string
	columns        []string
	partial, final bool
}

// reference is what the scanner should find.
func reference(data []byte) ([]string, error) {
	r := ref{dec: json.NewDecoder(bytes.NewReader(data))}
	for n := 0; ; n++ {
		err := r.object(r.document)
		switch {
		case err == nil:
			continue
		case !errors.Is(err, io.EOF) || len(bytes.TrimLeft(data[r.dec.InputOffset():], " \t\r\n")) > 0:
			return nil, err
		case n == 0 || r.partial || !r.final:
			return nil, errors.New("not complete")
		}
		return r.rows, nil
	}
}

func (r *ref) document(key string) error {
	switch key {
	case "results":
		return r.array(func() error {
			r.partial = false
			partial := false
			err := r.object(func(key string) error { return r.result(key, &partial) })
			r.partial = r.partial || partial
			r.final = r.final || !r.partial
			return err
		})
	case "error":
		return errors.New("an error")
	}
	return r.skip()
}

func (r *ref) result(key string, partial *bool) error {
	switch key {
	case "series":
		return r.array(func() error {
			r.columns, r.partial = nil, false
			return r.object(r.series)
		})
	case "partial":
		return r.flag(partial)
	case "error":
		return errors.New("an error")
	}
	return r.skip()
}

func (r *ref) series(key string) error {
	switch key {
	case "columns":
		return r.dec.Decode(&r.columns)
	case "values":
		return r.array(r.row)
	case "partial":
		return r.flag(&r.partial)
	}
	return r.skip()
}

func (r *ref) row() error {
	var raw json.RawMessage
	if err := r.dec.Decode(&raw); err != nil {
		return err
	}
	var values []json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil || raw[0] != '[' || len(values) != len(r.columns) {
		return errors.Join(err, errors.New("not a row"))
	}
	row := make([][]byte, len(values))
	for i, v := range values {
		if string(v) != "null" {
			row[i] = v
		}
	}
	r.rows = append(r.rows, rowText(r.columns, row))
	return nil
}

func (r *ref) skip() error {
	var raw json.RawMessage
	return r.dec.Decode(&raw)
}

func (r *ref) flag(to *bool) error {
	var flag *bool
	if err := r.dec.Decode(&flag); err != nil || flag == nil {
		return errors.Join(err, errors.New("no flag"))
	}
	*to = *flag
	return nil
}

// object reads an object; null is none.
func (r *ref) object(field func(string) error) error {
	t, err := r.dec.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return errors.New("no object")
	}
	for r.dec.More() {
		key, err := r.dec.Token()
		if err != nil {
			return noEOF(err)
		}
		if err := field(key.(string)); err != nil { //nolint:forcetypeassert // keys are strings
			return noEOF(err)
		}
	}
	_, err = r.dec.Token()
	return noEOF(err)
}

// array reads an array, or null.
func (r *ref) array(element func() error) error {
	t, err := r.dec.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('[') {
		return errors.New("no array")
	}
	for r.dec.More() {
		if err := element(); err != nil {
			return err
		}
	}
	_, err = r.dec.Token()
	return err
}
