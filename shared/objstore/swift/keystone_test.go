package swift_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nightshard/shared/objstore"
	"nightshard/shared/objstore/objstoretest"
	"nightshard/shared/objstore/retry"
	"nightshard/shared/objstore/swift"
	"nightshard/shared/testbed"
)

// openEnv opens an account as the environment says.
func openEnv(t *testing.T, env map[string]string) (*swift.Store, error) {
	t.Helper()
	cfg, err := swift.ConfigFromEnv(env)
	if err != nil {
		t.Fatal(err)
	}
	return swift.Open(t.Context(), cfg)
}

// roundTrip stores an object, reads and lists it, and removes it.
func roundTrip(t *testing.T, store objstore.Account) error {
	t.Helper()
	container, want := "trip-"+rand.Text(), random(1000)
	if _, err := store.Put(t.Context(), container, "a b", objstore.NewSource(want), objstore.PutOptions{}); err != nil {
		return err
	}
	got, err := objstore.Read(t.Context(), store, container, "a b", 1<<20)
	if err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("read %d bytes: %w", len(got), err)
	}
	listed := 0
	if err := store.List(t.Context(), container, "", func(objstore.Object) error { listed++; return nil }); err != nil || listed != 1 {
		return fmt.Errorf("list %d: %w", listed, err)
	}
	if err := store.Delete(t.Context(), container, "a b"); err != nil {
		return err
	}
	return store.DeleteContainer(t.Context(), container)
}

func TestKeystone(t *testing.T) {
	t.Parallel()
	k := testbed.Keystone(t)
	for name, test := range map[string]func(*testing.T, *testbed.KeystoneServer){
		"keeps the promises": func(t *testing.T, k *testbed.KeystoneServer) {
			store, err := openEnv(t, k.NewUser(t, "member").Env)
			if err != nil {
				t.Fatal(err)
			}
			objstoretest.Run(t, func(testing.TB) objstoretest.Inner { return store })
		},
		"takes each way to log in":                  keystoneLogins,
		"says what it refuses":                      keystoneRefusals,
		"gives a new token before the old one ends": keystoneRenewal,
		"gives a new token for one that was ended":  keystoneRevoked,
		"works behind TLS":                          keystoneTLS,
		"serves the plain client":                   keystonePlainClient,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, k) })
	}
}

func keystoneLogins(t *testing.T, k *testbed.KeystoneServer) {
	u := k.NewUser(t, "member")
	id, secret := u.AppCredential(t, "nightly & co")
	byID := map[string]string{"OS_USERNAME": "", "OS_USER_DOMAIN_NAME": "", "OS_USER_ID": u.ID, "OS_PROJECT_NAME": "", "OS_PROJECT_DOMAIN_NAME": "", "OS_PROJECT_ID": u.ProjectID}
	credential := func(more map[string]string) map[string]string {
		env := map[string]string{
			"OS_AUTH_URL": k.AuthURL, "OS_AUTH_TYPE": "v3applicationcredential", "OS_REGION_NAME": testbed.KeystoneRegion, "OS_APPLICATION_CREDENTIAL_SECRET": secret,
		}
		maps.Copy(env, more)
		return env
	}
	for name, env := range map[string]map[string]string{
		"names":              u.Env,
		"ids":                u.With(byID),
		"domain ids":         u.With(map[string]string{"OS_USER_DOMAIN_NAME": "", "OS_USER_DOMAIN_ID": u.DomainID, "OS_PROJECT_DOMAIN_NAME": "", "OS_PROJECT_DOMAIN_ID": u.DomainID}),
		"the user's domain":  u.With(map[string]string{"OS_PROJECT_DOMAIN_NAME": ""}),
		"tenant":             u.With(map[string]string{"OS_PROJECT_NAME": "", "OS_TENANT_NAME": u.Env["OS_PROJECT_NAME"]}),
		"no region":          u.With(map[string]string{"OS_REGION_NAME": ""}),
		"no version":         u.With(map[string]string{"OS_AUTH_URL": strings.TrimSuffix(k.AuthURL, "/v3"), "OS_IDENTITY_API_VERSION": ""}),
		"version and slash":  u.With(map[string]string{"OS_AUTH_URL": k.AuthURL + "/"}),
		"interface":          u.With(map[string]string{"OS_INTERFACE": "internal"}),
		"endpoint type":      u.With(map[string]string{"OS_ENDPOINT_TYPE": "internalURL"}),
		"credential":         credential(map[string]string{"OS_APPLICATION_CREDENTIAL_ID": id}),
		"credential by name": credential(map[string]string{"OS_APPLICATION_CREDENTIAL_NAME": "nightly & co", "OS_USERNAME": u.Env["OS_USERNAME"], "OS_USER_DOMAIN_NAME": testbed.KeystoneDomain}),
		"by name, domain id": credential(map[string]string{"OS_APPLICATION_CREDENTIAL_NAME": "nightly & co", "OS_USERNAME": u.Env["OS_USERNAME"], "OS_USER_DOMAIN_ID": u.DomainID}),
		"by name, user id":   credential(map[string]string{"OS_APPLICATION_CREDENTIAL_NAME": "nightly & co", "OS_USER_ID": u.ID}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, err := openEnv(t, env)
			if err != nil {
				t.Fatal(err)
			}
			if err := roundTrip(t, store); err != nil {
				t.Error(err)
			}
			if !strings.HasSuffix(store.Endpoint(), "/v1/AUTH_"+u.ProjectID) {
				t.Errorf("works on %s", store.Endpoint())
			}
		})
	}
}

