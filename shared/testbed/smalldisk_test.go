package testbed_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"nightshard/shared/testbed"
)

func TestFullDiskTakesNothingUntilItIsFreed(t *testing.T) {
	t.Parallel()
	d := testbed.NewSmallDisk(t, 1<<20)
	d.Fill()
	path := filepath.Join(d.Dir, "file")
	if err := os.WriteFile(path, []byte("x"), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	d.Free()
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Error(err)
	}
}
