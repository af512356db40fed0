package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"

	"nightshard/shared/influx"
)

const (
	// groupBytes is about how much goes into one row group, which is held in
	// memory until it is complete: the server's text, and valueBytes for what the
	// library keeps with each value.
	groupBytes = 4 << 20
	valueBytes = 12
	// batchRows and batchBytes bound what is handed to the library at a time.
	batchRows  = 256
	batchBytes = 256 << 10
	// dictionaryBytes bounds the dictionary of a column's strings in a group.
	// Longer ones are written as they are.
	dictionaryBytes = 256 << 10
	// pageLeast and pageMost bound the size of a column's pages.
	pageLeast, pageMost = 4 << 10, 64 << 10
	// typesKey is the entry of the file's metadata that says what InfluxDB calls
	// the type of each column.
	typesKey = "nightshard.types"
)

// parquetEncoder writes a Parquet file in row groups of bounded size. Each
// column has the type that the field has in InfluxDB, or is text.
type parquetEncoder struct {
	out    *bufio.Writer
	file   *parquet.GenericWriter[any]
	table  []influx.Column
	places []int
	rows   []parquet.Row
	count  int    // of rows in use
	text   []byte // the strings of these rows
	bytes  int    // of the row group
}

func newParquet(out *bufio.Writer, table []influx.Column) (*parquetEncoder, error) {
	types := map[string]string{}
	for _, c := range table {
		types[c.Name] = c.Type
	}
	described, err := json.Marshal(types)
	if err != nil {
		return nil, fmt.Errorf("describe columns: %w", err)
	}
	// Old readers know pages of version 1 best.
	cfg, err := parquet.NewWriterConfig(parquet.NewSchema("records", newTableNode(table)), parquet.Compression(&parquet.Snappy),
		parquet.DataPageVersion(1), parquet.PageBufferSize(pageSize(len(table))), parquet.DictionaryMaxBytes(dictionaryBytes), parquet.KeyValueMetadata(typesKey, string(described)))
	if err != nil {
		return nil, fmt.Errorf("describe Parquet file: %w", err)
	}
	return &parquetEncoder{out: out, file: parquet.NewGenericWriter[any](out, cfg), table: table, rows: make([]parquet.Row, batchRows)}, nil
}

// pageSize is that of the pages, of which each column has one in work.
func pageSize(columns int) int {
	return min(max(groupBytes/columns, pageLeast), pageMost)
}

// tableNode is the file's schema. A parquet.Group alone would sort its columns,
// and refuse a comma in the name of one.
type tableNode struct {
	parquet.Group
	fields []parquet.Field
}

func newTableNode(table []influx.Column) *tableNode {
	group := parquet.Group{}
	for _, c := range table {
		group[c.Name] = columnNode(c.Type)
	}
	order := func(f parquet.Field) int {
		return slices.IndexFunc(table, func(c influx.Column) bool { return c.Name == f.Name() })
	}
	fields := group.Fields()
	slices.SortFunc(fields, func(x, y parquet.Field) int { return order(x) - order(y) })
	return &tableNode{Group: group, fields: fields}
}

// Fields implements parquet.Node.
func (n *tableNode) Fields() []parquet.Field { return n.fields }

// GoType implements parquet.Node: no Go struct stands behind the columns.
func (n *tableNode) GoType() reflect.Type { return reflect.TypeFor[map[string]any]() }

func columnNode(typ string) parquet.Node {
	switch typ {
	case influx.TypeTime:
		return parquet.Encoded(parquet.Timestamp(parquet.Nanosecond), &parquet.DeltaBinaryPacked)
	case influx.TypeInteger:
		return parquet.Optional(parquet.Leaf(parquet.Int64Type))
	case influx.TypeFloat:
		return parquet.Optional(parquet.Leaf(parquet.DoubleType))
	case influx.TypeBoolean:
		return parquet.Optional(parquet.Leaf(parquet.BooleanType))
	default:
		return parquet.Optional(parquet.Encoded(parquet.String(), &parquet.RLEDictionary))
	}
}

func (e *parquetEncoder) columns(names []string) (err error) {
	e.places, err = place(e.table, names)
	return err
}

func (e *parquetEncoder) record(values [][]byte) error {
	row := e.rows[e.count][:0]
	for i := range e.table {
		row = append(row, parquet.Value{}.Level(0, 0, i))
	}
	for i, v := range values {
		if v == nil {
			continue
		}
		at := e.places[i]
		value, err := e.value(e.table[at].Type, v)
		if err != nil {
			return fmt.Errorf("write column %q: %w", e.table[at].Name, err)
		}
		level := 1
		if at == 0 {
			level = 0 // the time is never missing
		}
		row[at] = value.Level(0, level, at)
		e.bytes += len(v) + valueBytes
	}
	e.rows[e.count] = row
	if e.count++; e.count < batchRows && len(e.text) < batchBytes {
		return nil
	}
	return e.flush()
}

// value reads one value as its column has it. What does not fit is an error: the
// server told the type.
func (e *parquetEncoder) value(typ string, raw []byte) (parquet.Value, error) {
	switch typ {
	case influx.TypeInteger:
		n, err := strconv.ParseInt(string(raw), 10, 64)
		return parquet.Int64Value(n), err
	case influx.TypeFloat:
		f, err := strconv.ParseFloat(string(raw), 64)
		return parquet.DoubleValue(f), err
	case influx.TypeBoolean:
		b, err := strconv.ParseBool(string(raw))
		return parquet.BooleanValue(b), err
	}
	text, err := plainText(raw)
	if err != nil {
		return parquet.Value{}, err
	}
	if typ == influx.TypeTime {
		at, err := time.Parse(time.RFC3339Nano, string(text))
		return parquet.Int64Value(at.UnixNano()), err
	}
	// raw goes with the next record, the batch stays.
	begin := len(e.text)
	e.text = append(e.text, text...)
	return parquet.ByteArrayValue(e.text[begin:len(e.text):len(e.text)]), nil
}

// flush hands the batch on, and ends the row group when it is full.
func (e *parquetEncoder) flush() error {
	_, err := e.file.WriteRows(e.rows[:e.count])
	e.count, e.text = 0, e.text[:0]
	if err != nil {
		return err //nolint:wrapcheck // the store's own error
	}
	if e.bytes < groupBytes {
		return nil
	}
	e.bytes = 0
	return e.file.Flush() //nolint:wrapcheck // the store's own error
}

// end writes the last group and the list of all.
func (e *parquetEncoder) end() error {
	if err := e.flush(); err != nil {
		return err
	}
	if err := e.file.Close(); err != nil {
		return err //nolint:wrapcheck // the store's own error
	}
	return e.out.Flush() //nolint:wrapcheck // the store's own error
}