func keystoneRefusals(t *testing.T, k *testbed.KeystoneServer) {
	u := k.NewUser(t, "member")
	id, secret := u.AppCredential(t, "spoiled")
	gone, goneSecret := u.AppCredential(t, "gone")
	u.DropAppCredential(t, gone)
	const password = "OS_PASSWORD"
	for name, c := range map[string]struct {
		change      map[string]string
		credentials bool
		want        []string
	}{
		"password": {map[string]string{password: "hunter2"}, true, []string{"OS_USERNAME", "OS_USER_DOMAIN_NAME", password, "OS_PROJECT_NAME"}},
		"user":     {map[string]string{"OS_USERNAME": "nobody"}, true, []string{"OS_USERNAME", password}},
		"project":  {map[string]string{"OS_PROJECT_NAME": "hers"}, true, []string{"OS_PROJECT_NAME", "OS_PROJECT_DOMAIN_NAME", "role"}},
		"domain":   {map[string]string{"OS_USER_DOMAIN_NAME": "Default"}, true, []string{"OS_USER_DOMAIN_NAME"}},
		"project id": {
			map[string]string{"OS_PROJECT_NAME": "", "OS_PROJECT_ID": strings.Repeat("0", 32)}, true, []string{"OS_PROJECT_ID"},
		},
		"credential's secret": {
			map[string]string{"OS_APPLICATION_CREDENTIAL_ID": id, "OS_APPLICATION_CREDENTIAL_SECRET": "hunter2"},
			true,
			[]string{"OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_SECRET"},
		},
		"credential's id":   {map[string]string{"OS_APPLICATION_CREDENTIAL_ID": "none", "OS_APPLICATION_CREDENTIAL_SECRET": secret}, true, []string{"OS_APPLICATION_CREDENTIAL_ID"}},
		"credential's name": {map[string]string{"OS_APPLICATION_CREDENTIAL_NAME": "none", "OS_APPLICATION_CREDENTIAL_SECRET": secret}, true, []string{"OS_APPLICATION_CREDENTIAL_NAME", "OS_USERNAME"}},
		"credential is gone": {
			map[string]string{"OS_APPLICATION_CREDENTIAL_ID": gone, "OS_APPLICATION_CREDENTIAL_SECRET": goneSecret}, true, []string{"removed"},
		},
		"region":   {map[string]string{"OS_REGION_NAME": "Nowhere"}, false, []string{"OS_REGION_NAME", `"Nowhere"`, `public in region "Region One"`}},
		"endpoint": {map[string]string{"OS_INTERFACE": "admin"}, false, []string{"OS_ENDPOINT_TYPE", "an admin", `internal in region "Region One"`}},
		"address":  {map[string]string{"OS_AUTH_URL": k.AuthURL + "/deeper"}, false, []string{"OS_AUTH_URL", "no identity service"}},
		"Swift's":  {map[string]string{"OS_AUTH_URL": "http://" + k.Swift + "/v3"}, false, []string{"OS_AUTH_URL"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := openEnv(t, u.With(c.change))
			if err == nil || errors.Is(err, objstore.ErrCredentials) != c.credentials {
				t.Fatalf("%v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			for _, hidden := range []string{"hunter2", secret, goneSecret, u.Env[password]} {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("%q holds a secret", err)
				}
			}
		})
	}
	t.Run("role", func(t *testing.T) {
		t.Parallel()
		store, err := openEnv(t, k.NewUser(t, "reader").Env)
		if err != nil {
			t.Fatal(err)
		}
		err = roundTrip(t, store)
		if status, ok := errors.AsType[*objstore.StatusError](err); !ok || status.Code != 403 || !strings.Contains(err.Error(), "role") {
			t.Errorf("%v", err)
		}
	})
	t.Run("login of v1", func(t *testing.T) {
		t.Parallel()
		if _, err := openEnv(t, map[string]string{"ST_AUTH": k.AuthURL, "ST_USER": "a:b", "ST_KEY": "hunter2"}); err == nil || !strings.Contains(err.Error(), "ST_AUTH") {
			t.Errorf("%v", err)
		}
	})
}

