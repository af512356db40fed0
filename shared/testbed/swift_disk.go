package testbed

import (
	"crypto/md5"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// SwiftFile is the file on Swift's disk that holds an object of the account of
// user (ST_USER): for what happens to disks. Whoever changes it must put the
// object anew afterwards.
func SwiftFile(t testing.TB, user, container, object string) string {
	t.Helper()
	lease, err := sharedSwift()
	if err != nil {
		t.Fatalf("get Swift: %v", err)
	}
	conf, err := os.ReadFile("/etc/swift/swift.conf")
	if err != nil {
		t.Fatalf("read Swift's configuration: %v", err)
	}
	account, _, _ := strings.Cut(user, ":")
	name := "/AUTH_" + account + "/" + container + "/" + object
	sum := md5.Sum([]byte(setting(conf, "swift_hash_path_prefix") + name + setting(conf, "swift_hash_path_suffix")))
	hash := hex.EncodeToString(sum[:])
	found, err := filepath.Glob(filepath.Join(lease.Dir, "srv", "d1", "objects", "*", hash[29:], hash, "*.data"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%d files on Swift's disk hold %s: %v", len(found), name, err)
	}
	return found[0]
}

// setting is a value of a configuration file, empty when it is not set.
func setting(conf []byte, name string) string {
	for line := range strings.Lines(string(conf)) {
		if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
