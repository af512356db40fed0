package swift

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshard/shared/trust"
)

// The defaults of Config.
const (
	// DefaultSegmentBytes is 5 GiB less 1 MiB: Swift's own limit for one
	// object is 5 GiB and 2 bytes (max_file_size in /info).
	DefaultSegmentBytes = 5<<30 - 1<<20
	// DefaultIdleTimeout is how long a server may do nothing.
	DefaultIdleTimeout = 60 * time.Second
)

// Config says how to reach an account. One of these ways to log in is needed:
// User and Key (v1); User or UserID and Key with a project (v2, v3); an
// application credential with its secret (v3); or StorageURL and AuthToken.
type Config struct {
	// AuthURL is where to log in, with the version as its last element.
	AuthURL string
	// AuthVersion is 1, 2 or 3.
	AuthVersion int
	// User is the user's name, with v1 "account:user".
	User string
	// UserID is used in place of User (v3).
	UserID string
	// Key is the user's key or password.
	Key string
	// AppCredentialID, or AppCredentialName with User and its domain, name an
	// application credential (v3); AppCredentialSecret is its secret.
	AppCredentialID, AppCredentialName, AppCredentialSecret string
	// UserDomain or UserDomainID is the domain of User (v3).
	UserDomain, UserDomainID string
	// Project or ProjectID is the project, which v2 calls tenant.
	Project, ProjectID string
	// ProjectDomain or ProjectDomainID is the domain of Project (v3), that of
	// the user when both are empty.
	ProjectDomain, ProjectDomainID string
	// TrustID is a trust to log in with in place of a project (v3).
	TrustID string
	// Region chooses among several object stores, the first when empty.
	Region string
	// EndpointType is public, internal or admin; public when empty.
	EndpointType string
	// StorageURL and AuthToken are a login that something else has done.
	StorageURL, AuthToken string
	// CACert is a file of authorities to trust in place of the system's;
	// ClientCert and ClientKey are the client's own certificate and its private
	// key. All are in PEM.
	CACert, ClientCert, ClientKey string

	// SegmentBytes is the size above which an object is cut into segments,
	// DefaultSegmentBytes when 0, or less when the server allows less.
	SegmentBytes int64
	// IdleTimeout is how long the server may send or take nothing before the
	// call ends with ErrStalled, DefaultIdleTimeout when 0.
	IdleTimeout time.Duration
	// PageSize is how many names a page of a listing has, 0 for as many as
	// the server gives.
	PageSize int
}

// ConfigFromEnv reads the variables that all Swift clients know: ST_AUTH,
// ST_USER, ST_KEY for v1, otherwise OS_*. Its error lists everything that is
// missing and what to set.
func ConfigFromEnv(env map[string]string) (Config, error) {
	var problems []string
	need := func(ok bool, what string) {
		if !ok {
			problems = append(problems, "set "+what)
		}
	}
	c := Config{
		Region: env["OS_REGION_NAME"], EndpointType: endpointType(first(env, "OS_ENDPOINT_TYPE", "OS_INTERFACE")),
		CACert: env["OS_CACERT"], ClientCert: env["OS_CERT"], ClientKey: env["OS_KEY"],
	}
	switch {
	case first(env, "ST_AUTH", "ST_USER", "ST_KEY") != "":
		fillV1(&c, env, need)
	case hasAny(env, "OS_"):
		fillOpenStack(&c, env, need)
	default:
		need(false, "ST_AUTH, ST_USER and ST_KEY (the login of Swift, v1), or OS_AUTH_URL, OS_USERNAME, OS_PASSWORD, "+
			"OS_PROJECT_NAME and the rest of an OpenStack RC file")
	}
	need(slices.Contains([]string{"", "public", "internal", "admin"}, c.EndpointType),
		"OS_ENDPOINT_TYPE (or OS_INTERFACE) to public, internal or admin, "+is(c.EndpointType))
	problems = append(problems, c.tls().Problems("")...)
	problems = append(problems, insecure(env)...)
	if len(problems) > 0 {
		return Config{}, fmt.Errorf("Swift login: %s", strings.Join(problems, "; ")) //nolint:staticcheck // a proper name
	}
	return c, nil
}