// A service works for months, a token for an hour: the store takes another in
// time, and no request sees an old one.
func keystoneRenewal(t *testing.T, k *testbed.KeystoneServer) {
	before := testbed.NewHTTPProxy(t, k.Addr)
	var logins atomic.Int32
	ends := regexp.MustCompile(`"expires_at": "[^"]*"`)
	before.OnRequest(func(testbed.HTTPRequest) testbed.HTTPFault {
		logins.Add(1)
		// The store takes another token a minute before the end of the first.
		soon := time.Now().Add(80 * time.Second).UTC().Format(time.RFC3339)
		return testbed.HTTPFault{Action: testbed.EditAnswer, Edit: func(answer []byte) []byte {
			return ends.ReplaceAll(answer, []byte(`"expires_at": "`+soon+`"`))
		}}
	})
	store, err := openEnv(t, k.NewUser(t, "member").With(map[string]string{"OS_AUTH_URL": "http://" + before.Addr + "/v3"}))
	if err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, 3*time.Minute, "a second login", func() bool {
		if err := store.Containers(t.Context(), "", func(objstore.Container) error { return nil }); err != nil {
			t.Fatal(err)
		}
		return logins.Load() > 1
	})
}

// What ends a token early: the user was disabled for a while, the password
// changed, Keystone lost its keys.
func keystoneRevoked(t *testing.T, k *testbed.KeystoneServer) {
	u := k.NewUser(t, "member")
	id, secret := u.AppCredential(t, "for a while")
	for name, env := range map[string]map[string]string{
		"password":   u.Env,
		"credential": u.With(map[string]string{"OS_APPLICATION_CREDENTIAL_ID": id, "OS_APPLICATION_CREDENTIAL_SECRET": secret}),
	} {
		inner, err := openEnv(t, env)
		if err != nil {
			t.Fatal(err)
		}
		store := retry.New(inner, retry.Policy{})
		if err := roundTrip(t, store); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		u.RevokeTokens(t)
		if name == "password" {
			testbed.Eventually(t, time.Minute, "Swift to refuse the old token", func() bool { return roundTrip(t, inner) != nil })
		}
		if err := roundTrip(t, store); err != nil {
			t.Errorf("%s: after the token was ended: %v", name, err)
		}
		if name == "password" {
			continue
		}
		u.DropAppCredential(t, id)
		testbed.Eventually(t, time.Minute, "Swift to refuse the old token", func() bool { err = roundTrip(t, store); return err != nil })
		if !errors.Is(err, objstore.ErrCredentials) || !strings.Contains(err.Error(), "OS_APPLICATION_CREDENTIAL_ID") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: after it was removed: %v", name, err)
		}
	}
}

// The same settings do for the plain client, as the documentation says.
func keystonePlainClient(t *testing.T, k *testbed.KeystoneServer) {
	client, u := testbed.SwiftClient(t), k.NewUser(t, "member")
	store, err := openEnv(t, u.Env)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Put(t.Context(), "2016-06-01", "o", objstore.NewSource([]byte("x")), objstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), client, "list")
	for name, value := range u.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "2016-06-01\n" {
		t.Errorf("swift list: %v: %s", err, out)
	}
}
