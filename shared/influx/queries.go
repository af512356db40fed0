package influx

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// QuoteIdent writes a name as InfluxQL wants it.
func QuoteIdent(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(name) + `"`
}

// QuoteString writes a text as InfluxQL wants it.
func QuoteString(text string) string {
	return `'` + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`).Replace(text) + `'`
}

// Databases gives the names of all databases.
func (c *Client) Databases(ctx context.Context) ([]string, error) {
	return c.names(ctx, "", "SHOW DATABASES", "name")
}

// Measurements gives the names of all measurements of a database.
func (c *Client) Measurements(ctx context.Context, database string) ([]string, error) {
	return c.names(ctx, database, "SHOW MEASUREMENTS ON "+QuoteIdent(database), "name")
}

// names reads the column of a list that holds the names.
func (c *Client) names(ctx context.Context, database, statement, column string) ([]string, error) {
	var names []string
	err := c.rows(ctx, database, statement, func(row map[string]any) error {
		name, ok := row[column].(string)
		if !ok {
			return fmt.Errorf("%v is no name", row[column])
		}
		names = append(names, name)
		return nil
	})
	return names, err
}

// rows runs a statement and calls fn for each row, its values by column.
func (c *Client) rows(ctx context.Context, database, statement string, fn func(row map[string]any) error) error {
	series, err := c.Query(ctx, database, statement)
	if err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	for _, s := range series {
		for _, values := range s.Values {
			row := make(map[string]any, len(values))
			for i, v := range values {
				row[s.Columns[i]] = v
			}
			if err := fn(row); err != nil {
				return fmt.Errorf("%s: read row %v: %w", statement, values, err)
			}
		}
	}
	return nil
}

// FieldType is a field of a measurement and one of its types: float, integer,
// string or boolean. A field whose type differs between shards appears once for
// each.
type FieldType struct {
	Name, Type string
}

// FieldKeys lists the fields of a measurement. It takes seconds where there are
// hundreds of shards.
func (c *Client) FieldKeys(ctx context.Context, database, policy, measurement string) ([]FieldType, error) {
	var out []FieldType
	err := c.rows(ctx, database, "SHOW FIELD KEYS FROM "+source(database, policy, measurement), func(row map[string]any) error {
		name, named := row["fieldKey"].(string)
		typ, typed := row["fieldType"].(string)
		if !named || !typed {
			return errSyntax
		}
		out = append(out, FieldType{Name: name, Type: typ})
		return nil
	})
	return out, err
}

// TagKeys lists the tags of a measurement.
func (c *Client) TagKeys(ctx context.Context, database, policy, measurement string) ([]string, error) {
	return c.names(ctx, database, "SHOW TAG KEYS FROM "+source(database, policy, measurement), "tagKey")
}

// source names a measurement for a FROM clause.
func source(database, policy, measurement string) string {
	return QuoteIdent(database) + "." + QuoteIdent(policy) + "." + QuoteIdent(measurement)
}

// ShardInfo is one shard as SHOW SHARDS lists it.
type ShardInfo struct {
	ID              uint64
	Database        string
	RetentionPolicy string
	Start, End      time.Time
}

// Shards lists the live shards of all databases.
func (c *Client) Shards(ctx context.Context) ([]ShardInfo, error) {
	var out []ShardInfo
	err := c.rows(ctx, "", "SHOW SHARDS", func(row map[string]any) error {
		info, err := shardRow(row)
		out = append(out, info)
		return err
	})
	return out, err
}

func shardRow(row map[string]any) (ShardInfo, error) {
	var s ShardInfo
	var err error
	if s.ID, err = strconv.ParseUint(fmt.Sprint(row["id"]), 10, 64); err != nil {
		return s, fmt.Errorf("read id: %w", err)
	}
	if s.Start, err = moment(row["start_time"]); err != nil {
		return s, err
	}
	if s.End, err = moment(row["end_time"]); err != nil {
		return s, err
	}
	var named, policed bool
	s.Database, named = row["database"].(string)
	s.RetentionPolicy, policed = row["retention_policy"].(string)
	if !named || !policed {
		return s, errSyntax
	}
	return s, nil
}

func moment(v any) (time.Time, error) {
	text, _ := v.(string)
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("read time: %w", err)
	}
	return t, nil
}

// Span is a stretch of time, To not in it.
type Span struct {
	From, To time.Time
}

// Spans cuts the window from <= time < to at the bounds of the shards of a
// retention policy. Within a span each field of a measurement has one type, so
// that a SELECT * of it misses nothing. Spans ascend and cover the window
// without a gap; usually there are one or two.
func (c *Client) Spans(ctx context.Context, database, policy string, from, to time.Time) ([]Span, error) {
	shards, err := c.Shards(ctx)
	if err != nil {
		return nil, err
	}
	cuts := []time.Time{from, to}
	for _, s := range shards {
		if s.Database != database || s.RetentionPolicy != policy {
			continue
		}
		for _, t := range []time.Time{s.Start, s.End} {
			if t.After(from) && t.Before(to) {
				cuts = append(cuts, t)
			}
		}
	}
	slices.SortFunc(cuts, time.Time.Compare)
	var out []Span
	for i, t := range cuts[1:] {
		if cuts[i].Before(t) {
			out = append(out, Span{From: cuts[i], To: t})
		}
	}
	return out, nil
}

// RetentionPolicyInfo is one retention policy as the server lists it.
type RetentionPolicyInfo struct {
	Name string
	// Duration is how long points are kept, 0 for ever.
	Duration time.Duration
	Default  bool
}

// RetentionPolicies lists the retention policies of a database.
func (c *Client) RetentionPolicies(ctx context.Context, database string) ([]RetentionPolicyInfo, error) {
	var out []RetentionPolicyInfo
	err := c.rows(ctx, database, "SHOW RETENTION POLICIES ON "+QuoteIdent(database), func(row map[string]any) error {
		name, named := row["name"].(string)
		text, _ := row["duration"].(string)
		duration, err := time.ParseDuration(text)
		isDefault, flagged := row["default"].(bool)
		if err != nil || !named || !flagged {
			return errSyntax
		}
		out = append(out, RetentionPolicyInfo{Name: name, Duration: duration, Default: isDefault})
		return nil
	})
	return out, err
}
