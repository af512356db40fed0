package main

import (
	"os/exec"
	"strings"
	"testing"

	"nightshard/shared/service"
)

// offered are the words that a shell is given.
func offered(t *testing.T, c cli, args ...string) string {
	t.Helper()
	r := c.run(t, append([]string{"__complete"}, args...)...).done(t)
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	return strings.Join(lines[:len(lines)-1], " ") // the last is for the shell's script
}

func TestShellsAreOfferedDaysAndMeasurements(t *testing.T) {
	t.Parallel()
	c := cli{store: june(t)}
	const days = "2016-06-04 2016-06-03 2016-06-02 2016-06-01"
	for args, want := range map[string]string{
		"show|":                       days,
		"show|2016-06-04|":            "",
		"verify|":                     "all " + days,
		"verify|all|--level|":         "listing content restored",
		"request|restore|":            "newest " + days,
		"dumps|":                      days + " 2016-06",
		"dumps|2016-06|x|-m|":         "cpu disk/free",
		"request|dump|--measurement|": "cpu disk/free",
		"restore-files|2016-06-04|":   "",
	} {
		if got := offered(t, c, strings.Split(args, "|")...); got != want {
			t.Errorf("%s: offered %q, want %q", args, got, want)
		}
	}
	if got := offered(t, cli{env: map[string]string{"ST_AUTH": "http://127.0.0.1:1/auth/v1.0", "ST_USER": "a:b", "ST_KEY": "c"}}, "show", ""); got != "" {
		t.Errorf("without Swift: %q", got)
	}
}

func TestCompletionIsScriptForEachShell(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := cli{}.run(t, "completion", shell).done(t).out
		if !strings.Contains(script, "nightshard") || len(script) < 1000 {
			t.Errorf("%s: %d bytes", shell, len(script))
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		cmd := exec.CommandContext(t.Context(), path, "-n") // it only reads
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
	if r := (cli{}).run(t, "completion", "bogus"); r.code == service.ExitFailed {
		t.Errorf("exit code %d", r.code)
	}
}
