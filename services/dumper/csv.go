package main

import (
	"bufio"
	"bytes"
	"slices"

	"nightshard/shared/influx"
)

// csvEncoder writes RFC 4180 with a header: a value with a comma, a quote or a
// line break is put in quotes, and its quotes are doubled. encoding/csv would
// write an empty string like a missing value; here it is "".
type csvEncoder struct {
	out    *bufio.Writer // keeps its error until Flush
	table  []influx.Column
	places []int
	cells  [][]byte
}

func newCSV(out *bufio.Writer, table []influx.Column) (*csvEncoder, error) {
	e := &csvEncoder{out: out, table: table, cells: make([][]byte, len(table))}
	for i, c := range table {
		e.cells[i] = []byte(c.Name)
	}
	return e, e.line()
}

func (e *csvEncoder) columns(names []string) (err error) {
	e.places, err = place(e.table, names)
	return err
}

func (e *csvEncoder) record(values [][]byte) (err error) {
	clear(e.cells)
	for i, v := range values {
		if v == nil {
			continue
		}
		if e.cells[e.places[i]], err = plainText(v); err != nil {
			return err
		}
	}
	return e.line()
}

// line writes the cells. The line feed alone ends it, as Unix tools expect.
func (e *csvEncoder) line() error {
	for i, cell := range e.cells {
		if i > 0 {
			_ = e.out.WriteByte(',')
		}
		if cell == nil || (len(cell) > 0 && !slices.ContainsFunc(cell, wantsQuotes)) {
			_, _ = e.out.Write(cell)
			continue
		}
		_ = e.out.WriteByte('"')
		_, _ = e.out.Write(bytes.ReplaceAll(cell, []byte{'"'}, []byte(`""`)))
		_ = e.out.WriteByte('"')
	}
	return e.out.WriteByte('\n') //nolint:wrapcheck // the store's own error
}

func wantsQuotes(c byte) bool { return c == ',' || c == '"' || c == '\r' || c == '\n' }

func (e *csvEncoder) end() error {
	return e.out.Flush() //nolint:wrapcheck // the store's own error
}
