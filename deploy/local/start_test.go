package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"nightshard/shared/service"
)

func TestMisuseIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		env  map[string]string
		want string
	}{
		{[]string{"--twice"}, nil, "--help"},
		{[]string{"now"}, nil, `unexpected "now"`},
		{nil, map[string]string{"NIGHTSHARD_PRODUCTION_URL": "http://db:8086"}, "NIGHTSHARD_DATABASE is missing"},
		{nil, map[string]string{"NIGHTSHARD_PRODUCTION_URL": "db:8086", "NIGHTSHARD_DATABASE": "x"}, "want http://HOST:8086"},
		{nil, map[string]string{"NIGHTSHARD_PRODUCTION_SNAPSHOT": "db:8088"}, "NIGHTSHARD_PRODUCTION_URL is missing"},
		{nil, map[string]string{"NIGHTSHARD_MEASUREMENTS": "cpu,,disk"}, "remove the comma too many"},
		{nil, map[string]string{"NIGHTSHARD_LISTEN": "127.0.0.1:80"}, "NIGHTSHARD_LISTEN has no effect here"},
		{nil, map[string]string{"NIGHTSHARD_DATABSE": "x"}, "NIGHTSHARD_DATABSE is set, but nothing reads it"},
		{nil, map[string]string{"ST_AUTH": "http://swift/v1.0"}, "ST_KEY"},
	} {
		out, errs := newOutput(), newOutput()
		if code := run(t.Context(), c.args, c.env, out, errs); code != service.ExitMisuse || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%v %v: exit code %d, %s", c.args, c.env, code, errs)
		}
	}
	out, errs := newOutput(), newOutput()
	if code := run(t.Context(), []string{"--help"}, nil, out, errs); code != service.ExitDone || !strings.Contains(out.String(), "NIGHTSHARD_PRODUCTION_URL") {
		t.Errorf("help: exit code %d, %s", code, out)
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	env := environment(t)
	empty := t.TempDir()
	out, errs := newOutput(), newOutput()
	path := env["PATH"]
	env["PATH"] = empty
	if code := run(t.Context(), []string{"--once"}, env, out, errs); code != service.ExitFailed || !strings.Contains(errs.String(), "install Go") {
		t.Errorf("without go: exit code %d, %s", code, errs)
	}
	env["PATH"] = path
	t.Chdir(empty)
	errs = newOutput()
	if code := run(t.Context(), []string{"--once"}, env, out, errs); code != service.ExitFailed || !strings.Contains(errs.String(), "go to your clone") {
		t.Errorf("outside a clone: exit code %d, %s", code, errs)
	}
}

// fakeGo is a go command that does nothing but what the test says.
func fakeGo(t *testing.T, script string) *goTool {
	t.Helper()
	path := filepath.Join(t.TempDir(), "go")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return &goTool{path: path, env: map[string]string{"PATH": os.Getenv("PATH")}}
}

func TestABuildThatFailsSaysWhyAndLeavesNoHalfFile(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	h := &house{show: newScreen(newOutput(), "", func(error) {})}
	broken := fakeGo(t, "echo 'dial tcp: no route to host' >&2; echo half > \"$GOBIN/influxd\"; exit 1")
	_, err := h.findInfluxd(t.Context(), broken, cache)
	if err == nil || !strings.Contains(err.Error(), "no route to host") || !strings.Contains(err.Error(), "needs the network") {
		t.Errorf("the error is %v", err)
	}
	left, err := filepath.Glob(filepath.Join(cache, "*", "*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != "lock" {
		t.Errorf("in the cache: %v, %v", left, err)
	}
	works := fakeGo(t, "echo '#!/bin/sh' > \"$GOBIN/influxd\"; chmod +x \"$GOBIN/influxd\"; echo x >> "+filepath.Join(cache, "builds"))
	var wg sync.WaitGroup
	for range 3 { // at the same time: one builds, the others wait for it
		wg.Go(func() {
			if path, err := h.findInfluxd(t.Context(), works, cache); err != nil || !isExecutable(path) {
				t.Errorf("build: %s, %v", path, err)
			}
		})
	}
	wg.Wait()
	if built, err := os.ReadFile(filepath.Join(cache, "builds")); err != nil || string(built) != "x\n" {
		t.Errorf("built %q, %v", built, err)
	}
	if err := broken.buildAll(t.Context(), cache); err == nil || !strings.Contains(err.Error(), "no route to host") {
		t.Errorf("the error is %v", err)
	}
}

func TestTheReadersOwnInfluxdIsTakenOnlyIn18(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]bool{
		"InfluxDB v1.8.9 (git: 1.8 0)": true, "InfluxDB v1.7.11 (git: 1.7 0)": false, "InfluxDB 2.7.1 (git: x)": false,
	} {
		path := filepath.Join(t.TempDir(), "influxd")
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho '"+said+"'\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if got := isInflux18(t.Context(), path); got != want {
			t.Errorf("%s: %v", said, got)
		}
	}
}
