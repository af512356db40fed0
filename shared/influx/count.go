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

const (
	// fieldsAtOnce bounds the length of one statement that names fields.
	fieldsAtOnce = 100
	// statementsAtOnce bounds the length of one request.
	statementsAtOnce = 50
)

// Count counts the values of every field of every measurement of a retention
// policy with from <= time < to. Fields without a value do not appear. It
// counts values of every type; a plain count(*) does not (see the package's
// documentation).
//
// Each measurement is asked for by a statement of its own. One over all of them
// is quicker, and ends InfluxDB 1.8.10 with a nil pointer when its client goes
// away while it is being prepared (query.Iterators.Close, query/iterator.go:48).
func (c *Client) Count(ctx context.Context, database, policy string, from, to time.Time) (map[FieldKey]int64, error) {
	measurements, err := c.Measurements(ctx, database)
	if err != nil {
		return nil, fmt.Errorf("count values of %q.%q: %w", database, policy, err)
	}
	return c.count(ctx, window{database, policy, from, to}, measurements)
}

// CountOf is Count for these measurements alone. It asks for no list of all, which
// a server refuses ("shard is disabled") while a shard is being restored.
func (c *Client) CountOf(ctx context.Context, database, policy string, measurements []string, from, to time.Time) (map[FieldKey]int64, error) {
	return c.count(ctx, window{database, policy, from, to}, measurements)
}

// CountMeasurement counts the values of every field of one measurement.
func (c *Client) CountMeasurement(ctx context.Context, database, policy, measurement string, from, to time.Time) (map[string]int64, error) {
	all, err := c.count(ctx, window{database, policy, from, to}, []string{measurement})
	if err != nil {
		return nil, err
	}
	out := make(map[string]int64, len(all))
	for key, n := range all {
		out[key.Field] = n
	}
	return out, nil
}

// CountRough counts the values of a retention policy in a window with plain
// count(*). It may leave out strings and booleans whose name is numeric
// elsewhere, always the same ones: good enough to tell whether anything was
// written.
func (c *Client) CountRough(ctx context.Context, database, policy string, from, to time.Time) (int64, error) {
	measurements, err := c.Measurements(ctx, database)
	if err != nil {
		return 0, fmt.Errorf("count values of %q.%q: %w", database, policy, err)
	}
	q := counter{c: c, window: window{database, policy, from, to}, counts: map[FieldKey]int64{}}
	if _, err := q.wildcard(ctx, measurements); err != nil {
		return 0, fmt.Errorf("count values of %q.%q: %w", database, policy, err)
	}
	var sum int64
	for _, n := range q.counts {
		sum += n
	}
	return sum, nil
}

// window is what is counted.
type window struct {
	database, policy string
	from, to         time.Time
}

// source is the rest of a statement on one measurement.
func (w window) source(measurement string) string {
	return fmt.Sprintf("FROM %s WHERE time >= %d AND time < %d", source(w.database, w.policy, measurement), w.from.UnixNano(), w.to.UnixNano())
}

// count asks in up to three steps. The wildcard's answer lists all fields, but
// may lack strings and booleans whose name is numeric elsewhere. These are asked
// for by their types, which costs next to nothing where there are none. Fields
// that have any are asked for in every type.
func (c *Client) count(ctx context.Context, w window, measurements []string) (map[FieldKey]int64, error) {
	q := counter{c: c, window: w, counts: map[FieldKey]int64{}}
	fields, err := q.wildcard(ctx, measurements)
	if err == nil {
		fields, err = q.complete(ctx, measurements, fields)
	}
	if err != nil {
		return nil, fmt.Errorf("count values of %q.%q: %w", w.database, w.policy, err)
	}
	if err := q.correct(ctx, fields); err != nil {
		return nil, fmt.Errorf("count values of %q.%q by type: %w", w.database, w.policy, err)
	}
	return q.counts, nil
}

// counter asks for counts in one window.
type counter struct {
	c *Client
	window
	counts map[FieldKey]int64
}

