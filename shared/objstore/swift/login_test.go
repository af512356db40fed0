package swift_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"nightshard/shared/objstore"
	"nightshard/shared/objstore/swift"
)

// identity answers each login with a token that lives so long and a catalog.
func identity(t *testing.T, life time.Duration, catalog string) map[string]string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "POST /v3/auth/tokens":
			w.Header().Set("X-Subject-Token", "t0ken-that-is-secret")
			w.WriteHeader(http.StatusCreated)
			_, _ = fmt.Fprintf(w, `{"token":{"expires_at":%q,"catalog":%s}}`, time.Now().Add(life).UTC().Format(time.RFC3339), catalog)
		case "GET /v3/auth/catalog":
			if r.Header.Get("X-Auth-Token") == "" {
				t.Error("the catalog is asked for without a token")
			}
			_, _ = fmt.Fprintf(w, `{"catalog":%s}`, catalog)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return map[string]string{
		"OS_AUTH_URL": srv.URL + "/v3", "OS_USERNAME": "u", "OS_PASSWORD": "hunter2", "OS_USER_DOMAIN_NAME": "Default",
		"OS_PROJECT_NAME": "p", "OS_REGION_NAME": "north",
	}
}

// Logins that are taken and of no use. A Keystone as it should be has none of
// them.
func TestUselessLoginsSayWhatToChange(t *testing.T) {
	t.Parallel()
	here := `[{"type":"object-store","endpoints":[{"interface":"public","region":"north","url":"http://127.0.0.1:1/v1/AUTH_p"}]}]`
	for name, c := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"short tokens":    {identity(t, 30*time.Second, here), []string{"within a minute", "clocks"}},
		"no object store": {identity(t, time.Hour, `[{"type":"identity","endpoints":[]}]`), []string{"no object store at all", "OS_PROJECT_NAME"}},
		"other region": {
			identity(t, time.Hour, strings.ReplaceAll(here, "north", "south")), []string{`a public endpoint in region "north"`, `public in region "south"`, "OS_REGION_NAME"},
		},
		"other endpoint": {
			identity(t, time.Hour, strings.ReplaceAll(here, "public", "internal")), []string{"a public endpoint", `internal in region "north"`, "OS_ENDPOINT_TYPE"},
		},
	} {
		_, err := openEnv(t, c.env)
		if err == nil || errors.Is(err, objstore.ErrCredentials) || strings.Contains(err.Error(), "t0ken") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", name, err, want)
			}
		}
	}
}

func TestALoginThatAnswersNothingIsNoSwift(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	_, err := openEnv(t, map[string]string{"ST_AUTH": srv.URL, "ST_USER": "a:u", "ST_KEY": "hunter2"})
	if err == nil || !strings.Contains(err.Error(), "check ST_AUTH") {
		t.Errorf("%v", err)
	}
}

func TestCertificateSettingsAreReadAndChecked(t *testing.T) {
	t.Parallel()
	login := func(name, value string) map[string]string {
		return map[string]string{"ST_AUTH": "https://h/auth/v1.0", "ST_USER": "a:u", "ST_KEY": "hunter2", name: value}
	}
	for name, c := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"authority":            {login("OS_CACERT", "/no/where"), []string{"OS_CACERT", "no such file"}},
		"certificate, no key":  {login("OS_CERT", "cert.pem"), []string{"OS_CERT is set without OS_KEY"}},
		"key, no certificate":  {login("OS_KEY", "key.pem"), []string{"OS_KEY is set without OS_CERT"}},
		"no check":             {login("OS_INSECURE", "True"), []string{"OS_INSECURE", "OS_CACERT"}},
		"no check, the client": {login("SWIFTCLIENT_INSECURE", "1"), []string{"SWIFTCLIENT_INSECURE", "OS_CACERT"}},
		"endpoint":             {login("OS_ENDPOINT_TYPE", "pubic"), []string{"OS_ENDPOINT_TYPE", "public, internal or admin"}},
	} {
		_, err := swift.ConfigFromEnv(c.env)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v does not say %q", name, err, want)
			}
		}
	}
	if _, err := swift.ConfigFromEnv(login("OS_INSECURE", "false")); err != nil {
		t.Errorf("a check that stays on: %v", err)
	}
}
