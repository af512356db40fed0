package influx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// Stream runs one SELECT and calls row for each row as it arrives, whatever
// their number. Values are the server's own JSON, untouched: a number keeps all
// its digits, null is nil. columns and values are valid during the call only.
// An error that the server sends among the rows, an answer that is cut and a
// body that ends early are errors; an error of row comes back as it is.
//
// A SELECT * over shards in which a field has different types misses rows: see
// [Client.Spans].
func (c *Client) Stream(ctx context.Context, database, statement string, row func(columns []string, values [][]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx, answered := watch(ctx, c.cfg.Timeout, c.alive)
	defer answered()
	params := url.Values{
		"q": {statement}, "db": {database}, "chunked": {"true"}, "chunk_size": {strconv.Itoa(c.cfg.ChunkSize)},
	}
	req, err := c.request(ctx, http.MethodGet, "/query", params, nil)
	if err != nil {
		return err
	}
	resp, err := c.do(req, "query")
	answered()
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	s := newScanner(newIdleReader(resp.Body, c.cfg.TotalTimeout, c.cfg.Timeout, cancel), row)
	err = s.answer()
	switch {
	case err == nil:
		return nil
	case s.rowErr != nil:
		return s.rowErr
	case ctx.Err() != nil && !errors.Is(err, ErrStalled):
		err = context.Cause(ctx)
	}
	return fmt.Errorf("read rows of %s: %w", c.base.Host, err)
}