// ask runs one statement for each of the questions, many in one request.
func ask[T any](ctx context.Context, q counter, questions []T, statement func(T) string, answer func(T, []Series) error) error {
	for part := range slices.Chunk(questions, statementsAtOnce) {
		statements := make([]string, 0, len(part))
		for _, question := range part {
			statements = append(statements, statement(question))
		}
		answers, err := q.c.queries(ctx, q.database, statements)
		if err != nil {
			return err
		}
		for i, question := range part {
			if err := answer(question, answers[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// wildcard takes the counts of count(*), and gives the fields that were listed.
// A measurement without a count lists none.
func (q counter) wildcard(ctx context.Context, measurements []string) ([]FieldKey, error) {
	var fields []FieldKey
	statement := func(m string) string { return "SELECT count(*) " + q.source(m) }
	err := ask(ctx, q, measurements, statement, func(m string, series []Series) error {
		for _, s := range series {
			for i, column := range s.Columns {
				name, ok := strings.CutPrefix(column, "count_")
				if !ok {
					continue
				}
				fields = append(fields, FieldKey{m, name})
				if err := add(q.counts, s, i, name); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return fields, err
}

// complete adds the fields of the measurements that listed none, whenever these
// were written.
func (q counter) complete(ctx context.Context, measurements []string, fields []FieldKey) ([]FieldKey, error) {
	listed := map[string]bool{}
	for _, f := range fields {
		listed[f.Measurement] = true
	}
	if !slices.ContainsFunc(measurements, func(m string) bool { return !listed[m] }) {
		return fields, nil
	}
	known, err := q.c.fieldNames(ctx, q.window)
	if err != nil {
		return nil, err
	}
	for _, m := range measurements {
		for _, name := range known[m] {
			if !listed[m] {
				fields = append(fields, FieldKey{m, name})
			}
		}
	}
	return fields, nil
}

// fieldsAge is how long the list of a policy's fields is believed, for windows
// that had ended before: it is slow to get over many shards.
const fieldsAge = 5 * time.Minute

// fieldList is the fields of a policy by measurement, at a time.
type fieldList struct {
	at    time.Time
	names map[string][]string
}

// ForgetFields drops what is known of fields, which a restore makes outdated:
// it brings points into windows that had ended before.
func (c *Client) ForgetFields() {
	c.listing.Lock()
	defer c.listing.Unlock()
	c.fields = nil
}

// fieldNames gives the names of all fields of a policy by measurement.
func (c *Client) fieldNames(ctx context.Context, w window) (map[string][]string, error) {
	c.listing.Lock()
	defer c.listing.Unlock()
	key := [2]string{w.database, w.policy}
	if known := c.fields[key]; known.at.After(w.to) && time.Since(known.at) < fieldsAge {
		return known.names, nil
	}
	now := time.Now()
	series, err := c.Query(ctx, w.database, "SHOW FIELD KEYS FROM "+QuoteIdent(w.database)+"."+QuoteIdent(w.policy)+"./.*/")
	if err != nil {
		return nil, err
	}
	names := map[string][]string{}
	for _, s := range series {
		for _, row := range s.Values {
			if name, ok := row[0].(string); ok && !slices.Contains(names[s.Name], name) {
				names[s.Name] = append(names[s.Name], name)
			}
		}
	}
	if c.fields == nil {
		c.fields = map[[2]string]fieldList{}
	}
	c.fields[key] = fieldList{now, names}
	return names, nil
}

// correct counts strings and booleans of the fields, and puts exact counts of
// all types in place for the fields that have some.
func (q counter) correct(ctx context.Context, fields []FieldKey) error {
	typed, err := q.typed(ctx, fields, "string", "boolean")
	if err != nil || len(typed) == 0 {
		return err
	}
	// Integers count as floats.
	numeric, err := q.typed(ctx, slices.Collect(maps.Keys(typed)), "float")
	if err != nil {
		return err
	}
	for key, n := range typed {
		q.counts[key] = n + numeric[key]
	}
	return nil
}

// question is one statement that counts fields of a measurement by their types.
type question struct {
	measurement string
	fields      []string
}

// typed counts the values of these types only.
func (q counter) typed(ctx context.Context, fields []FieldKey, types ...string) (map[FieldKey]int64, error) {
	out := map[FieldKey]int64{}
	statement := func(k question) string {
		var terms []string
		for _, f := range k.fields {
			for _, typ := range types {
				// The alias leads back to the field, whatever its name is.
				terms = append(terms, fmt.Sprintf(`count(%s::%s) AS "c%d"`, QuoteIdent(f), typ, len(terms)))
			}
		}
		return "SELECT " + strings.Join(terms, ", ") + " " + q.source(k.measurement)
	}
	err := ask(ctx, q, questions(fields), statement, func(k question, series []Series) error {
		for _, s := range series {
			for i, column := range s.Columns {
				n, err := strconv.Atoi(strings.TrimPrefix(column, "c"))
				if err != nil || n >= len(k.fields)*len(types) {
					continue // the column "time"
				}
				if err := add(out, s, i, k.fields[n/len(types)]); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return out, err
}

// questions puts the fields of each measurement together, fieldsAtOnce at most.
func questions(fields []FieldKey) []question {
	by := map[string][]string{}
	for _, f := range fields {
		by[f.Measurement] = append(by[f.Measurement], f.Field)
	}
	var out []question
	for _, m := range slices.Sorted(maps.Keys(by)) {
		slices.Sort(by[m])
		for part := range slices.Chunk(slices.Compact(by[m]), fieldsAtOnce) {
			out = append(out, question{m, part})
		}
	}
	return out
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
