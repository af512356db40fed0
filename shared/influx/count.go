package influx

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FieldKey names a field of a measurement.
type FieldKey struct {
	Measurement string
	Field       string
}

// fieldsAtOnce bounds the length of one statement that names fields.
const fieldsAtOnce = 100

// Count counts the values of every field of every measurement of a retention
// policy with from <= time < to. Fields without a value do not appear. It
// counts values of every type; a plain count(*) does not (see the package's
// documentation).
func (c *Client) Count(ctx context.Context, database, policy string, from, to time.Time) (map[FieldKey]int64, error) {
	return c.count(ctx, database, QuoteIdent(database)+"."+QuoteIdent(policy)+"./.*/", from, to)
}

// CountMeasurement counts the values of every field of one measurement.
func (c *Client) CountMeasurement(ctx context.Context, database, policy, measurement string, from, to time.Time) (map[string]int64, error) {
	all, err := c.count(ctx, database, source(database, policy, measurement), from, to)
	if err != nil {
		return nil, err
	}
	out := make(map[string]int64, len(all))
	for key, n := range all {
		out[key.Field] = n
	}
	return out, nil
}

// CountRough counts the values of a retention policy in a window with one plain
// count(*). It may leave out strings and booleans whose name is numeric
// elsewhere, always the same ones: good enough to tell whether anything was
// written, and quick over an empty window, where Count has to list all fields.
func (c *Client) CountRough(ctx context.Context, database, policy string, from, to time.Time) (int64, error) {
	target := QuoteIdent(database) + "." + QuoteIdent(policy) + "./.*/"
	q := counter{c: c, database: database, tail: fmt.Sprintf("FROM %s WHERE time >= %d AND time < %d", target, from.UnixNano(), to.UnixNano())}
	counts, _, err := q.wildcard(ctx)
	if err != nil {
		return 0, fmt.Errorf("count values of %s: %w", target, err)
	}
	var sum int64
	for _, n := range counts {
		sum += n
	}
	return sum, nil
}

// count asks in up to three steps. The wildcard's answer lists all fields, but
// may lack strings and booleans whose name is numeric elsewhere. These are asked
// for by their types, which costs next to nothing where there are none. Fields
// that have any are asked for in every type.
func (c *Client) count(ctx context.Context, database, target string, from, to time.Time) (map[FieldKey]int64, error) {
	q := counter{c: c, database: database, tail: fmt.Sprintf("FROM %s WHERE time >= %d AND time < %d", target, from.UnixNano(), to.UnixNano())}
	out, fields, err := q.wildcard(ctx)
	if err == nil && len(fields) == 0 {
		// Nothing was counted, so nothing is listed either.
		fields, err = q.fieldNames(ctx, target)
	}
	if err != nil {
		return nil, fmt.Errorf("count values of %s: %w", target, err)
	}
	for part := range slices.Chunk(fields, fieldsAtOnce) {
		if err := q.correct(ctx, out, part); err != nil {
			return nil, fmt.Errorf("count values of %s by type: %w", target, err)
		}
	}
	return out, nil
}

// counter asks for counts of one target in one window.
type counter struct {
	c              *Client
	database, tail string
}

// wildcard gives the counts of count(*) and the names of all fields.
func (q counter) wildcard(ctx context.Context) (map[FieldKey]int64, []string, error) {
	series, err := q.c.Query(ctx, q.database, "SELECT count(*) "+q.tail)
	if err != nil {
		return nil, nil, err
	}
	counts, names := map[FieldKey]int64{}, map[string]bool{}
	for _, s := range series {
		for i, column := range s.Columns {
			name, ok := strings.CutPrefix(column, "count_")
			if !ok {
				continue
			}
			names[name] = true
			if err := add(counts, s, i, name); err != nil {
				return nil, nil, err
			}
		}
	}
	return counts, slices.Sorted(maps.Keys(names)), nil
}

// fieldNames gives the names of all fields of the target, whenever they were
// written. It is slow over many shards.
func (q counter) fieldNames(ctx context.Context, target string) ([]string, error) {
	series, err := q.c.Query(ctx, q.database, "SHOW FIELD KEYS FROM "+target)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, s := range series {
		for _, row := range s.Values {
			if name, ok := row[0].(string); ok {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// correct counts strings and booleans of the fields, and puts exact counts of
// all types in place for the fields that have some.
func (q counter) correct(ctx context.Context, counts map[FieldKey]int64, fields []string) error {
	typed, err := q.typed(ctx, fields, "string", "boolean")
	if err != nil || len(typed) == 0 {
		return err
	}
	names := map[string]bool{}
	for key := range typed {
		names[key.Field] = true
	}
	// Integers count as floats.
	numeric, err := q.typed(ctx, slices.Sorted(maps.Keys(names)), "float")
	if err != nil {
		return err
	}
	maps.DeleteFunc(counts, func(key FieldKey, _ int64) bool { return names[key.Field] })
	for _, part := range []map[FieldKey]int64{typed, numeric} {
		for key, n := range part {
			counts[key] += n
		}
	}
	return nil
}

// typed counts the values of these types only.
func (q counter) typed(ctx context.Context, fields []string, types ...string) (map[FieldKey]int64, error) {
	var terms []string
	for _, f := range fields {
		for _, typ := range types {
			// The alias leads back to the field, whatever its name is.
			terms = append(terms, fmt.Sprintf(`count(%s::%s) AS "c%d"`, QuoteIdent(f), typ, len(terms)))
		}
	}
	series, err := q.c.Query(ctx, q.database, "SELECT "+strings.Join(terms, ", ")+" "+q.tail)
	if err != nil {
		return nil, err
	}
	out := map[FieldKey]int64{}
	for _, s := range series {
		for i, column := range s.Columns {
			n, err := strconv.Atoi(strings.TrimPrefix(column, "c"))
			if err != nil || n >= len(terms) {
				continue // the column "time"
			}
			if err := add(out, s, i, fields[n/len(types)]); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// add puts the counts of a column in.
func add(counts map[FieldKey]int64, s Series, column int, field string) error {
	for _, row := range s.Values {
		if row[column] == nil {
			continue
		}
		n, err := integer(row[column])
		if err != nil {
			return fmt.Errorf("read count of %q %q: %w", s.Name, field, err)
		}
		if n > 0 {
			counts[FieldKey{Measurement: s.Name, Field: field}] += n
		}
	}
	return nil
}

// integer reads a whole number of an answer.
func integer(v any) (int64, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, fmt.Errorf("read number: it is %v", v)
	}
	i, err := strconv.ParseInt(n.String(), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read number: %w", err)
	}
	return i, nil
}
