package influx

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// Stream runs one SELECT and calls row for each row as it arrives, whatever
// their number. Values are the server's own JSON, untouched: a number keeps all
// its digits, null is nil. columns and values are valid during the call only.
// An error that the server sends among the rows, an answer that is cut and a
// body that ends early are errors.
func (c *Client) Stream(ctx context.Context, database, statement string, row func(columns []string, values [][]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	params := url.Values{
		"q": {statement}, "db": {database}, "chunked": {"true"}, "chunk_size": {strconv.Itoa(c.cfg.ChunkSize)},
	}
	req, err := c.request(ctx, http.MethodGet, "/query", params, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("query %s: %w", c.base.Host, unwrapURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if err := c.refused(resp); err != nil {
		return err
	}
	s := newScanner(newIdleReader(resp.Body, c.cfg.Timeout, cancel), row)
	if err := s.answer(); err != nil {
		return fmt.Errorf("read rows of %s: %w", c.base.Host, err)
	}
	return nil
}
