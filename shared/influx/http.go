package influx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	client "github.com/influxdata/influxdb1-client/v2"
)

// Error is what the server says went wrong with a statement.
type Error struct {
	Message string
}

// Error implements error.
func (e *Error) Error() string { return "InfluxDB says: " + e.Message }

// ErrUnauthorized says that the server wants a user, or another one.
var ErrUnauthorized = errors.New("the user is missing, wrong or has too few rights; check the user and password settings")

// ClientConfig says where the server's HTTP port is.
type ClientConfig struct {
	// URL is http://host:8086 or https://…, without a user.
	URL string
	// User and Password log in when they are set.
	User, Password string
	// Timeout bounds each silence of the server, 60 s when zero.
	Timeout time.Duration
	// ChunkSize is how many rows the server sends at a time to Stream, 1,000
	// when zero.
	ChunkSize int
	// TotalTimeout bounds a whole small query, 15 minutes when zero.
	TotalTimeout time.Duration
}

// Client asks a server over HTTP. It is safe for concurrent use.
type Client struct {
	cfg  ClientConfig
	base *url.URL
	http *http.Client
}

// NewClient makes a client; it does not connect yet.
func NewClient(cfg ClientConfig) (*Client, error) {
	base, err := url.Parse(cfg.URL)
	switch {
	case err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https"):
		return nil, fmt.Errorf("read address of InfluxDB: want http://host:8086")
	case base.User != nil:
		return nil, fmt.Errorf("read address of InfluxDB at %s: put user and password into their own settings, an address is printed in logs", base.Host)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Minute
	}
	if cfg.ChunkSize == 0 {
		cfg.ChunkSize = 1000
	}
	if cfg.TotalTimeout == 0 {
		cfg.TotalTimeout = 15 * time.Minute
	}
	// Without gzip: on a near network it costs more than twice the time.
	transport := &http.Transport{
		DisableCompression: true, ResponseHeaderTimeout: cfg.TotalTimeout, MaxIdleConnsPerHost: 8,
		IdleConnTimeout: time.Minute, Proxy: http.ProxyFromEnvironment,
	}
	return &Client{cfg: cfg, base: base, http: &http.Client{Transport: transport}}, nil
}

// Ping gives the server's version and its clock, which has full seconds.
func (c *Client) Ping(ctx context.Context) (version string, at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, "/ping", nil, nil)
	if err != nil {
		return "", time.Time{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("ping %s: %w", c.base.Host, unwrapURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		return "", time.Time{}, fmt.Errorf("ping %s: HTTP status %s", c.base.Host, resp.Status)
	}
	at, err = http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return "", time.Time{}, fmt.Errorf("ping %s: it sends no date: %w", c.base.Host, err)
	}
	return strings.TrimPrefix(resp.Header.Get("X-Influxdb-Version"), "v"), at, nil
}

// request makes a request to the server; errors of it never show the user.
func (c *Client) request(ctx context.Context, method, path string, params url.Values, body io.Reader) (*http.Request, error) {
	u := *c.base
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	u.RawQuery = params.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("make request to %s: %w", c.base.Host, err)
	}
	if c.cfg.User != "" {
		req.SetBasicAuth(c.cfg.User, c.cfg.Password)
	}
	return req, nil
}

// unwrapURL takes the address out of an HTTP client's error: it holds the whole
// query.
func unwrapURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// Series is one series of an answer.
type Series struct {
	Name    string
	Tags    map[string]string
	Columns []string
	// Values hold json.Number, string, bool or nil.
	Values [][]any
}

// Query runs one statement whose answer is small. Numbers are json.Number.
func (c *Client) Query(ctx context.Context, database, statement string) ([]Series, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.TotalTimeout)
	defer cancel()
	params := url.Values{"q": {statement}}
	if database != "" {
		params.Set("db", database)
	}
	// POST runs every statement; GET only those that read.
	req, err := c.request(ctx, http.MethodPost, "/query", nil, strings.NewReader(params.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", c.base.Host, unwrapURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if err := c.refused(resp); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(newIdleReader(resp.Body, c.cfg.Timeout, cancel))
	dec.UseNumber()
	var answer client.Response
	if err := dec.Decode(&answer); err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", c.base.Host, err)
	}
	return c.series(&answer)
}

// series takes the only statement's series out of an answer.
func (c *Client) series(answer *client.Response) ([]Series, error) {
	if err := answer.Error(); err != nil {
		return nil, fmt.Errorf("query %s: %w", c.base.Host, &Error{Message: err.Error()})
	}
	if len(answer.Results) != 1 {
		return nil, fmt.Errorf("query %s: %d results for one statement", c.base.Host, len(answer.Results))
	}
	var out []Series
	for _, row := range answer.Results[0].Series {
		if row.Partial {
			return nil, fmt.Errorf("query %s: %w", c.base.Host, &Error{Message: "the answer is cut (max-row-limit)"})
		}
		out = append(out, Series{Name: row.Name, Tags: row.Tags, Columns: row.Columns, Values: row.Values})
	}
	return out, nil
}

// refused turns a status that is not success into an error. The body of a bad
// request says what is wrong with the statement.
func (c *Client) refused(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("query %s: %w", c.base.Host, ErrUnauthorized)
	case resp.StatusCode < 300:
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var said struct {
		Error string `json:"error"`
	}
	if err == nil && json.Unmarshal(body, &said) == nil && said.Error != "" {
		return fmt.Errorf("query %s: %w", c.base.Host, &Error{Message: said.Error})
	}
	return fmt.Errorf("query %s: HTTP status %s", c.base.Host, resp.Status)
}

// Exec runs one statement that changes something.
func (c *Client) Exec(ctx context.Context, database, statement string) error {
	_, err := c.Query(ctx, database, statement)
	return err
}

// WritePoints writes points in line protocol, in nanoseconds; the empty
// retention policy is the database's default.
func (c *Client) WritePoints(ctx context.Context, database, policy string, lines []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.TotalTimeout)
	defer cancel()
	params := url.Values{"db": {database}, "precision": {"ns"}}
	if policy != "" {
		params.Set("rp", policy)
	}
	req, err := c.request(ctx, http.MethodPost, "/write", params, strings.NewReader(string(lines)))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("write to %s: %w", c.base.Host, unwrapURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	return c.refused(resp)
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
