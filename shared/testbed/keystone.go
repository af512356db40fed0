package testbed

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// KeystoneServer is a Keystone with a Swift that asks it. It ends with the test.
// Its catalog has that Swift in KeystoneRegion, for the interfaces public and
// internal.
type KeystoneServer struct {
	// AuthURL is its address with the version: OS_AUTH_URL.
	AuthURL string
	// Addr is its host:port, Swift that of the Swift.
	Addr, Swift string

	t       testing.TB
	dir     string
	token   string // of its administrator; it outlives every test
	service string // the id of Swift in the catalog
	domain  string // the id of KeystoneDomain
}

// The names that a KeystoneServer has in its catalog and for its users. They
// hold what a careless client would damage.
const (
	KeystoneRegion = "Region One"
	KeystoneDomain = "Ops & Söhne"
)

// keystonePassword is the administrator's.
const keystonePassword = `s3cret&pass "word'%`

// Keystone starts Debian's Keystone with an empty database, and a Swift proxy
// that asks it who somebody is (about 12 s).
func Keystone(t testing.TB) *KeystoneServer {
	t.Helper()
	for _, program := range []string{"keystone-manage", "keystone-wsgi-public"} {
		if _, err := exec.LookPath(program); err != nil {
			unavailable(t, "OpenStack Keystone", fmt.Errorf("find Debian's python3-keystone: %w", err))
		}
	}
	k := &KeystoneServer{t: t, dir: t.TempDir(), Addr: loopback(FreePort(t))}
	k.AuthURL = "http://" + k.Addr + "/v3"
	if err := os.WriteFile(k.file("keystone.conf"), fmt.Appendf(nil, keystoneConf, k.dir), 0o600); err != nil {
		t.Fatalf("write configuration of Keystone: %v", err)
	}
	k.keys("tokens")
	k.keys("receipts")
	// Keystone leaves readers open, which otherwise lock SQLite for its writers.
	k.run("/usr/bin/python3", "-c", "import sqlite3; sqlite3.connect('keystone.db').execute('PRAGMA journal_mode=WAL')")
	k.manage("db_sync")
	k.manage("bootstrap", "--bootstrap-password", keystonePassword, "--bootstrap-region-id", KeystoneRegion,
		"--bootstrap-public-url", k.AuthURL, "--bootstrap-internal-url", k.AuthURL, "--bootstrap-admin-url", k.AuthURL)
	k.start()
	k.fill()
	return k
}

// keystoneConf has the database and the keys in its own folder, and hashes
// passwords as quickly as it may.
const keystoneConf = `[DEFAULT]
use_stderr = true
[database]
connection = sqlite:///%[1]s/keystone.db
[token]
provider = fernet
expiration = 3600
[fernet_tokens]
key_repository = %[1]s/tokens
[fernet_receipts]
key_repository = %[1]s/receipts
[credential]
key_repository = %[1]s/credentials
[cache]
enabled = false
[identity]
password_hash_rounds = 4
`

func (k *KeystoneServer) file(name string) string { return filepath.Join(k.dir, name) }

// keys makes what `keystone-manage fernet_setup` does: the next key and the
// present one. A start of Python for it would take seconds.
func (k *KeystoneServer) keys(folder string) {
	k.t.Helper()
	if err := os.Mkdir(k.file(folder), 0o700); err != nil {
		k.t.Fatalf("make folder for Keystone's keys: %v", err)
	}
	for _, name := range []string{"0", "1"} {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // it never fails
		if err := os.WriteFile(filepath.Join(k.file(folder), name), []byte(base64.URLEncoding.EncodeToString(key)), 0o600); err != nil {
			k.t.Fatalf("write a key of Keystone: %v", err)
		}
	}
}

// manage runs one of Keystone's own commands.
func (k *KeystoneServer) manage(args ...string) {
	k.t.Helper()
	k.run("keystone-manage", append([]string{"--config-file", k.file("keystone.conf")}, args...)...)
}

func (k *KeystoneServer) run(name string, args ...string) {
	k.t.Helper()
	cmd := exec.CommandContext(k.t.Context(), name, args...)
	cmd.Dir = k.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		k.t.Fatalf("run %s: %v\n%s", name, err, out)
	}
}

// start starts the server and waits until it answers.
func (k *KeystoneServer) start() {
	k.t.Helper()
	host, port := splitAddr(k.Addr)
	log := k.file("keystone.log")
	proc, err := startProcess(log, nil, "keystone-wsgi-public", "-b", host, "-p", port, "--", "--config-file", k.file("keystone.conf"))
	if err != nil {
		k.t.Fatalf("start Keystone: %v", err)
	}
	k.t.Cleanup(func() {
		proc.kill()
		logOnFailure(k.t, "Keystone", log)
	})
	err = poll(2*time.Minute, func() error {
		if !proc.alive() {
			return finalError{fmt.Errorf("it ended: %w", proc.err)}
		}
		return k.login()
	})
	if err != nil {
		k.t.Fatalf("start Keystone: %v", err)
	}
}

// fill makes what every test needs: a domain, Swift's user, Swift, and Swift's
// place in the catalog.
func (k *KeystoneServer) fill() {
	k.t.Helper()
	k.domain = k.create("/domains", "domain", object{"name": KeystoneDomain})
	k.service = k.create("/services", "service", object{"name": "swift", "type": "object-store"})
	project := k.create("/projects", "project", object{"name": "service", "domain_id": "default"})
	user := k.create("/users", "user", object{"name": "swift", "domain_id": "default", "password": swiftKey})
	k.grant(project, user, "admin")
	k.Swift = swiftProxy(k.t, "authtoken keystoneauth", fmt.Sprintf(keystoneFilter, k.Addr, swiftKey))
	for _, endpoint := range []string{"public", "internal"} {
		k.AddEndpoint(k.t, KeystoneRegion, endpoint, "http://"+k.Swift)
	}
}

// keystoneFilter has Swift ask Keystone who somebody is, and believe that for ten
// seconds.
const keystoneFilter = `[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = http://%[1]s/v3
auth_url = http://%[1]s/v3
auth_type = password
project_domain_id = default
user_domain_id = default
project_name = service
username = swift
password = %[2]s
delay_auth_decision = true
token_cache_time = 10
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
`
