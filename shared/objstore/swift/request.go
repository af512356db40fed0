package swift

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	ncw "github.com/ncw/swift/v2"

	"nightshard/shared/objstore"
)

// request is one call of Swift's API.
type request struct {
	method            string
	container, object string
	query             url.Values
	header            ncw.Headers
	// body is sent in chunks unless the header has a Content-Length.
	body io.Reader
}

// do sends a request. The caller closes the body of the answer. A missing
// container or object is ErrNotFound, another status a *StatusError.
func (s *Store) do(w *watch, r request) (*http.Response, error) {
	target, err := s.storageURL(w.ctx)
	if err != nil {
		return nil, w.explain(err)
	}
	header := ncw.Headers{}
	if r.body == nil {
		header["Content-Length"] = "0"
	}
	maps.Copy(header, r.header)
	resp, _, err := s.conn.Call(w.ctx, target, ncw.RequestOpts{
		Container: r.container, ObjectName: r.object, Operation: r.method, Parameters: r.query, Headers: header,
		Body: r.body,
		// No try is the library's to make: it has no back-off.
		Retries: -1,
	})
	if err != nil {
		return nil, s.failure(w, resp, err)
	}
	return resp, nil
}

// call is do for an answer of which only the header matters.
func (s *Store) call(w *watch, r request) (http.Header, error) {
	resp, err := s.do(w, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing in it matters
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return nil, s.secrets.scrub(w.explain(err))
	}
	return resp.Header, nil
}

// failure translates what the library returned.
func (s *Store) failure(w *watch, resp *http.Response, err error) error {
	var status *ncw.Error
	if resp == nil || !errors.As(err, &status) {
		return s.secrets.scrub(w.explain(err))
	}
	if resp.StatusCode == http.StatusNotFound {
		return objstore.ErrNotFound
	}
	text := reason(resp, err)
	if resp.StatusCode == http.StatusForbidden {
		text += " (the user needs a role in the project that Swift takes for an operator's, such as member)"
	}
	return &objstore.StatusError{
		Code: resp.StatusCode, RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
		Text: s.secrets.hide(text),
	}
}

// reason is the server's own words: the status and what its body said.
func reason(resp *http.Response, err error) string {
	text := strings.TrimPrefix(resp.Status, strconv.Itoa(resp.StatusCode)+" ")
	if _, body, found := strings.Cut(err.Error(), resp.Status+": "); found {
		text += ": " + body
	}
	return text
}

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

// etag is the hash in an answer; newer servers write it in quotes.
func etag(h http.Header) string {
	return strings.ToLower(strings.Trim(h.Get("Etag"), `"`))
}
