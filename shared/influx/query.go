package influx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	client "github.com/influxdata/influxdb1-client/v2"
)

// maxAnswer bounds the answer of a query that is held in memory, in bytes.
const maxAnswer = 256 << 20

// Series is one series of an answer.
type Series struct {
	Name    string
	Tags    map[string]string
	Columns []string
	// Values hold json.Number, string, bool or nil; each row has one for each
	// column.
	Values [][]any
}

// Query runs one statement that only reads and whose answer is small. Numbers
// are json.Number. An answer that the server cuts is an error.
func (c *Client) Query(ctx context.Context, database, statement string) ([]Series, error) {
	all, err := c.post(ctx, database, []string{statement}, true)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// queries runs several such statements, one after the other, in one request.
func (c *Client) queries(ctx context.Context, database string, statements []string) ([][]Series, error) {
	return c.post(ctx, database, statements, true)
}

// Exec runs one statement that changes something.
func (c *Client) Exec(ctx context.Context, database, statement string) error {
	_, err := c.post(ctx, database, []string{statement}, false)
	c.listing.Lock()
	defer c.listing.Unlock()
	c.fields = nil // a database may have been dropped and made anew
	return err
}

// post runs statements by POST, which allows every statement of any length. It
// gives what each answered.
func (c *Client) post(ctx context.Context, database string, statements []string, again bool) ([][]Series, error) {
	ctx, cancel := c.within(ctx, c.cfg.TotalTimeout)
	defer cancel()
	ctx, answered := watch(ctx, c.cfg.Timeout, c.alive)
	defer answered()
	params := url.Values{"q": {strings.Join(statements, ";")}}
	if database != "" {
		params.Set("db", database)
	}
	req, err := c.request(ctx, http.MethodPost, "/query", nil, strings.NewReader(params.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if again {
		// Nothing is sent for it. It lets net/http repeat the request when an
		// idle connection turns out to be closed, as after the server's restart.
		req.Header["Idempotency-Key"] = nil
	}
	resp, err := c.do(req, "query")
	answered()
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	out, err := decode(newIdleReader(resp.Body, c.cfg.TotalTimeout, c.cfg.Timeout, cancel), len(statements))
	if err != nil && ctx.Err() != nil && !errors.Is(err, ErrStalled) {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", c.base.Host, err)
	}
	return out, nil
}

// decode reads the answer to n statements to its end, so that the connection can
// be used again.
func decode(body io.Reader, n int) ([][]Series, error) {
	limited := &io.LimitedReader{R: body, N: maxAnswer}
	dec := json.NewDecoder(limited)
	dec.UseNumber()
	var answer client.Response
	if err := dec.Decode(&answer); err != nil {
		if limited.N == 0 {
			return nil, fmt.Errorf("read answer: it is longer than %d bytes", maxAnswer)
		}
		return nil, fmt.Errorf("read answer: %w", noEOF(err))
	}
	if _, err := io.Copy(io.Discard, limited); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return seriesOf(&answer, n)
}

// seriesOf takes the series of n statements out of an answer.
func seriesOf(answer *client.Response, n int) ([][]Series, error) {
	if err := answer.Error(); err != nil {
		return nil, &Error{Message: err.Error()}
	}
	if len(answer.Results) != n {
		return nil, fmt.Errorf("read answer: %d results for %d statements", len(answer.Results), n)
	}
	out := make([][]Series, n)
	for i, result := range answer.Results {
		for _, s := range result.Series {
			if s.Partial {
				return nil, &Error{Message: "the answer is cut (max-row-limit)"}
			}
			for _, row := range s.Values {
				if len(row) != len(s.Columns) {
					return nil, fmt.Errorf("read answer: %d values for %d columns: %w", len(row), len(s.Columns), errSyntax)
				}
			}
			out[i] = append(out[i], Series{Name: s.Name, Tags: s.Tags, Columns: s.Columns, Values: s.Values})
		}
	}
	return out, nil
}

// WritePoints writes points in line protocol, in nanoseconds; the empty
// retention policy is the database's default. A point that the server drops is
// an error.
func (c *Client) WritePoints(ctx context.Context, database, policy string, lines []byte) error {
	ctx, cancel := c.within(ctx, c.cfg.TotalTimeout)
	defer cancel()
	ctx, answered := watch(ctx, c.cfg.Timeout, c.alive)
	defer answered()
	params := url.Values{"db": {database}, "precision": {"ns"}}
	if policy != "" {
		params.Set("rp", policy)
	}
	req, err := c.request(ctx, http.MethodPost, "/write", params, bytes.NewReader(lines))
	if err != nil {
		return err
	}
	resp, err := c.do(req, "write to")
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	return nil
}
