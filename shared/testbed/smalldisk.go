package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// SmallDisk is a file system of its own with little room, in memory. It ends
// with the test.
type SmallDisk struct {
	// Dir is where it is mounted.
	Dir string

	t testing.TB
}

// NewSmallDisk mounts a file system of so many bytes. It needs root, and a
// machine that lets root mount. Where that right is missing the test is skipped
// even with TESTBED_REQUIRED: it is no server that could be installed.
func NewSmallDisk(t testing.TB, bytes int64) *SmallDisk {
	t.Helper()
	d := &SmallDisk{Dir: t.TempDir(), t: t}
	err := syscall.Mount("tmpfs", d.Dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes))
	if errors.Is(err, syscall.EPERM) {
		t.Skipf("mount a small file system: %v", err)
	}
	if err != nil {
		unavailable(t, "a small file system", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(d.Dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount small disk: %v", err)
		}
	})
	return d
}

// Fill leaves no room at all.
func (d *SmallDisk) Fill() {
	d.t.Helper()
	f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatalf("fill small disk: %v", err)
	}
	defer f.Close()
	for size := 1 << 16; size > 0; {
		_, err := f.Write(make([]byte, size))
		switch {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case err != nil:
			d.t.Fatalf("fill small disk: %v", err)
		}
	}
}

// Free gives back the room that Fill took.
func (d *SmallDisk) Free() {
	d.t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		d.t.Fatalf("free small disk: %v", err)
	}
}

func (d *SmallDisk) filler() string { return filepath.Join(d.Dir, "filler") }