func fillV1(c *Config, env map[string]string, need func(bool, string)) {
	c.AuthVersion = 1
	c.AuthURL, c.User, c.Key = env["ST_AUTH"], env["ST_USER"], env["ST_KEY"]
	need(c.AuthURL != "", "ST_AUTH (where to log in, such as http://HOST:8080/auth/v1.0)")
	need(c.AuthURL == "" || isHTTP(c.AuthURL), "ST_AUTH to a URL that begins with http:// or https://, "+is(c.AuthURL))
	need(c.User != "", "ST_USER (account:user)")
	need(c.Key != "", "ST_KEY (the key of ST_USER)")
}

func fillOpenStack(c *Config, env map[string]string, need func(bool, string)) {
	c.StorageURL, c.AuthToken = env["OS_STORAGE_URL"], env["OS_AUTH_TOKEN"]
	c.AuthURL = env["OS_AUTH_URL"]
	if c.AuthURL == "" && (c.StorageURL != "" || c.AuthToken != "") {
		need(c.StorageURL != "", "OS_STORAGE_URL (it belongs to OS_AUTH_TOKEN)")
		need(c.AuthToken != "", "OS_AUTH_TOKEN (it belongs to OS_STORAGE_URL)")
		return
	}
	need(c.AuthURL != "", "OS_AUTH_URL (the identity service, such as https://HOST:5000/v3)")
	need(c.AuthURL == "" || isHTTP(c.AuthURL), "OS_AUTH_URL to a URL that begins with http:// or https://, "+is(c.AuthURL))
	c.AuthVersion = version(c.AuthURL, first(env, "OS_IDENTITY_API_VERSION", "ST_AUTH_VERSION"))
	c.AuthURL = withVersion(c.AuthURL, c.AuthVersion)
	c.User, c.UserID, c.Key = env["OS_USERNAME"], env["OS_USER_ID"], env["OS_PASSWORD"]
	c.UserDomain, c.UserDomainID = env["OS_USER_DOMAIN_NAME"], env["OS_USER_DOMAIN_ID"]
	c.Project = first(env, "OS_PROJECT_NAME", "OS_TENANT_NAME")
	c.ProjectID = first(env, "OS_PROJECT_ID", "OS_TENANT_ID")
	c.ProjectDomain, c.ProjectDomainID = env["OS_PROJECT_DOMAIN_NAME"], env["OS_PROJECT_DOMAIN_ID"]
	c.TrustID = env["OS_TRUST_ID"]
	c.AppCredentialID, c.AppCredentialName = env["OS_APPLICATION_CREDENTIAL_ID"], env["OS_APPLICATION_CREDENTIAL_NAME"]
	c.AppCredentialSecret = env["OS_APPLICATION_CREDENTIAL_SECRET"]
	if c.AppCredentialID+c.AppCredentialName+c.AppCredentialSecret != "" {
		needAppCredential(c, need)
		return
	}
	needPassword(c, need)
}

func needAppCredential(c *Config, need func(bool, string)) {
	need(c.AppCredentialID+c.AppCredentialName != "", "OS_APPLICATION_CREDENTIAL_ID (it belongs to OS_APPLICATION_CREDENTIAL_SECRET)")
	need(c.AppCredentialSecret != "", "OS_APPLICATION_CREDENTIAL_SECRET (it belongs to OS_APPLICATION_CREDENTIAL_ID)")
	need(c.AuthVersion == 3, "OS_AUTH_URL to a v3 service (application credentials need it)")
	if c.AppCredentialID == "" && c.AppCredentialName != "" && c.UserID == "" {
		need(c.User != "", "OS_USERNAME or OS_USER_ID (OS_APPLICATION_CREDENTIAL_NAME needs its owner)")
		need(c.UserDomain+c.UserDomainID != "", "OS_USER_DOMAIN_NAME or OS_USER_DOMAIN_ID")
	}
}

