package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

// smallHouse is what an operator has in front of him: real servers, the three
// services, three nights behind them, and the command in the PATH.
type smallHouse struct {
	t           *testing.T
	prod, inter *testbed.InfluxServer
	nats        *testbed.NATSServer
	bus         *events.Bus
	swift       *testbed.SwiftAccount
	env         map[string]string
	path, dir   string
}

func newSmallHouse(t *testing.T) *smallHouse {
	t.Helper()
	h := &smallHouse{
		t: t, prod: testbed.Influx(t, testbed.InfluxOptions{}), inter: testbed.Influx(t, testbed.InfluxOptions{}),
		nats: testbed.NATS(t, testbed.NATSOptions{}), swift: testbed.Swift(t), dir: t.TempDir(),
	}
	h.bus, _ = busAt(t, h.nats, "")
	h.env = map[string]string{
		"NIGHTSHARD_DATABASE": "sensu_db", "NIGHTSHARD_MEASUREMENTS": "cpu,mem", "NIGHTSHARD_SCHEDULE": "off",
		"NIGHTSHARD_PRODUCTION_URL": h.prod.URL, "NIGHTSHARD_PRODUCTION_SNAPSHOT": h.prod.Snapshot,
		"NIGHTSHARD_INTERMEDIARY_URL": h.inter.URL, "NIGHTSHARD_INTERMEDIARY_SNAPSHOT": h.inter.Snapshot,
		"NIGHTSHARD_DUMPER_WAIT": "5s", "NIGHTSHARD_KEEP": "14d 8w 12m 3y", "NATS_URL": h.nats.URL, "TZ": "UTC",
	}
	maps.Copy(h.env, h.swift.Env)
	bin := t.TempDir()
	if err := os.Symlink(testbed.Command(t, "./cmd/nightshard"), filepath.Join(bin, "nightshard")); err != nil {
		t.Fatal(err)
	}
	h.path = bin + ":" + os.Getenv("PATH")
	h.fill()
	for _, name := range []string{"backup", "restore", "dumper"} {
		h.serve(name)
	}
	h.durables()
	for _, day := range []string{"2016-05-31", "2016-06-01", "2016-06-02"} {
		if out, err := h.sh("nightshard request backup --day " + day + " --follow"); err != nil {
			t.Fatalf("the night of %s: %v\n%s", day, err, out)
		}
	}
	return h
}

// fill writes three days of two measurements.
func (h *smallHouse) fill() {
	h.t.Helper()
	h.prod.CreateDatabase(h.t, "sensu_db")
	var lines strings.Builder
	first := time.Date(2016, 5, 31, 0, 0, 0, 0, time.UTC)
	for at := first; at.Before(first.AddDate(0, 0, 3)); at = at.Add(10 * time.Minute) {
		fmt.Fprintf(&lines, "cpu,host=web-01 idle=97.5,user=%di %d\nmem,host=web-01 used=%di %d\n", at.Unix()%97, at.UnixNano(), at.Unix()%1013, at.UnixNano())
	}
	h.prod.Write(h.t, "sensu_db", "", lines.String())
}

// serve starts a service, which ends with the test.
func (h *smallHouse) serve(name string) {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), testbed.Command(h.t, "./services/"+name))
	cmd.Env = h.environ("NIGHTSHARD_LISTEN=127.0.0.1:0", "NIGHTSHARD_LOG_FORMAT=json")
	var log buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if h.t.Failed() {
			h.t.Logf("log of %s:\n%s", name, log.String())
		}
	})
}

func (h *smallHouse) environ(more ...string) []string {
	env := append([]string{"PATH=" + h.path, "HOME=" + h.dir}, more...)
	for name, value := range h.env {
		env = append(env, name+"="+value)
	}
	return env
}

// durables waits until every service asks for events: one that comes after the
// first request would begin behind it.
func (h *smallHouse) durables() {
	h.t.Helper()
	testbed.Eventually(h.t, patience, "all services", func() bool {
		states, err := h.bus.Consumers(h.t.Context())
		return err == nil && len(states) == 5
	})
}

// idle waits until no service is at work.
func (h *smallHouse) idle() {
	h.t.Helper()
	testbed.Eventually(h.t, 2*patience, "the services are done", func() bool {
		states, err := h.bus.Consumers(h.t.Context())
		for _, s := range states {
			if s.AckPending > 0 || s.Pending > 0 {
				return false
			}
		}
		return err == nil
	})
}

// sh runs a line as a person types it.
func (h *smallHouse) sh(line string) (string, error) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 2*patience)
	defer cancel()
	var out bytes.Buffer
	cmd := h.command(ctx, line)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (h *smallHouse) command(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", line)
	cmd.Dir, cmd.Env = h.dir, h.environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// endless runs a line that only an interrupt ends, until it has shown something;
// a night and a request that fails happen meanwhile.
func (h *smallHouse) endless(line string) (string, error) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 2*patience)
	defer cancel()
	var out buffer
	cmd := h.command(ctx, line)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return "", err
	}
	var published time.Time
	testbed.Eventually(h.t, 2*patience, line+" shows something", func() bool {
		if time.Since(published) > 10*time.Second { // the first may come before it watches
			published = time.Now()
			for _, day := range []string{"2999-01-01", "2016-06-02"} {
				if _, err := h.bus.Publish(ctx, events.BackupRequested, &pb.BackupRequested{Day: day, Force: true}, ""); err != nil {
					h.t.Fatal(err)
				}
			}
		}
		return out.String() != ""
	})
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
	_ = cmd.Wait() // by the interrupt
	return out.String(), nil
}
