package influx

import (
	"context"
	"fmt"
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
	return c.names(ctx, "", "SHOW DATABASES")
}

// Measurements gives the names of all measurements of a database.
func (c *Client) Measurements(ctx context.Context, database string) ([]string, error) {
	return c.names(ctx, database, "SHOW MEASUREMENTS")
}

// names reads the first column of a list.
func (c *Client) names(ctx context.Context, database, statement string) ([]string, error) {
	series, err := c.Query(ctx, database, statement)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.ToLower(statement), err)
	}
	var names []string
	for _, s := range series {
		for _, row := range s.Values {
			name, ok := row[0].(string)
			if !ok {
				return nil, fmt.Errorf("%s: %v is no name", strings.ToLower(statement), row[0])
			}
			names = append(names, name)
		}
	}
	return names, nil
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
	series, err := c.Query(ctx, "", "SHOW SHARDS")
	if err != nil {
		return nil, fmt.Errorf("show shards: %w", err)
	}
	var out []ShardInfo
	for _, s := range series {
		for _, row := range s.Values {
			info, err := shardRow(s.Columns, row)
			if err != nil {
				return nil, fmt.Errorf("show shards: %w", err)
			}
			out = append(out, info)
		}
	}
	return out, nil
}

func shardRow(columns []string, row []any) (ShardInfo, error) {
	var s ShardInfo
	for i, c := range columns {
		if i >= len(row) {
			return s, fmt.Errorf("row of %d values for %d columns", len(row), len(columns))
		}
		text := fmt.Sprint(row[i])
		var err error
		switch c {
		case "id":
			s.ID, err = strconv.ParseUint(text, 10, 64)
		case "database":
			s.Database = text
		case "retention_policy":
			s.RetentionPolicy = text
		case "start_time":
			s.Start, err = time.Parse(time.RFC3339, text)
		case "end_time":
			s.End, err = time.Parse(time.RFC3339, text)
		}
		if err != nil {
			return s, fmt.Errorf("read %s: %w", c, err)
		}
	}
	if s.ID == 0 || s.Database == "" {
		return s, fmt.Errorf("a shard without id or database: %v", row)
	}
	return s, nil
}

// RetentionPolicyInfo is one retention policy as the server lists it.
type RetentionPolicyInfo struct {
	Name     string
	Duration time.Duration
	Default  bool
}

// RetentionPolicies lists the retention policies of a database.
func (c *Client) RetentionPolicies(ctx context.Context, database string) ([]RetentionPolicyInfo, error) {
	series, err := c.Query(ctx, database, "SHOW RETENTION POLICIES ON "+QuoteIdent(database))
	if err != nil {
		return nil, fmt.Errorf("show retention policies: %w", err)
	}
	var out []RetentionPolicyInfo
	for _, s := range series {
		for _, row := range s.Values {
			var rp RetentionPolicyInfo
			for i, col := range s.Columns {
				switch col {
				case "name":
					rp.Name, _ = row[i].(string)
				case "duration":
					text, _ := row[i].(string)
					if rp.Duration, err = time.ParseDuration(text); err != nil {
						return nil, fmt.Errorf("show retention policies: %w", err)
					}
				case "default":
					rp.Default, _ = row[i].(bool)
				}
			}
			out = append(out, rp)
		}
	}
	return out, nil
}

// FieldKey names a field of a measurement.
type FieldKey struct {
	Measurement string
	Field       string
}

// Count counts the values of every field of every measurement of a retention
// policy with from <= time < to. Fields without a value do not appear.
func (c *Client) Count(ctx context.Context, database, policy string, from, to time.Time) (map[FieldKey]int64, error) {
	statement := fmt.Sprintf("SELECT count(*) FROM %s.%s./.*/ WHERE time >= %d AND time < %d",
		QuoteIdent(database), QuoteIdent(policy), from.UnixNano(), to.UnixNano())
	series, err := c.Query(ctx, database, statement)
	if err != nil {
		return nil, fmt.Errorf("count values of %q: %w", policy, err)
	}
	return counts(series)
}

// CountMeasurement counts the values of every field of one measurement.
func (c *Client) CountMeasurement(ctx context.Context, database, policy, measurement string, from, to time.Time) (map[string]int64, error) {
	statement := fmt.Sprintf("SELECT count(*) FROM %s.%s.%s WHERE time >= %d AND time < %d",
		QuoteIdent(database), QuoteIdent(policy), QuoteIdent(measurement), from.UnixNano(), to.UnixNano())
	series, err := c.Query(ctx, database, statement)
	if err != nil {
		return nil, fmt.Errorf("count values of %q.%q: %w", policy, measurement, err)
	}
	all, err := counts(series)
	if err != nil {
		return nil, err
	}
	out := make(map[string]int64, len(all))
	for key, n := range all {
		out[key.Field] = n
	}
	return out, nil
}

// counts reads an answer of count(*): a column count_FIELD for each field.
func counts(series []Series) (map[FieldKey]int64, error) {
	out := map[FieldKey]int64{}
	for _, s := range series {
		for _, row := range s.Values {
			for i, column := range s.Columns {
				name, ok := strings.CutPrefix(column, "count_")
				if !ok || row[i] == nil {
					continue
				}
				n, err := integer(row[i])
				if err != nil {
					return nil, fmt.Errorf("read count of %q %q: %w", s.Name, name, err)
				}
				if n > 0 {
					out[FieldKey{Measurement: s.Name, Field: name}] += n
				}
			}
		}
	}
	return out, nil
}
