package testbed

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// KeystoneUser is a user with a role in a project of its own, both in
// KeystoneDomain.
type KeystoneUser struct {
	// Env logs in with user, password, project, all by name.
	Env map[string]string
	// ID and ProjectID are the same in Keystone's words, DomainID that of the
	// domain of both.
	ID, ProjectID, DomainID string

	server *KeystoneServer
}

// NewUser makes a user. With the role member Swift lets it write, with reader
// it does not.
func (k *KeystoneServer) NewUser(t testing.TB, role string) *KeystoneUser {
	t.Helper()
	name, project, password := "nächtlich "+rand.Text(), "Sicherung & "+rand.Text(), "p&ss 'w\"rd% "+rand.Text()
	u := &KeystoneUser{server: k, DomainID: k.domain}
	u.ProjectID = k.create("/projects", "project", object{"name": project, "domain_id": k.domain})
	u.ID = k.create("/users", "user", object{"name": name, "domain_id": k.domain, "password": password})
	k.grant(u.ProjectID, u.ID, role)
	u.Env = map[string]string{
		"OS_AUTH_URL": k.AuthURL, "OS_IDENTITY_API_VERSION": "3",
		"OS_USERNAME": name, "OS_PASSWORD": password, "OS_USER_DOMAIN_NAME": KeystoneDomain,
		"OS_PROJECT_NAME": project, "OS_PROJECT_DOMAIN_NAME": KeystoneDomain, "OS_REGION_NAME": KeystoneRegion,
	}
	return u
}

// With gives Env with some settings changed; an empty one is removed.
func (u *KeystoneUser) With(changes map[string]string) map[string]string {
	env := maps.Clone(u.Env)
	maps.Copy(env, changes)
	maps.DeleteFunc(env, func(_, value string) bool { return value == "" })
	return env
}

// AppCredential makes an application credential of the user, as the user.
func (u *KeystoneUser) AppCredential(t testing.TB, name string) (id, secret string) {
	t.Helper()
	token, err := u.server.tokenOf(u.Env["OS_USERNAME"], KeystoneDomain, u.Env["OS_PASSWORD"], u.Env["OS_PROJECT_NAME"], KeystoneDomain)
	if err != nil {
		t.Fatalf("log in to Keystone: %v", err)
	}
	var made struct {
		Credential struct{ ID, Secret string } `json:"application_credential"`
	}
	body := object{"application_credential": object{"name": name}}
	if _, err := u.server.call(http.MethodPost, "/users/"+u.ID+"/application_credentials", token, body, &made); err != nil {
		t.Fatalf("make application credential: %v", err)
	}
	return made.Credential.ID, made.Credential.Secret
}

// RevokeTokens ends every token of the user at once; the user may log in again.
func (u *KeystoneUser) RevokeTokens(t testing.TB) {
	t.Helper()
	for _, enabled := range []bool{false, true} {
		if _, err := u.server.admin(http.MethodPatch, "/users/"+u.ID, object{"user": object{"enabled": enabled}}, nil); err != nil {
			t.Fatalf("revoke tokens: %v", err)
		}
	}
}

// DropAppCredential removes an application credential.
func (u *KeystoneUser) DropAppCredential(t testing.TB, id string) {
	t.Helper()
	if _, err := u.server.admin(http.MethodDelete, "/users/"+u.ID+"/application_credentials/"+id, nil, nil); err != nil {
		t.Fatalf("remove application credential: %v", err)
	}
}

// AddEndpoint puts a Swift into the catalog: base is its address without a path.
func (k *KeystoneServer) AddEndpoint(t testing.TB, region, endpoint, base string) {
	t.Helper()
	if _, err := k.admin(http.MethodGet, "/regions/"+url.PathEscape(region), nil, nil); err != nil {
		k.create("/regions", "region", object{"id": region})
	}
	k.create("/endpoints", "endpoint", object{
		"service_id": k.service, "region_id": region, "interface": endpoint, "url": base + "/v1/AUTH_$(project_id)s",
	})
}

// object is a JSON object.
type object map[string]any

// create makes something and gives its id.
func (k *KeystoneServer) create(path, kind string, what object) string {
	k.t.Helper()
	made := map[string]struct{ ID string }{}
	if _, err := k.admin(http.MethodPost, path, object{kind: what}, &made); err != nil {
		k.t.Fatalf("make %s: %v", kind, err)
	}
	return made[kind].ID
}

func (k *KeystoneServer) grant(project, user, role string) {
	k.t.Helper()
	var found struct{ Roles []struct{ ID string } }
	_, err := k.admin(http.MethodGet, "/roles?name="+role, nil, &found)
	if err == nil && len(found.Roles) == 1 {
		_, err = k.admin(http.MethodPut, "/projects/"+project+"/users/"+user+"/roles/"+found.Roles[0].ID, nil, nil)
	}
	if err != nil || len(found.Roles) != 1 {
		k.t.Fatalf("grant %s: %d roles, %v", role, len(found.Roles), err)
	}
}

// admin is call as the administrator.
func (k *KeystoneServer) admin(method, path string, in object, out any) (http.Header, error) {
	return k.call(method, path, k.token, in, out)
}

func (k *KeystoneServer) login() (err error) {
	k.token, err = k.tokenOf("admin", "Default", keystonePassword, "admin", "Default")
	return err
}

func (k *KeystoneServer) tokenOf(user, userDomain, password, project, projectDomain string) (string, error) {
	header, err := k.call(http.MethodPost, "/auth/tokens", "", object{"auth": object{
		"identity": object{"methods": []string{"password"}, "password": object{"user": object{
			"name": user, "domain": object{"name": userDomain}, "password": password,
		}}},
		"scope": object{"project": object{"name": project, "domain": object{"name": projectDomain}}},
	}}, nil)
	if err != nil {
		return "", err
	}
	return header.Get("X-Subject-Token"), nil
}

// call makes one request of Keystone's API; any status but 2xx is an error.
func (k *KeystoneServer) call(method, path, token string, in object, out any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, k.AuthURL+path, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Auth-Token", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("call Keystone: %w", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: status %s: %s", method, path, resp.Status, raw)
	}
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			return nil, fmt.Errorf("decode answer: %w", err)
		}
	}
	return resp.Header, nil
}

func splitAddr(addr string) (host, port string) {
	host, port, _ = net.SplitHostPort(addr)
	return host, port
}
