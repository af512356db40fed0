package influx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"nightshard/shared/trust"
)

// Error is what the server says went wrong with a statement.
type Error struct {
	Message string
}

// Error implements error.
func (e *Error) Error() string { return "InfluxDB says: " + e.Message }

// ErrUnauthorized says that the server wants a user, or another one (HTTP
// status 401 or 403).
var ErrUnauthorized = errors.New("the user is missing, wrong or has too few rights; check the user and password settings")

// ClientConfig says where the server's HTTP port is and how patient to be.
type ClientConfig struct {
	// URL is http://host:8086 or https://…, without a user.
	URL string
	// User and Password log in when they are set.
	User, Password string
	// TLS are the certificates for https. What goes wrong with them is a
	// *trust.Error, which names the setting.
	TLS trust.Settings
	// Timeout bounds a ping, and each silence of the server within an answer,
	// 60 s when zero.
	Timeout time.Duration
	// ChunkSize is how many rows the server sends at a time to Stream, 1,000
	// when zero.
	ChunkSize int
	// TotalTimeout bounds the time until an answer's first byte, in which the
	// server works, and a whole small query. 15 minutes when zero.
	TotalTimeout time.Duration
	// DialTimeout bounds the connecting, 10 s when zero.
	DialTimeout time.Duration
}

// Client asks a server over HTTP. It is safe for concurrent use.
type Client struct {
	cfg  ClientConfig
	base *url.URL
	http *http.Client

	listing sync.Mutex              // held while fields are listed
	fields  map[[2]string]fieldList // by database and policy
}

// NewClient makes a client; it does not connect yet.
func NewClient(cfg ClientConfig) (*Client, error) {
	base, err := url.Parse(cfg.URL)
	switch {
	case err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https"):
		return nil, errors.New("read address of InfluxDB: want http://host:8086")
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
	if cfg.DialTimeout == 0 {
		cfg.DialTimeout = 10 * time.Second
	}
	web, err := newHTTP(cfg)
	if err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, base: base, http: web}, nil
}

// newHTTP makes the HTTP client. It asks for no gzip: on a near network that
// costs more than twice the time. It follows no redirect: an InfluxDB sends
// none, and another place must not get the password.
func newHTTP(cfg ClientConfig) (*http.Client, error) {
	dialer := &net.Dialer{Timeout: cfg.DialTimeout}
	transport, err := cfg.TLS.Transport(&http.Transport{
		DisableCompression: true, Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext,
		TLSHandshakeTimeout: cfg.DialTimeout, ResponseHeaderTimeout: cfg.TotalTimeout,
		MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
	})
	if err != nil {
		return nil, fmt.Errorf("read certificates for InfluxDB: %w", err)
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// Ping gives the server's version, without a leading v, and its clock, which
// has full seconds. A server built by `go install` calls its version "unknown".
func (c *Client) Ping(ctx context.Context) (version string, at time.Time, err error) {
	ctx, cancel := c.within(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, "/ping", nil, nil)
	if err != nil {
		return "", time.Time{}, err
	}
	resp, err := c.do(req, "ping")
	if err != nil {
		return "", time.Time{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	at, err = http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return "", time.Time{}, fmt.Errorf("ping %s: it sends no date: %w", c.base.Host, err)
	}
	return strings.TrimPrefix(resp.Header.Get("X-Influxdb-Version"), "v"), at, nil
}

// within bounds a call; its end for this reason is a stall of the server.
func (c *Client) within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("no answer within %s: %w", d, ErrStalled))
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

// do sends a request; an answer that is not success is an error. what names the
// operation.
func (c *Client) do(req *http.Request, what string) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", what, c.base.Host, c.explain(req.Context(), err))
	}
	if err := refused(resp); err != nil {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s %s: %w", what, c.base.Host, err)
	}
	return resp, nil
}

// explain says what an error of the HTTP client means. It leaves out the
// address, which holds the whole query.
func (c *Client) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		return fmt.Errorf("%w: %w", err, ErrStalled)
	}
	if setting := c.cfg.TLS.Names.URL; setting != "" && errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w: check that InfluxDB runs and that %s names it", err, setting)
	}
	return err
}

// refused turns a status that is not success into an error. The body says what
// is wrong with the statement or the user.
func refused(resp *http.Response) error {
	if resp.StatusCode < http.StatusMultipleChoices {
		return nil
	}
	var said struct {
		Error string `json:"error"`
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil || json.Unmarshal(body, &said) != nil || said.Error == "" {
		said.Error = "HTTP status " + resp.Status
	}
	answer := &Error{Message: said.Error}
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		return fmt.Errorf("%w (%w)", ErrUnauthorized, answer)
	}
	return answer
}