func needPassword(c *Config, need func(bool, string)) {
	need(c.User+c.UserID != "", "OS_USERNAME (or OS_APPLICATION_CREDENTIAL_ID and OS_APPLICATION_CREDENTIAL_SECRET)")
	need(c.Key != "", "OS_PASSWORD (the password of OS_USERNAME)")
	if c.AuthVersion == 1 {
		return
	}
	need(c.Project+c.ProjectID+c.TrustID != "", "OS_PROJECT_NAME or OS_PROJECT_ID")
	if c.AuthVersion == 3 && c.UserID == "" {
		need(c.UserDomain+c.UserDomainID != "", "OS_USER_DOMAIN_NAME or OS_USER_DOMAIN_ID (often Default)")
	}
}

// insecure refuses what turns the check of certificates off: whoever sets it
// believes in it, and whoever reads a backup over such a connection believes in
// anything.
func insecure(env map[string]string) []string {
	var problems []string
	for _, name := range []string{"SWIFTCLIENT_INSECURE", "OS_INSECURE"} {
		if on := strings.ToLower(env[name]); slices.Contains([]string{"true", "1", "yes", "on", "t", "y"}, on) {
			problems = append(problems, name+" is set, but certificates are always checked: unset it, and set OS_CACERT to a PEM file of the server's authority, or of its certificate")
		}
	}
	return problems
}

// tls are the certificates.
func (c Config) tls() trust.Settings {
	names := trust.Names{URL: "OS_AUTH_URL (or in the catalog behind it)", CA: "OS_CACERT", Cert: "OS_CERT", Key: "OS_KEY"}
	if c.AuthVersion == 1 {
		names.URL = "ST_AUTH (or in the storage address that it answers with)"
	}
	return trust.Settings{Names: names, CA: c.CACert, Cert: c.ClientCert, Key: c.ClientKey}
}

// check says whether the settings are enough to try a login.
func (c Config) check() error {
	if c.StorageURL != "" && c.AuthToken != "" {
		return nil
	}
	if c.AuthURL == "" || c.Key+c.AppCredentialSecret == "" {
		return errors.New("no login: AuthURL and Key, or an application credential, are needed")
	}
	return nil
}

// version finds the version of the identity service: as told, as the last
// element of its URL says, or 3.
func version(authURL, told string) int {
	if n, err := strconv.ParseFloat(strings.TrimPrefix(told, "v"), 64); err == nil && n >= 1 && n < 4 {
		return int(n)
	}
	for element := range strings.SplitSeq(authURL, "/") {
		for n := 1; n <= 3; n++ {
			if strings.HasPrefix(element, "v"+strconv.Itoa(n)) && len(element) <= len("v1.0") {
				return n
			}
		}
	}
	return 3
}

// withVersion adds the version to the URL of an identity service that OpenStack
// RC files give without.
func withVersion(authURL string, version int) string {
	trimmed := strings.TrimRight(authURL, "/")
	suffix := map[int]string{2: "/v2.0", 3: "/v3"}[version]
	if authURL == "" || suffix == "" || strings.Contains(trimmed, suffix[:3]) {
		return authURL
	}
	return trimmed + suffix
}

// endpointType strips what some clients write after the type: publicURL.
func endpointType(s string) string { return strings.TrimSuffix(s, "URL") }

func isHTTP(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// is quotes the value that a setting has, unless a password may be in it.
func is(value string) string {
	if strings.Contains(value, "@") {
		return "without user and password"
	}
	return fmt.Sprintf("it is %q", value)
}

// first gives the first of the variables that is set.
func first(env map[string]string, names ...string) string {
	for _, name := range names {
		if env[name] != "" {
			return env[name]
		}
	}
	return ""
}

func hasAny(env map[string]string, prefix string) bool {
	for name, value := range env {
		if value != "" && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
