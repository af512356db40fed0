package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// influxVersion is the newest InfluxDB 1.8.
const influxVersion = "1.8.10"

// findInfluxd returns the path of an influxd 1.8: the one in PATH, or the one
// in the cache, which is built when it is missing.
func (h *house) findInfluxd(ctx context.Context, g *goTool, cache string) (string, error) {
	if path, err := lookPath(g.env, "influxd"); err == nil && isInflux18(ctx, path) {
		return path, nil
	}
	dir := filepath.Join(cache, "influxd-"+influxVersion)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("make cache folder: %w", err)
	}
	binary := filepath.Join(dir, "influxd")
	if isExecutable(binary) {
		return binary, nil
	}
	err := h.show.while("building InfluxDB "+influxVersion+" from source, once; about two minutes", func() error {
		return buildOnce(ctx, g, dir, binary)
	})
	return binary, err
}

// buildOnce builds influxd unless another process does so already: then it
// waits for that one.
func buildOnce(ctx context.Context, g *goTool, dir, binary string) error {
	var lock *os.File
	err := poll(ctx, 250*time.Millisecond, func() (bool, error) {
		var err error
		lock, err = flock(filepath.Join(dir, "lock"))
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return fmt.Errorf("wait for another build of influxd: %w", err)
	}
	defer func() { _ = lock.Close() }()
	if isExecutable(binary) {
		return nil // another process was faster
	}
	return buildInfluxd(ctx, g, dir, binary)
}

// buildInfluxd compiles influxd and puts it in its place in one step, so that
// nobody ever sees half a file.
func buildInfluxd(ctx context.Context, g *goTool, dir, binary string) error {
	if err := needRoom(dir, roomToBuild, "building influxd", "XDG_CACHE_HOME"); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(dir, "new-")
	if err != nil {
		return fmt.Errorf("build influxd: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	_, err = g.run(ctx, 30*time.Minute, scratch, map[string]string{"GOBIN": scratch, "GOFLAGS": "-mod=mod", "GOWORK": "off", "CGO_ENABLED": "0"},
		"install", "github.com/influxdata/influxdb/cmd/influxd@v"+influxVersion)
	if err != nil {
		return fmt.Errorf("build influxd: %w\nit needs the network (GOPROXY, HTTPS_PROXY); or put an influxd 1.8 into PATH", err)
	}
	if err := os.Rename(filepath.Join(scratch, "influxd"), binary); err != nil {
		return fmt.Errorf("build influxd: %w", err)
	}
	return nil
}

// isInflux18 asks the binary for its version. One that `go install` built calls
// itself unknown; Go wrote the module's version into it.
func isInflux18(ctx context.Context, path string) bool {
	if info, err := buildinfo.ReadFile(path); err == nil && strings.HasPrefix(info.Main.Version, "v1.8.") {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "version").Output()
	return err == nil && (strings.Contains(string(out), " v1.8.") || strings.Contains(string(out), " 1.8."))
}
