package influx

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Types of columns, as the server calls them.
const (
	TypeFloat   = "float"
	TypeInteger = "integer"
	TypeString  = "string"
	TypeBoolean = "boolean"
	TypeTag     = "tag"
	TypeTime    = "time"
)

// Column is one column of a SELECT * and its type.
type Column struct {
	Name, Type string
}

// SelectAll is the statement that gives every record of a measurement in a span.
func SelectAll(database, policy, measurement string, span Span) string {
	return "SELECT * " + window{database, policy, span.From, span.To}.source(measurement)
}

// errOneRow ends a query after its first row.
var errOneRow = errors.New("one row is enough")

// Columns gives the columns of SelectAll in their order, time first; none where
// it gives no row. Within a span of [Client.Spans] each has the type of all its
// values. It costs about as much as the query's first row.
func (c *Client) Columns(ctx context.Context, database, policy, measurement string, span Span) ([]Column, error) {
	statement := SelectAll(database, policy, measurement, span)
	var names []string
	err := c.Stream(ctx, database, statement+" LIMIT 1", func(columns []string, _ [][]byte) error {
		names = append(names, columns...)
		return errOneRow
	})
	if err != nil && !errors.Is(err, errOneRow) {
		return nil, fmt.Errorf("find columns of %q: %w", measurement, err)
	}
	if len(names) == 0 {
		return nil, nil
	}
	types, err := c.types(ctx, database, statement)
	if err != nil {
		return nil, fmt.Errorf("find types of %q: %w", measurement, err)
	}
	if len(names) != len(types)+1 || names[0] != TypeTime {
		return nil, fmt.Errorf("find types of %q: %d types for columns %q: %w", measurement, len(types), names, errSyntax)
	}
	out := []Column{{Name: names[0], Type: TypeTime}}
	for i, name := range names[1:] {
		out = append(out, Column{Name: name, Type: types[i]})
	}
	return out, nil
}

// auxiliary is what the line of a plan begins with that lists what a SELECT *
// reads, in the order of its columns.
const auxiliary = "AUXILIARY FIELDS: "

// types asks for the plan of a statement. The rows do not show the types: a
// float without decimals looks like an integer, and the list of fields
// (SHOW FIELD KEYS) is of all shards, not of those that the statement reads.
func (c *Client) types(ctx context.Context, database, statement string) ([]string, error) {
	series, err := c.Query(ctx, database, "EXPLAIN "+statement)
	if err != nil {
		return nil, err
	}
	for _, s := range series {
		for _, row := range s.Values {
			text, _ := row[0].(string)
			if list, ok := strings.CutPrefix(text, auxiliary); ok {
				return planTypes(list)
			}
		}
	}
	return nil, fmt.Errorf("read plan: it lists no fields: %w", errSyntax)
}

// planTypes reads `host::tag, "odd, name"::integer`. What the names are does not
// matter here, for their order is that of the columns.
func planTypes(list string) ([]string, error) {
	var out []string
	for list != "" {
		_, rest, ok := strings.Cut(list[nameEnd(list):], "::")
		if !ok {
			return nil, fmt.Errorf("read plan at %.60q: %w", list, errSyntax)
		}
		var typ string
		typ, list, _ = strings.Cut(rest, ", ")
		out = append(out, typ)
	}
	return out, nil
}

// nameEnd is where the quoted name ends that the text begins with, 0 for a plain
// word, which the server does not quote.
func nameEnd(text string) int {
	if text[0] != '"' {
		return 0
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}
