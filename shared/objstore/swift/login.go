package swift

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	ncw "github.com/ncw/swift/v2"

	"nightshard/shared/objstore"
)

// authenticate is called with the login held.
func (s *Store) authenticate(ctx context.Context) error {
	if s.conn.AuthUrl == "" {
		return fmt.Errorf("log in to Swift: the token of OS_AUTH_TOKEN has ended: %w", objstore.ErrCredentials)
	}
	w := newWatch(ctx, s.idle)
	defer w.stop()
	err := s.conn.Authenticate(w.ctx)
	if err == nil {
		return nil
	}
	return fmt.Errorf("log in to Swift at %s: %w", s.secrets.hide(plainURL(s.conn.AuthUrl)), s.secrets.scrub(s.refusal(w, err)))
}

// refusal says what a failed login means.
func (s *Store) refusal(w *watch, err error) error {
	var status *ncw.Error
	if !errors.As(err, &status) {
		return w.explain(err)
	}
	answer := &objstore.StatusError{Code: status.StatusCode, Text: status.Text}
	switch status.StatusCode {
	case 0: // the library's own: it cannot use the answer
		w.kick()
		return s.unusable(w)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: check %s: %w", objstore.ErrCredentials, s.cfg.credentials(), answer)
	case http.StatusNotFound:
		if s.cfg.AppCredentialID != "" { // so Keystone says that it has none of this id
			return fmt.Errorf("%w: check %s; or nothing to log in to is at OS_AUTH_URL: %w", objstore.ErrCredentials, s.cfg.credentials(), answer)
		}
		fallthrough
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusMultipleChoices:
		return fmt.Errorf("no identity service takes a login of version %d there: check %s: %w", s.cfg.AuthVersion, s.cfg.address(), answer)
	}
	answer.Text = s.secrets.hide(err.Error())
	return answer
}

// address names the setting of where to log in.
func (c Config) address() string {
	if c.AuthVersion == 1 {
		return "ST_AUTH"
	}
	return "OS_AUTH_URL"
}

// credentials names the settings that the server may have refused. Keystone
// does not say which of them is wrong: that would help those who guess.
func (c Config) credentials() string {
	domain := "OS_USER_DOMAIN_NAME"
	if c.UserDomain == "" {
		domain = "OS_USER_DOMAIN_ID"
	}
	user := "OS_USERNAME and " + domain
	if c.User == "" {
		user = "OS_USER_ID"
	}
	switch {
	case c.AuthVersion == 1:
		return "ST_USER and ST_KEY"
	case c.AppCredentialID != "":
		return "OS_APPLICATION_CREDENTIAL_ID and OS_APPLICATION_CREDENTIAL_SECRET (it may also have ended, been removed, or its owner lost the project)"
	case c.AppCredentialSecret != "":
		return "OS_APPLICATION_CREDENTIAL_NAME, OS_APPLICATION_CREDENTIAL_SECRET, and its owner's " + user + " (it may also have ended or been removed)"
	case c.TrustID != "":
		return user + ", OS_PASSWORD and OS_TRUST_ID"
	case c.ProjectID != "":
		return user + ", OS_PASSWORD and OS_PROJECT_ID; the user needs a role in that project"
	}
	return user + ", OS_PASSWORD, OS_PROJECT_NAME and OS_PROJECT_DOMAIN_NAME; the user needs a role in that project"
}

// unusable says why a login that was taken is of no use.
func (s *Store) unusable(w *watch) error {
	token, storage, until := s.conn.AuthToken, s.conn.StorageUrl, s.conn.Expires
	s.secrets.addToken(token)
	switch {
	case token == "":
		return fmt.Errorf("the answer holds no token: check %s", s.cfg.address())
	case storage != "":
		return fmt.Errorf("its token ends at %s, within a minute: set the clocks of both machines, or have the identity service give tokens that last", until.Format("15:04:05 MST"))
	case s.cfg.AuthVersion == 1:
		return fmt.Errorf("the answer holds no storage address: check %s", s.cfg.address())
	}
	wanted := fmt.Sprintf("no object store with %s endpoint%s", s.cfg.endpoint(), inRegion(s.cfg.Region))
	offered, err := s.offered(w, token)
	switch {
	case err != nil: // not even the catalog can be read on its own
		return fmt.Errorf("its catalog has %s: check OS_REGION_NAME and OS_ENDPOINT_TYPE (or OS_INTERFACE)", wanted)
	case len(offered) == 0:
		return errors.New("its catalog has no object store at all: check OS_PROJECT_NAME (or OS_PROJECT_ID) and OS_AUTH_URL")
	}
	return fmt.Errorf("its catalog has %s, but %s: check OS_REGION_NAME and OS_ENDPOINT_TYPE (or OS_INTERFACE)", wanted, strings.Join(offered, ", "))
}

func (c Config) endpoint() string {
	switch c.EndpointType {
	case "internal", "admin":
		return "an " + c.EndpointType
	}
	return "a public"
}

func inRegion(region string) string {
	if region == "" {
		return ""
	}
	return fmt.Sprintf(" in region %q", region)
}

// offered lists the object stores of Keystone's catalog. The library has read
// the catalog, but tells nobody.
func (s *Store) offered(w *watch, token string) ([]string, error) {
	req, err := http.NewRequestWithContext(w.ctx, http.MethodGet, strings.TrimRight(s.conn.AuthUrl, "/")+"/auth/catalog", nil)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("X-Auth-Token", token)
	resp, err := s.conn.Transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only the answer matters
	var answer struct {
		Catalog []struct {
			Type      string
			Endpoints []struct{ Interface, Region string }
		}
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read catalog: HTTP status %s", resp.Status)
	}
	var offered []string
	for _, service := range answer.Catalog {
		if service.Type != "object-store" {
			continue
		}
		for _, e := range service.Endpoints {
			offered = append(offered, e.Interface+inRegion(e.Region))
		}
	}
	slices.Sort(offered)
	return slices.Compact(offered), nil
}

// plainURL leaves out a user and password.
func plainURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "an address that is no URL"
	}
	u.User = nil
	return u.String()
}
