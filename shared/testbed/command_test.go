package testbed_test

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nightshard/shared/testbed"
)

const someCommand = "./shared/testbed/swiftd"

func TestCommandIsBuiltOnceAndIsTheRightPackage(t *testing.T) {
	t.Parallel()
	first := testbed.Command(t, someCommand)
	begin := time.Now()
	if second := testbed.Command(t, someCommand); second != first {
		t.Errorf("built twice: %s and %s", first, second)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("the second call took %s", took)
	}
	info, err := buildinfo.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	if info.Path != "nightshard/shared/testbed/swiftd" {
		t.Errorf("built %s", info.Path)
	}
}

// TestSkipsBecomeFailuresWhenRequired runs this binary again with an empty
// PATH, where no server can be found.
func TestSkipsBecomeFailuresWhenRequired(t *testing.T) {
	t.Parallel()
	for required, want := range map[string]string{"": "--- SKIP", "1": "--- FAIL"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestEachSwiftAccountIsEmptyAndItsOwn$", "-test.v")
		cmd.Env = append(os.Environ(), "PATH="+t.TempDir(), "TESTBED_REQUIRED="+required)
		out, _ := cmd.CombinedOutput()
		if !strings.Contains(string(out), want) || !strings.Contains(string(out), "is not available") {
			t.Errorf("TESTBED_REQUIRED=%q: got %s", required, out)
		}
	}
}

func TestFreePortsAreDifferentAndBelowTheOutgoingOnes(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for range 50 {
		port := testbed.FreePort(t)
		if seen[port] || port >= 32768 || port < 1024 {
			t.Errorf("port %d", port)
		}
		seen[port] = true
	}
}

func TestFoldersOfEndedProcessesAreRemoved(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	for range 2 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestCommandIsBuiltOnceAndIsTheRightPackage$")
		cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	left, _ := filepath.Glob(filepath.Join(tmp, "nightshard-testbed-*", "commands", "*-*"))
	if len(left) != 1 {
		t.Errorf("folders left: %v, want only that of the last process", left)
	}
}
