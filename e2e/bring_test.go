package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/testbed"
)

// nightshard runs the operators' command.
func (h *house) nightshard(args ...string) {
	h.t.Helper()
	run(h.t, h.t.TempDir(), h.swift, testbed.Command(h.t, "./cmd/nightshard"), args...)
}

// checkBrought holds what restore-files and dumps bring against what the plain
// swift client brought to folder, and against what is stored.
func (h *house) checkBrought(b *pb.BackupCompleted, folder string) {
	t := h.t
	t.Helper()
	dir := t.TempDir()
	for range 2 { // the second time all of it is there
		h.nightshard("restore-files", b.GetDay(), dir)
		sameFolders(t, folder, dir)
	}
	dumps := t.TempDir()
	h.nightshard("dumps", b.GetDay()[:7], dumps)
	prefix := b.GetDay() + "/influxdb/"
	n := 0
	for name := range h.list(b.GetDay()) {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		n++
		data, err := os.ReadFile(filepath.Join(dumps, strings.TrimPrefix(name, prefix)))
		if err != nil || !bytes.Equal(data, h.read(b.GetDay(), name)) {
			t.Errorf("%s was brought as %d bytes, %v", name, len(data), err)
		}
	}
	if files, err := os.ReadDir(dumps); err != nil || len(files) != n || n != 2 {
		t.Errorf("%d dumps are stored, brought were %v, %v", n, files, err)
	}
}

func sameFolders(t *testing.T, want, got string) {
	t.Helper()
	files, err := os.ReadDir(want)
	if err != nil {
		t.Fatal(err)
	}
	if others, err := os.ReadDir(got); err != nil || len(others) != len(files) {
		t.Errorf("%d files, want %d, %v", len(others), len(files), err)
	}
	for _, f := range files {
		a, errA := os.ReadFile(filepath.Join(want, f.Name()))
		b, errB := os.ReadFile(filepath.Join(got, f.Name()))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: %d bytes, want %d (%v, %v)", f.Name(), len(b), len(a), errA, errB)
		}
	}
}

// checkConverted restores an old script's day by hand, with what restore-files
// brings: plain influxd restore alone would misplace a tenth of it.
func (h *house) checkConverted(day string) {
	t := h.t
	t.Helper()
	dir := t.TempDir()
	h.nightshard("restore-files", day, dir)
	if files, err := filepath.Glob(filepath.Join(dir, "*0_.00")); err != nil || len(files) < 2 {
		t.Errorf("%d archives of shards that end in 0: the test proves nothing", len(files))
	}
	h.checkRestorable(dir)
}
