package trust

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Transport gives t the settings, and its errors the settings' names: an error
// that is about TLS is an *Error. The error of Transport itself has one problem
// in each line.
func (s Settings) Transport(t *http.Transport) (http.RoundTripper, error) {
	c, err := s.config()
	if err != nil {
		return nil, err
	}
	t.TLSClientConfig = c
	return &transport{Transport: t, settings: s}, nil
}

type transport struct {
	*http.Transport
	settings Settings
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.Transport.RoundTrip(r)
	if err != nil {
		return nil, t.settings.explain(err)
	}
	if resp.StatusCode == http.StatusBadRequest {
		if advice := t.settings.misdirected(head(resp)); advice != "" {
			_ = resp.Body.Close()
			return nil, &Error{advice: advice}
		}
	}
	return resp, nil
}

// head gives the beginning of an answer's body, which can still be read whole.
func head(resp *http.Response) string {
	begin, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	rest := io.Reader(resp.Body)
	if err != nil {
		rest = failing{err}
	}
	resp.Body = &prepended{Reader: io.MultiReader(bytes.NewReader(begin), rest), Closer: resp.Body}
	return string(begin)
}

type prepended struct {
	io.Reader
	io.Closer
}

// failing is a reader that repeats an error.
type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) { return 0, f.err }

// misdirected knows how web servers answer, in HTTP, to a client whose TLS is
// not what they want: Go and Apache, and nginx for the client certificate too.
func (s Settings) misdirected(body string) string {
	has := func(part string) bool { return strings.Contains(body, part) }
	switch {
	case has("HTTP request to an HTTPS server"), has("HTTP request was sent to HTTPS port"), has("plain HTTP to an SSL-enabled server port"):
		return fmt.Sprintf("the server speaks TLS: write https:// in %s", s.Names.URL)
	case has("No required SSL certificate was sent"), has("The SSL certificate error"):
		return s.refused()
	}
	return ""
}
