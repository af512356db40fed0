package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// goTool is the go command and the checkout that it builds.
type goTool struct {
	path string
	root string // of the checkout
	env  map[string]string
}

// findGo finds the go command and the checkout that the reader is in.
func findGo(ctx context.Context, env map[string]string) (*goTool, error) {
	path, err := lookPath(env, "go")
	if err != nil {
		return nil, fmt.Errorf("find go: %w; install Go 1.26 from https://go.dev/dl and put it into PATH", err)
	}
	g := &goTool{path: path, env: maps.Clone(env)}
	g.env["GOOS"], g.env["GOARCH"] = "", ""
	out, err := g.run(ctx, time.Minute, "", nil, "env", "GOMOD")
	if err != nil {
		return nil, err
	}
	mod := strings.TrimSpace(out)
	text, err := os.ReadFile(mod) //nolint:gosec // go named it
	if err != nil || !strings.HasPrefix(string(text), "module nightshard\n") {
		return nil, errors.New("find the checkout: this folder is not in one; go to your clone of Nightshard and run `go run ./deploy/local` there")
	}
	g.root = filepath.Dir(mod)
	return g, nil
}

// run runs a go command to its end and returns its output. An error has the
// last lines that go said. When ctx ends, go and the compilers it started end.
func (g *goTool) run(ctx context.Context, limit time.Duration, dir string, env map[string]string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, g.path, args...) //nolint:gosec // the go command
	all := maps.Clone(g.env)
	maps.Copy(all, env)
	cmd.Dir, cmd.Env = dir, environ(all)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", fmt.Errorf("run go %s: %w\n%s", strings.Join(args, " "), err, lastLines(problems.String(), 15))
	}
	return out.String(), nil
}

// buildAll builds the services and the operators' command into dir.
func (g *goTool) buildAll(ctx context.Context, dir string) error {
	// Without the commit: asking git for it fails in a checkout of another user.
	_, err := g.run(ctx, 15*time.Minute, g.root, nil, "build", "-buildvcs=false", "-o", dir+string(filepath.Separator),
		"./services/backup", "./services/restore", "./services/dumper", "./cmd/nightshard")
	if err != nil {
		return fmt.Errorf("build the services: %w\nmend the checkout (git status), or look whether the network lets go download modules", err)
	}
	return nil
}

// lookPath finds a program in the PATH of env.
func lookPath(env map[string]string, name string) (string, error) {
	for _, dir := range filepath.SplitList(env["PATH"]) {
		path := filepath.Join(dir, name)
		if filepath.IsAbs(path) && isExecutable(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not in PATH", name)
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-n):], "\n  ")
}
