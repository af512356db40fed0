package swift

import (
	"net/http"
	"slices"
	"strings"
	"sync"
)

// secrets knows what must not be in any message: keys, and every token seen.
type secrets struct {
	mu     sync.RWMutex
	values []string
	token  string
}

func newSecrets(cfg Config) *secrets {
	s := &secrets{token: cfg.AuthToken}
	for _, v := range []string{cfg.Key, cfg.AppCredentialSecret, cfg.AuthToken} {
		if v != "" {
			s.values = append(s.values, v)
		}
	}
	return s
}

func (s *secrets) addToken(token string) {
	s.mu.RLock()
	same := token == s.token
	s.mu.RUnlock()
	if same || token == "" {
		return
	}
	s.mu.Lock()
	s.token = token
	s.mu.Unlock()
}

// hide replaces every secret in text.
func (s *secrets) hide(text string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, v := range append(slices.Clip(s.values), s.token) {
		if v != "" {
			text = strings.ReplaceAll(text, v, "***")
		}
	}
	return text
}

// scrub hides the secrets in an error's text and keeps what it wraps.
func (s *secrets) scrub(err error) error {
	if err == nil {
		return nil
	}
	before := err.Error()
	if text := s.hide(before); text != before {
		return &scrubbed{text: text, err: err}
	}
	return err
}

type scrubbed struct {
	text string
	err  error
}

// Error gives the text without secrets.
func (e *scrubbed) Error() string { return e.text }

// Unwrap gives the error that was scrubbed, to tell what kind it is.
func (e *scrubbed) Unwrap() error { return e.err }

// spy is a transport that learns the token of each request.
type spy struct {
	next    http.RoundTripper
	secrets *secrets
}

// RoundTrip implements http.RoundTripper.
func (s *spy) RoundTrip(r *http.Request) (*http.Response, error) {
	s.secrets.addToken(r.Header.Get("X-Auth-Token"))
	return s.next.RoundTrip(r) //nolint:wrapcheck // a transport passes errors on
}
