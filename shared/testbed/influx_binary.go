package testbed

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

// The InfluxDB versions that the project is tested with.
const (
	// Influx18 is the newest 1.8 server, built from source.
	Influx18 = "1.8.10"
	// Influx16 is the old server that Debian packages.
	Influx16 = "1.6.7"
)

// findInflux returns the path of influxd in this version: from PATH, from the
// cache, or fetched into the cache. Parallel test processes fetch once.
func findInflux(version string) (string, error) {
	if path, err := exec.LookPath("influxd"); err == nil && influxVersionFits(path, version) {
		return path, nil
	}
	dir, err := cacheDir("influxd-" + version)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "influxd")
	if isExecutable(binary) {
		return binary, nil
	}
	lock, err := lockFile(filepath.Join(dir, "lock"), syscall.LOCK_EX)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if isExecutable(binary) { // another process was faster
		return binary, nil
	}
	return binary, fetchInflux(version, dir, binary)
}

// fetchInflux puts influxd at the given path, in one step, so that nobody
// ever sees half a file.
func fetchInflux(version, dir, binary string) error {
	scratch, err := os.MkdirTemp(dir, "new-")
	if err != nil {
		return fmt.Errorf("make scratch folder: %w", err)
	}
	defer os.RemoveAll(scratch)
	var made string
	switch version {
	case Influx18:
		made, err = buildInflux(scratch, version)
	case Influx16:
		made, err = unpackInflux(scratch)
	default:
		err = errors.New("the testbed knows only " + Influx18 + " and " + Influx16)
	}
	if err != nil {
		return fmt.Errorf("get influxd %s: %w", version, err)
	}
	if err := os.Rename(made, binary); err != nil {
		return fmt.Errorf("move influxd into the cache: %w", err)
	}
	return nil
}

// buildInflux compiles influxd from source: pure Go, two minutes on two cores.
func buildInflux(scratch, version string) (string, error) {
	env := []string{"GOBIN=" + scratch, "GOFLAGS=-mod=mod", "CGO_ENABLED=0"}
	err := runTool(10*time.Minute, scratch, env,
		"go", "install", "github.com/influxdata/influxdb/cmd/influxd@v"+version)
	return filepath.Join(scratch, "influxd"), err
}

// unpackInflux downloads Debian's package and unpacks it. It is not installed:
// that needs root and would start a server.
func unpackInflux(scratch string) (string, error) {
	if err := runTool(2*time.Minute, scratch, nil, "apt-get", "download", "influxdb"); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(scratch, "influxdb_*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("find the downloaded package: found %d", len(debs))
	}
	if err := runTool(time.Minute, scratch, nil, "dpkg", "-x", debs[0], "x"); err != nil {
		return "", err
	}
	binary := filepath.Join(scratch, "x", "usr", "bin", "influxd")
	if !influxVersionFits(binary, Influx16) {
		return "", errors.New("check the package: Debian's influxdb is not " + Influx16)
	}
	return binary, nil
}

// influxVersionFits asks the binary and, as a server built by `go install`
// calls itself "unknown", also the module version that Go wrote into it.
func influxVersionFits(path, version string) bool {
	if info, err := buildinfo.ReadFile(path); err == nil && info.Main.Version == "v"+version {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "version").Output()
	fields := strings.Fields(string(out)) // InfluxDB v1.6.7~rc0 (git: …)
	if err != nil || len(fields) < 2 {
		return false
	}
	got, _, _ := strings.Cut(strings.TrimPrefix(fields[1], "v"), "~")
	return got == version
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// runTool runs a command to its end; an error carries what the command said.
func runTool(timeout time.Duration, dir string, env []string, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("run %s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
