package main

import (
	"bytes"
	"context"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// output is what a person sees; it can be looked at while it grows.
type output struct {
	mu   sync.Mutex
	b    bytes.Buffer
	wake chan struct{}
	text string // closes wake when it appears
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.b.Write(p)
	if o.text != "" && strings.Contains(o.b.String(), o.text) {
		o.text = ""
		close(o.wake)
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// environment is the machine's, with a temporary folder of the test's own: what
// is left there was left behind.
func environment(t *testing.T) (map[string]string, string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	env := service.Environ()
	for name := range env {
		for _, prefix := range []string{"NIGHTSHARD_", "ST_", "OS_", "NATS_"} {
			if strings.HasPrefix(name, prefix) {
				delete(env, name)
			}
		}
	}
	return env, dir
}

// nothingLeft looks for folders and processes of the demonstration.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "nightshard-local-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		line, err := os.ReadFile(p)
		if err == nil && bytes.Contains(line, []byte(filepath.Join(dir, "nightshard-local-"))) {
			t.Errorf("still running: %q", line)
		}
	}
}

func TestOneNightIsShownAndNothingIsLeft(t *testing.T) {
	env, dir := environment(t)
	// The usual port of NATS is in use: another one is taken.
	if ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:4222"); err == nil {
		defer func() { _ = ln.Close() }()
	}
	var out, errs output
	if code := run(t.Context(), []string{"--once"}, env, &out, &errs); code != service.ExitDone {
		t.Fatalf("exit code %d\n%s\n%s", code, &out, &errs)
	}
	for _, want := range []string{
		`backup.completed +\d{4}-\d\d-\d\d: \d\d shards, .* verified`, `restore.completed .* 0 differ`,
		`│ backup +│ \d\d shards, verified`, `│ restore │ .* counts compared, 0 differ`,
		// A whole day: every minute, or every five, of 20 hosts.
		`│ dump +│ cpu: 28800 records `, `│ dump +│ memory: 28800 records `, `│ dump +│ disk: 5760 records `, `│ NIGHT `,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no line fits %s in:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("control codes where there is no terminal")
	}
	shards := regexp.MustCompile(`backup.completed .*: (\d+) shards`).FindStringSubmatch(out.String())
	if n, err := strconv.Atoi(shards[1]); err != nil || n < 25 {
		t.Errorf("%d shards", n)
	}
	nothingLeft(t, dir)
}

func TestASignalInTheMiddleLeavesNothing(t *testing.T) {
	env, dir := environment(t)
	ctx, cancel := context.WithCancel(t.Context())
	out := &output{wake: make(chan struct{}), text: "asking for a backup"}
	var errs output
	ended := make(chan int)
	go func() { ended <- run(ctx, nil, env, out, &errs) }()
	select {
	case <-out.wake:
	case code := <-ended:
		t.Fatalf("exit code %d\n%s\n%s", code, out, &errs)
	case <-time.After(10 * time.Minute):
		t.Fatalf("no night after ten minutes\n%s", out)
	}
	cancel()
	if code := <-ended; code != service.ExitDone {
		t.Errorf("exit code %d\n%s\n%s", code, out, &errs)
	}
	nothingLeft(t, dir)
}

func TestTheReadersOwnServersAreUsed(t *testing.T) {
	// Before the temporary folder changes: others use this Swift too.
	own, store := testbed.Influx(t, testbed.InfluxOptions{}), testbed.Swift(t)
	env, dir := environment(t)
	own.CreateDatabase(t, "telegraf")
	at := time.Now().UTC().AddDate(0, 0, -1).Format("2006-01-02")
	midnight, err := time.Parse("2006-01-02", at)
	if err != nil {
		t.Fatal(err)
	}
	own.Write(t, "telegraf", "", "load,host=a one=1.5 "+strconv.FormatInt(midnight.UnixNano(), 10))
	maps.Copy(env, store.Env)
	env["NIGHTSHARD_PRODUCTION_URL"], env["NIGHTSHARD_PRODUCTION_SNAPSHOT"] = own.URL, own.Snapshot
	var out, errs output
	if code := run(t.Context(), []string{"--once"}, env, &out, &errs); code != service.ExitFailed || !strings.Contains(errs.String(), "NIGHTSHARD_DATABASE is missing") {
		t.Errorf("without a database: exit code %d, %s", code, &errs)
	}
	env["NIGHTSHARD_DATABASE"] = "telegraf"
	for name, value := range env {
		if strings.HasPrefix(name, "ST_") || strings.HasPrefix(name, "NIGHTSHARD_") {
			t.Setenv(name, value)
		}
	}
	if code := run(t.Context(), []string{"--once"}, env, &out, &errs); code != service.ExitDone || !strings.Contains(out.String(), "load: 1 records") {
		t.Fatalf("exit code %d\n%s\n%s", code, &out, &errs)
	}
	if left := string(own.Query(t, "", "SHOW DATABASES")); strings.Contains(left, "nightshard") {
		t.Errorf("something of ours is in the reader's InfluxDB: %s", left)
	}
	nothingLeft(t, dir)
}

func TestMisuseIsSaid(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--twice"}, {"now"}} {
		var out, errs output
		if code := run(t.Context(), args, nil, &out, &errs); code != service.ExitMisuse || !strings.Contains(errs.String(), "--once") {
			t.Errorf("%v: exit code %d, %s", args, code, &errs)
		}
	}
	var out, errs output
	if code := run(t.Context(), []string{"--help"}, nil, &out, &errs); code != service.ExitDone || !strings.Contains(out.String(), "NIGHTSHARD_PRODUCTION_URL") {
		t.Errorf("help: exit code %d, %s", code, &out)
	}
}
