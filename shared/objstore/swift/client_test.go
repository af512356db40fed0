package swift_test

import (
	"bytes"
	"crypto/rand"
	"os/exec"
	"path/filepath"
	"testing"

	"nightshard/shared/objstore"
	"nightshard/shared/objstore/swift"
	"nightshard/shared/testbed"
)

// TestPlainClientReadsAndDeletesLargeObjects proves that a day can be used
// without this package.
func TestPlainClientReadsAndDeletesLargeObjects(t *testing.T) {
	t.Parallel()
	client, account := testbed.SwiftClient(t), testbed.Swift(t)
	store := openAccount(t, account, func(c *swift.Config) { c.SegmentBytes = segment })
	l := large{store, "client-" + rand.Text()}
	data := random(2*segment + 5)
	l.put(t, "day/shards/a b.00", data, objstore.PutOptions{})
	l.segments(t, 3)
	run := func(args ...string) []byte {
		cmd := exec.CommandContext(t.Context(), client, args...)
		cmd.Env, cmd.Dir = account.Environ(), filepath.Clean(t.TempDir())
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("swift %v: %v", args, err)
		}
		return out
	}
	if got := run("download", l.container, "day/shards/a b.00", "-o", "-"); !bytes.Equal(got, data) {
		t.Errorf("the client read %d other bytes", len(got))
	}
	run("delete", l.container, "day/shards/a b.00")
	l.segments(t, 0)
}
