package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// influxVersion is the newest InfluxDB 1.8.
	influxVersion = "1.8.10"
	influxModule  = "github.com/influxdata/influxdb"
)

// programs gets the paths of influxd and of the project's own programs. What is
// built stays in the user's cache folder.
func (h *house) programs(ctx context.Context) (map[string]string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, errors.New("find go: it is not in PATH; install Go 1.26 or newer")
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find the cache folder: %w; set HOME or XDG_CACHE_HOME", err)
	}
	influxd, err := h.influxd(ctx, filepath.Join(cache, "nightshard", "influxd-"+influxVersion))
	if err != nil {
		return nil, err
	}
	bins := map[string]string{"influxd": influxd}
	own := filepath.Join(cache, "nightshard", "bin")
	if err := os.MkdirAll(own, 0o750); err != nil {
		return nil, fmt.Errorf("make cache folder: %w", err)
	}
	args := []string{"build", "-o", own + string(filepath.Separator), "./services/backup", "./services/restore", "./services/dumper", "./cmd/nightshard"}
	if err := h.show.while("building the services", func() error { return goTool(ctx, root, nil, args...) }); err != nil {
		return nil, fmt.Errorf("build the services: %w", err)
	}
	for _, name := range []string{"backup", "restore", "dumper", "nightshard"} {
		bins[name] = filepath.Join(own, name)
	}
	return bins, nil
}

// moduleRoot finds the checkout.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Path}} {{.Dir}}").Output()
	path, dir, ok := strings.Cut(strings.TrimSpace(string(out)), " ")
	if err != nil || !ok || path != "nightshard" {
		return "", errors.New("find the source: run this inside a clone of the nightshard repository")
	}
	return dir, nil
}

// influxd finds a 1.8 server in PATH or in the cache, or builds it there.
func (h *house) influxd(ctx context.Context, dir string) (string, error) {
	if found, err := exec.LookPath("influxd"); err == nil && is18(ctx, found) {
		return found, nil
	}
	binary := filepath.Join(dir, "influxd")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("make cache folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // below the user's cache folder
	if err != nil {
		return "", fmt.Errorf("lock cache folder: %w", err)
	}
	defer func() { _ = lock.Close() }()
	err = h.show.while("building InfluxDB "+influxVersion+" from source, once; about two minutes", func() error {
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
			return fmt.Errorf("lock cache folder: %w", err)
		}
		if _, err := os.Stat(binary); err == nil {
			return nil // somebody else has built it meanwhile
		}
		return buildInfluxd(ctx, dir, binary)
	})
	if err != nil {
		return "", fmt.Errorf("build influxd: %w", err)
	}
	return binary, nil
}

// buildInfluxd has Go build the server, and puts it in its place in one step.
func buildInfluxd(ctx context.Context, dir, binary string) error {
	scratch, err := os.MkdirTemp(dir, "new-")
	if err != nil {
		return fmt.Errorf("make scratch folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	env := []string{"GOBIN=" + scratch, "CGO_ENABLED=0", "GOFLAGS=-mod=mod"}
	if err := goTool(ctx, scratch, env, "install", influxModule+"/cmd/influxd@v"+influxVersion); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(scratch, "influxd"), binary); err != nil {
		return fmt.Errorf("move it into the cache: %w", err)
	}
	return nil
}

// is18 says that a program is an influxd of 1.8: by what it says of itself, or
// by what Go recorded in it.
func is18(ctx context.Context, path string) bool {
	if info, err := buildinfo.ReadFile(path); err == nil && info.Main.Path == influxModule && strings.HasPrefix(info.Main.Version, "v1.8.") {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "version").Output()
	return err == nil && bytes.Contains(out, []byte("InfluxDB v1.8."))
}

// goTool runs the go command; its last lines go into the error.
func goTool(ctx context.Context, dir string, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // fixed arguments
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		text := strings.TrimSpace(string(out))
		return fmt.Errorf("go %s: %w\n%s", args[0], err, text[max(0, len(text)-2000):])
	}
	return nil
}

func jsonList(names []string) (string, error) {
	data, err := json.Marshal(names)
	if err != nil {
		return "", fmt.Errorf("write names: %w", err)
	}
	return string(data), nil
}
