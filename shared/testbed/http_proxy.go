package testbed

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// HTTPAction is what goes wrong with one request.
type HTTPAction int

const (
	// Pass passes the request and its answer on unchanged.
	Pass HTTPAction = iota
	// Answer gives HTTPFault.Status in the server's place, which never sees the
	// request. Half of a request's content is read before.
	Answer
	// Drop ends the connection in good order; the server never sees the request.
	Drop
	// ResetRequest ends the connection with RST, half of the request's content
	// sent; the server sees it break off.
	ResetRequest
	// StallRequest takes half of the request's content and then is silent, as a
	// server does that hangs.
	StallRequest
	// FlipRequest changes one bit in the middle of the request's content.
	FlipRequest
	// FlipRequestHidden does the same, and the answer names the hash of what
	// was sent, not of what is stored: a server that lies.
	FlipRequestHidden
	// LoseAnswer lets the server do its work and resets the connection in place
	// of the answer.
	LoseAnswer
	// CutAnswer ends the connection in good order after half of the answer's
	// content, short of the length that its header gave.
	CutAnswer
	// ResetAnswer ends the connection with RST after half of the answer's
	// content.
	ResetAnswer
	// StallAnswer sends half of the answer's content and then is silent.
	StallAnswer
	// SlowAnswer sends the answer's content in a few pieces with a pause of
	// HTTPFault.Pause before each. Nothing is wrong with it but its speed.
	SlowAnswer
	// FlipAnswer changes one bit in the middle of the answer's content.
	FlipAnswer
	// ShortAnswer leaves out the second half of the answer's content; the length
	// in its header fits.
	ShortAnswer
	// EditAnswer passes the answer's content through HTTPFault.Edit.
	EditAnswer
)

// HTTPFault is one thing that goes wrong with one request. The zero value is
// none.
type HTTPFault struct {
	Action HTTPAction
	// Status is what Answer gives, with the headers of Header.
	Status int
	Header map[string]string
	// Pause is that of SlowAnswer.
	Pause time.Duration
	// Edit is that of EditAnswer.
	Edit func(content []byte) []byte
	// Before is called before the request is passed on, After when the server
	// has answered and the client does not know yet; nil for none. A request
	// whose client is gone by then is dropped.
	Before, After func()
}

// HTTPRequest is a request as the proxy saw it.
type HTTPRequest struct {
	Method string
	// Path and Query are as they came, escaped. A form in the content counts as
	// part of the query.
	Path, Query string
}

// HTTPProxy passes HTTP requests on to a server and breaks single ones on
// demand. It ends with the test.
type HTTPProxy struct {
	// Addr is the host:port that clients connect to.
	Addr string

	target    string
	transport *http.Transport
	ended     chan struct{}
	mu        sync.Mutex
	plan      func(HTTPRequest) HTTPFault
}

// NewHTTPProxy starts a proxy in front of target (host:port). Without a plan
// it passes everything on unchanged.
func NewHTTPProxy(t testing.TB, target string) *HTTPProxy {
	t.Helper()
	listener := listen(t)
	p := &HTTPProxy{
		Addr: listener.Addr().String(), target: target, ended: make(chan struct{}),
		transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16},
	}
	server := &http.Server{Handler: p, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { _ = server.Serve(listener); close(done) }()
	t.Cleanup(func() {
		close(p.ended)
		_ = server.Close()
		p.transport.CloseIdleConnections()
		<-done
	})
	return p
}

// OnRequest sets what goes wrong from now on: plan is called with every
// request, by several goroutines at a time; nil is nothing.
func (p *HTTPProxy) OnRequest(plan func(HTTPRequest) HTTPFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
}

// fault asks the plan.
func (p *HTTPProxy) fault(r *http.Request) HTTPFault {
	p.mu.Lock()
	plan := p.plan
	p.mu.Unlock()
	if plan == nil {
		return HTTPFault{}
	}
	return plan(HTTPRequest{Method: r.Method, Path: r.URL.EscapedPath(), Query: strings.Trim(r.URL.RawQuery+"&"+form(r), "&")})
}

// form is the content of a request that is a form; the request keeps it.
func form(r *http.Request) string {
	if r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return ""
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, held))
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(data), &reader{then: err}, r.Body))
	return string(data)
}
