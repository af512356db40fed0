package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"nightshard/shared/influx"
)

// typeMixed is that of a column whose values have different types in different
// shards, or are tags in one and a field in another.
const typeMixed = "mixed"

// table finds the columns of all spans together: time, then the others by name.
func (p *dumper) table(ctx context.Context, t task, spans []influx.Span) ([]influx.Column, error) {
	var all []influx.Column
	for _, span := range spans {
		columns, err := p.http.Columns(ctx, p.cfg.Database, t.policy, t.measurement, span)
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the measurement
		}
		all = merge(all, columns)
	}
	return all, nil
}

// merge adds columns to a table. What is an integer here and a float there
// becomes neither: a float of 64 bits does not hold every integer.
func merge(table, columns []influx.Column) []influx.Column {
	if len(table) == 0 {
		return columns
	}
	for _, c := range columns {
		i := slices.IndexFunc(table, func(have influx.Column) bool { return have.Name == c.Name })
		switch {
		case i < 0:
			table = append(table, c)
		case table[i].Type == c.Type:
		case isText(table[i].Type) && isText(c.Type):
			table[i].Type = influx.TypeString
		default:
			table[i].Type = typeMixed
		}
	}
	slices.SortStableFunc(table[1:], func(x, y influx.Column) int { return bytes.Compare([]byte(x.Name), []byte(y.Name)) })
	return table
}

// isText says that a column's values are strings.
func isText(typ string) bool { return typ == influx.TypeTag || typ == influx.TypeString }

// place gives for each column of the records that follow its place in the table.
// The server told all of them ahead.
func place(table []influx.Column, names []string) ([]int, error) {
	places := make([]int, len(names))
	for i, name := range names {
		places[i] = slices.IndexFunc(table, func(c influx.Column) bool { return c.Name == name })
		if places[i] < 0 {
			return nil, fmt.Errorf("place column %q: it was not announced; the columns are %v", name, table)
		}
	}
	return places, nil
}

// plainText is what a value says: a string without quotes and escapes, anything
// else as the server wrote it.
func plainText(value []byte) ([]byte, error) {
	if value[0] != '"' {
		return value, nil
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1], nil
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return nil, fmt.Errorf("read string %.60q: %w", value, err)
	}
	return []byte(text), nil
}
