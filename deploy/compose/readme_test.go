package compose_test

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"nightshard/shared/testbed"
)

// A new user types what the README says, from a fresh clone, and has the dump in
// hand: with the ports that it names, which is why they have to be free.
func TestReadmeBringsADumpFromAFreshClone(t *testing.T) {
	needEngine(t)
	client := testbed.SwiftClient(t)
	needFreePorts(t)
	name, clone := newName(), freshClone(t)
	folder := filepath.Join(clone, "deploy", "compose")
	// A project of the user's own under the usual name is not for us to remove.
	env := append(os.Environ(), "COMPOSE_PROJECT_NAME="+name, "PATH="+filepath.Dir(client)+":"+os.Getenv("PATH"))
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if t.Failed() {
			logs, _ := docker(ctx, nil, "compose", "--project-directory", folder, "--project-name", name, "--profile", "demo", "logs", "--no-color", "--tail", "40")
			t.Log(logs)
		}
		if _, err := docker(ctx, nil, "compose", "--project-directory", folder, "--project-name", name, "--profile", "*", "down", "--volumes", "--timeout", "5"); err != nil {
			t.Errorf("remove containers: %v", err)
		}
	})

	script := filepath.Join(t.TempDir(), "night")
	if err := os.WriteFile(script, []byte(timed+commandsOf(t, "A night, to see it")), 0o600); err != nil {
		t.Fatal(err)
	}
	// A new user has no image of the command, and "run" builds one only then.
	_, _ = docker(t.Context(), nil, "image", "rm", "--force", "nightshard")
	ctx, cancel := context.WithTimeout(t.Context(), stepTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", script)
	cmd.Dir, cmd.Env = clone, env
	cmd.WaitDelay = 10 * time.Second
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the commands of README.md: %v\n%s", err, out)
	}
	t.Logf("the commands of README.md took %s:\n%s", time.Since(begin).Round(time.Second), timesIn(out))
	checkFirstDump(t, folder)
	checkNothingLeft(t, name)
}

// timed begins the script: a command that fails ends it, and each is noted with
// its second.
const timed = `set -euo pipefail
trap 'printf "::%4d s  %s\n" "$SECONDS" "$BASH_COMMAND" >&2' DEBUG
`

func timesIn(output []byte) string {
	return strings.Join(regexp.MustCompile(`(?m)^::.*$`).FindAllString(string(output), -1), "\n")
}

// commandsOf returns the indented lines below a heading of README.md, as they
// are.
func commandsOf(t *testing.T, heading string) string {
	t.Helper()
	_, section, found := strings.Cut(string(read(t, "README.md")), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("README.md has no heading %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var commands strings.Builder
	for line := range strings.Lines(section) {
		if command, indented := strings.CutPrefix(line, "    "); indented {
			commands.WriteString(command)
		}
	}
	if !strings.Contains(commands.String(), "docker compose") {
		t.Fatalf("no commands below %q", heading)
	}
	return commands.String()
}

// freshClone has what is committed, and nothing else.
func freshClone(t *testing.T) string {
	t.Helper()
	// The checkout may belong to another user, whom git does not trust.
	config := filepath.Join(t.TempDir(), "gitconfig")
	if err := os.WriteFile(config, []byte("[safe]\n\tdirectory = *\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	clone := filepath.Join(t.TempDir(), "nightshard")
	cmd := exec.CommandContext(t.Context(), "git", "clone", "--quiet", "--no-hardlinks", root, clone)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+config)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("clone %s: %v: %s", root, err, out)
	}
	return clone
}

// needFreePorts fails with a clear word, before the engine does with another.
func needFreePorts(t *testing.T) {
	t.Helper()
	for _, found := range regexp.MustCompile(`_PORT:-(\d+)\}`).FindAllSubmatch(read(t, "compose.yaml"), -1) {
		var config net.ListenConfig
		l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:"+string(found[1]))
		if err != nil {
			t.Fatalf("the README's port is taken: stop what listens there: %v", err)
		}
		_ = l.Close()
	}
}

// checkFirstDump looks at what the swift client downloaded.
func checkFirstDump(t *testing.T, folder string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, "2*", "influxdb", "cpu_*.json"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%d dumps of cpu, want 1: %v", len(found), err)
	}
	var records []map[string]any
	if err := json.Unmarshal(read(t, found[0]), &records); err != nil || len(records) != 1 {
		t.Fatalf("%d records in the dump, want 1: %v", len(records), err)
	}
	if records[0]["host"] != "web-01" || records[0]["idle"] != 61.5 {
		t.Errorf("the dump has %v", records[0])
	}
}

// checkNothingLeft asks the engine: the README says that its last command removes
// everything.
func checkNothingLeft(t *testing.T, name string) {
	t.Helper()
	filter := "label=com.docker.compose.project=" + name
	for _, kind := range [][]string{{"ps", "--all"}, {"volume", "ls"}, {"network", "ls"}} {
		left, err := docker(t.Context(), nil, append(kind, "--quiet", "--filter", filter)...)
		if err != nil || left != "" {
			t.Errorf("%v: left behind: %q: %v", kind, left, err)
		}
	}
}
