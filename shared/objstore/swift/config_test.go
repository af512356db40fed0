package swift_test

import (
	"strings"
	"testing"

	"nightshard/shared/objstore/swift"
)

func TestLoginIsReadFromTheEnvironment(t *testing.T) {
	t.Parallel()
	v3 := map[string]string{
		"OS_AUTH_URL": "https://keystone:5000", "OS_USERNAME": "u", "OS_PASSWORD": "p", "OS_PROJECT_NAME": "proj",
		"OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_ID": "default", "OS_REGION_NAME": "r", "OS_INTERFACE": "internal",
		"OS_ENDPOINT_TYPE": "publicURL",
	}
	for name, c := range map[string]struct {
		env  map[string]string
		want swift.Config
	}{
		"v1": {
			map[string]string{"ST_AUTH": "http://h/auth/v1.0", "ST_USER": "a:u", "ST_KEY": "k", "OS_USERNAME": "ignored"},
			swift.Config{AuthVersion: 1, AuthURL: "http://h/auth/v1.0", User: "a:u", Key: "k"},
		},
		"v2": {
			map[string]string{"OS_AUTH_URL": "http://h/v2.0/", "OS_USERNAME": "u", "OS_PASSWORD": "p", "OS_TENANT_NAME": "t"},
			swift.Config{AuthVersion: 2, AuthURL: "http://h/v2.0/", User: "u", Key: "p", Project: "t"},
		},
		"v3": {v3, swift.Config{
			AuthVersion: 3, AuthURL: "https://keystone:5000/v3", User: "u", Key: "p", Project: "proj", UserDomain: "Default",
			ProjectDomainID: "default", Region: "r", EndpointType: "public",
		}},
		"application credential": {
			map[string]string{"OS_AUTH_URL": "http://h/identity/v3", "OS_APPLICATION_CREDENTIAL_ID": "i", "OS_APPLICATION_CREDENTIAL_SECRET": "s"},
			swift.Config{AuthVersion: 3, AuthURL: "http://h/identity/v3", AppCredentialID: "i", AppCredentialSecret: "s"},
		},
		"token": {
			map[string]string{"OS_STORAGE_URL": "http://h/v1/AUTH_x", "OS_AUTH_TOKEN": "t"},
			swift.Config{StorageURL: "http://h/v1/AUTH_x", AuthToken: "t"},
		},
	} {
		got, err := swift.ConfigFromEnv(c.env)
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, c.want)
		}
	}
}

func TestEveryMissingSettingIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"nothing":   {nil, []string{"ST_AUTH", "ST_USER", "ST_KEY", "OS_AUTH_URL", "OS_PASSWORD"}},
		"only user": {map[string]string{"ST_USER": "a:u"}, []string{"ST_AUTH", "ST_KEY"}},
		"bad URL":   {map[string]string{"ST_USER": "a:u", "ST_KEY": "hunter2", "ST_AUTH": "host:8080"}, []string{"http://"}},
		"only name": {map[string]string{"OS_USERNAME": "u"}, []string{"OS_AUTH_URL", "OS_PASSWORD", "OS_PROJECT_NAME", "OS_USER_DOMAIN_NAME"}},
		"no secret": {map[string]string{"OS_AUTH_URL": "http://h/v3", "OS_APPLICATION_CREDENTIAL_ID": "i"}, []string{"OS_APPLICATION_CREDENTIAL_SECRET"}},
		"no owner": {
			map[string]string{"OS_AUTH_URL": "http://h/v3", "OS_APPLICATION_CREDENTIAL_NAME": "n", "OS_APPLICATION_CREDENTIAL_SECRET": "hunter2"},
			[]string{"OS_USERNAME", "OS_USER_DOMAIN_NAME"},
		},
		"no token": {map[string]string{"OS_STORAGE_URL": "http://h"}, []string{"OS_AUTH_TOKEN"}},
	} {
		_, err := swift.ConfigFromEnv(c.env)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %q does not name %s, or names a secret", name, err, want)
			}
		}
	}
}

func TestOpenWithoutLoginIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := swift.Open(t.Context(), swift.Config{}); err == nil {
		t.Error("Open without a login succeeded")
	}
}

func TestMissingCertificatesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := swift.Open(t.Context(), swift.Config{AuthURL: "https://127.0.0.1:1", Key: "k", CACert: "/does/not/exist"})
	if err == nil || !strings.Contains(err.Error(), "OS_CACERT") {
		t.Errorf("Open = %v", err)
	}
}
