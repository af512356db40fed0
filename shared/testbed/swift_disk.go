package testbed

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
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
	account, _, _ := strings.Cut(user, ":")
	name := "/AUTH_" + account + "/" + container + "/" + object
	// Swift keeps the name in the file's attributes, with its length before it.
	mark := append(binary.LittleEndian.AppendUint32([]byte("X"), uint32(len(name))), name...)
	found := ""
	err = filepath.WalkDir(filepath.Join(lease.Dir, "srv", "d1", "objects"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".data") {
			return nil //nolint:nilerr // other tests' objects come and go
		}
		buf := make([]byte, 64<<10)
		if n, err := syscall.Getxattr(path, "user.swift.metadata", buf); err == nil && bytes.Contains(buf[:n], mark) {
			found = path
			return fs.SkipAll
		}
		return nil
	})
	if err != nil || found == "" {
		t.Fatalf("no file on Swift's disk holds %s: %v", name, err)
	}
	return found
}
