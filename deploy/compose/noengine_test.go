package compose_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A machine without an engine has proved nothing: it says so, and CI, which
// demands one, fails.
func TestMissingEngineIsNotRunOrAFailure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, required, want string
		fails                bool
	}{
		{"wanted", "", "--- SKIP: TestNightOfACluster", false},
		{"demanded", "1", "--- FAIL: TestNightOfACluster", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^TestNightOfACluster$", "-engine")
			cmd.Env = append(os.Environ(), "PATH=", "TESTBED_REQUIRED="+c.required)
			out, err := cmd.CombinedOutput()
			if (err != nil) != c.fails || !strings.Contains(string(out), c.want) || !strings.Contains(string(out), "a container engine is not available") {
				t.Errorf("without an engine: %v: %s", err, out)
			}
		})
	}
}
