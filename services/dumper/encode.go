package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"nightshard/shared/influx"
	"nightshard/shared/night"
)

// encoder writes records in one format.
type encoder interface {
	// columns says which columns the records have that follow.
	columns(names []string) error
	// record writes one record. Values are the server's JSON, nil where there is
	// none, and valid during the call only.
	record(values [][]byte) error
	// end writes what follows the last record.
	end() error
}

// document writes the records of one dump, and counts what it writes.
type document struct {
	format  night.Format
	table   []influx.Column // all columns, for a format that wants them ahead
	out     *bufio.Writer
	zip     *gzip.Writer // nil for a format without compression
	enc     encoder
	columns []string
	tally   tally
	report  func(records int64)
}

// reportEvery is how many records lie between two reports of progress.
const reportEvery = 10_000

// wantsTable says that a format begins with the names of all columns.
func wantsTable(f night.Format) bool {
	plain, _ := f.Plain()
	return plain == night.CSV || plain == night.Parquet
}

// mediaType is the format's, for the object. A compressed one is no encoding of
// the other: whoever downloads it gets the file that its name says.
func mediaType(f night.Format) string {
	plain, compressed := f.Plain()
	switch {
	case compressed:
		return "application/gzip"
	case plain == night.CSV:
		return "text/csv; charset=utf-8"
	case plain == night.Parquet:
		return "application/vnd.apache.parquet"
	case plain == night.NDJSON:
		return "application/x-ndjson"
	default:
		return "application/json"
	}
}

// begin starts the document.
func (d *document) begin(w io.Writer) error {
	d.out = bufio.NewWriterSize(w, 128<<10)
	plain, compressed := d.format.Plain()
	out := d.out
	if compressed {
		d.zip = gzip.NewWriter(d.out)
		out = bufio.NewWriterSize(d.zip, 64<<10)
	}
	var err error
	switch plain {
	case night.CSV:
		d.enc, err = newCSV(out, d.table)
	case night.Parquet:
		d.enc, err = newParquet(out, d.table)
	default:
		d.enc = newJSON(out, plain == night.JSON)
	}
	return err
}

// row writes one record. The columns stay the same for all records of one chunk.
func (d *document) row(columns []string, values [][]byte) error {
	if !slices.Equal(d.columns, columns) {
		d.columns = slices.Clone(columns)
		d.tally.columns(d.columns)
		if err := d.enc.columns(d.columns); err != nil {
			return err
		}
	}
	for i, v := range values {
		if v != nil {
			d.tally.values[i]++
		}
	}
	d.tally.records++
	if d.tally.records%reportEvery == 0 {
		d.report(d.tally.records)
	}
	return d.enc.record(values)
}

// end finishes the document.
func (d *document) end() error {
	if err := d.enc.end(); err != nil {
		return err
	}
	if d.zip != nil {
		if err := d.zip.Close(); err != nil {
			return err //nolint:wrapcheck // the store's own error
		}
	}
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
