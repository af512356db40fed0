package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// document writes one JSON document: an opening bracket, one record a line, a
// closing bracket. Values pass through as the server sent them, so that
// integers keep all their digits.
type document struct {
	out     *bufio.Writer
	columns []string
	keys    [][]byte // `"column":` for each column, with a comma before all but the first
	tally   tally
	report  func(records int64)
}

// reportEvery is how many records lie between two reports of progress.
const reportEvery = 10_000

// begin starts the document.
func (d *document) begin(w io.Writer) {
	d.out = bufio.NewWriterSize(w, 128<<10)
	_ = d.out.WriteByte('[') // a bufio.Writer keeps its error until Flush
}

// row writes one record: each column that has a value. The columns stay the
// same for all records of one chunk.
func (d *document) row(columns []string, values [][]byte) error {
	if !slices.Equal(d.columns, columns) {
		if err := d.setColumns(columns); err != nil {
			return err
		}
	}
	if d.tally.records > 0 {
		_ = d.out.WriteByte(',')
	}
	_, _ = d.out.WriteString("\n{")
	first := true
	for i, v := range values {
		if v == nil {
			continue
		}
		d.tally.values[i]++
		key := d.keys[i]
		if first {
			key, first = key[1:], false
		}
		_, _ = d.out.Write(key)
		_, _ = d.out.Write(v)
	}
	d.tally.records++
	if d.tally.records%reportEvery == 0 {
		d.report(d.tally.records)
	}
	return d.out.WriteByte('}') //nolint:wrapcheck // the store's own error
}

// setColumns prepares the keys.
func (d *document) setColumns(columns []string) error {
	d.columns, d.keys = slices.Clone(columns), nil
	for _, c := range columns {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(c); err != nil {
			return fmt.Errorf("write key %q: %w", c, err)
		}
		d.keys = append(d.keys, []byte(","+strings.TrimSuffix(b.String(), "\n")+":"))
	}
	d.tally.columns(columns)
	return nil
}

// end finishes the document.
func (d *document) end() error {
	_, _ = d.out.WriteString("\n]\n")
	return d.out.Flush() //nolint:wrapcheck // the store's own error
}

// tally counts what was written and holds it against the server's own counts.
type tally struct {
	want    map[string]int64 // values by field, as the server counts them
	records int64
	names   []string
	values  []int64 // by column, since the columns last changed
	sums    map[string]int64
}

// columns starts counting under new columns.
func (t *tally) columns(names []string) {
	t.fold()
	t.names, t.values = slices.Clone(names), make([]int64, len(names))
}

// fold adds the counts by column to the sums by name.
func (t *tally) fold() {
	if t.sums == nil {
		t.sums = map[string]int64{}
	}
	for i, name := range t.names {
		t.sums[name] += t.values[i]
	}
	t.names, t.values = nil, nil
}

// check says which fields have another number of values than the server
// counted.
func (t *tally) check() error {
	t.fold()
	var problems []string
	for field, want := range t.want {
		if got, ok := t.count(field, want); !ok {
			problems = append(problems, fmt.Sprintf("field %q has %d values, the server counts %d", field, got, want))
		}
	}
	if len(problems) > 0 {
		slices.Sort(problems)
		return fmt.Errorf("%d records: %s", t.records, strings.Join(problems, "; "))
	}
	return nil
}

// count finds the column of a field. Where a tag has the field's name, the
// server calls one of the two columns name_1.
func (t *tally) count(field string, want int64) (got int64, ok bool) {
	got = t.sums[field]
	if got == want {
		return got, true
	}
	_, taken := t.want[field+"_1"]
	return got, !taken && t.sums[field+"_1"] == want
}
