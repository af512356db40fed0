package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// output is what a person sees; it can be looked at while it grows.
type output struct {
	mu   sync.Mutex
	b    bytes.Buffer
	news chan struct{} // closed and replaced at each write
}

func newOutput() *output { return &output{news: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.news)
	o.news = make(chan struct{})
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// await waits until the text has been printed.
func (o *output) await(t *testing.T, text string, ended <-chan int) {
	t.Helper()
	limit := time.After(10 * time.Minute)
	for {
		o.mu.Lock()
		seen, news := strings.Contains(o.b.String(), text), o.news
		o.mu.Unlock()
		if seen {
			return
		}
		select {
		case <-news:
		case code := <-ended:
			t.Fatalf("exit code %d before %q\n%s", code, text, o)
		case <-limit:
			t.Fatalf("no %q after ten minutes\n%s", text, o)
		}
	}
}

// environment is the machine's without any setting of the project.
func environment(t *testing.T) map[string]string {
	t.Helper()
	// What is left in the folder for temporary files was left behind.
	t.Setenv("TMPDIR", t.TempDir())
	env := service.Environ()
	for name := range env {
		if isSetting(name) {
			delete(env, name)
		}
	}
	return env
}

// nothingLeft looks for folders and processes of the demonstration that
// printed out.
func nothingLeft(t *testing.T, out string) {
	t.Helper()
	m := regexp.MustCompile(`all files of this run are in (\S+) and (\S+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("it did not say where its files are:\n%s", out)
	}
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range m[1:] {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is left behind: %v", dir, err)
		}
		for _, p := range procs {
			if line, err := os.ReadFile(p); err == nil && bytes.Contains(line, []byte(dir)) {
				t.Errorf("still running: %q", line)
			}
		}
	}
}

// occupy takes ports, so that others have to be found. One that is in use
// already serves as well.
func occupy(t *testing.T, ports ...int) {
	t.Helper()
	for _, port := range ports {
		if ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", loopback(port)); err == nil {
			t.Cleanup(func() { _ = ln.Close() })
		}
	}
}

// shown are the numbers that the table shows.
type shown struct{ shards, compared, cpu, memory, disk int }

func readTable(t *testing.T, out string) shown {
	t.Helper()
	number := func(pattern string) int {
		m := regexp.MustCompile(pattern).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("no line fits %s in:\n%s", pattern, out)
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return shown{
		shards: number(`│ backup +│ (\d+) shards, verified`), compared: number(`│ restore +│ \d+ shards, (\d+) counts compared, 0 differ`),
		cpu: number(`│ dump +│ cpu: (\d+) records `), memory: number(`│ dump +│ memory: (\d+) records `), disk: number(`│ dump +│ disk: (\d+) records `),
	}
}

func TestOneNightIsShownAndNothingIsLeft(t *testing.T) {
	env := environment(t)
	occupy(t, natsPort, swiftPort, 18086, 18088, 19086, 19088, 19421, 19422, 19423)
	out, errs := newOutput(), newOutput()
	if code := run(t.Context(), []string{"--once"}, env, out, errs); code != service.ExitDone {
		t.Fatalf("exit code %d\n%s\n%s", code, out, errs)
	}
	got := readTable(t, out.String())
	// A whole day: every minute, or every five, of 20 hosts.
	if got.shards < 25 || got.compared < 100 || got.cpu != 28800 || got.memory != 28800 || got.disk != 5760 {
		t.Errorf("the table shows %+v\n%s", got, out)
	}
	for _, want := range []string{`backup.completed +\d{4}-\d\d-\d\d: \d\d shards, .* verified`, `restore.completed .* 0 differ`, `│ NIGHT `, `first action \d+ ms, .* first query \d+ ms`} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no line fits %s in:\n%s", want, out)
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("control codes where there is no terminal")
	}
	nothingLeft(t, out.String())
}

// TestWhatItShowsIsTrueAndWhatItAdvisesWorks stays up after the night, asks the
// servers themselves, runs each line that it prints, and ends when a service
// dies.
func TestWhatItShowsIsTrueAndWhatItAdvisesWorks(t *testing.T) {
	env := environment(t)
	out, errs := newOutput(), newOutput()
	ended := make(chan int, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- run(ctx, nil, env, out, errs) }()
	out.await(t, "SHOW MEASUREMENTS", ended)
	got := readTable(t, out.String())

	production := server{URL: regexp.MustCompile(`production InfluxDB at (\S+),`).FindStringSubmatch(out.String())[1]}
	client, err := production.client()
	if err != nil {
		t.Fatal(err)
	}
	shards, err := client.Shards(ctx)
	if err != nil || len(shards) != got.shards {
		t.Errorf("production has %d shards, the table says %d; %v", len(shards), got.shards, err)
	}
	day := time.Now().UTC().Truncate(24 * time.Hour).Add(-24 * time.Hour)
	for name, n := range map[string]int{"cpu": got.cpu, "memory": got.memory, "disk": got.disk} {
		series, err := client.Query(ctx, sampleDatabase, fmt.Sprintf("SELECT * FROM %s WHERE time >= %d AND time < %d", name, day.UnixNano(), day.Add(24*time.Hour).UnixNano()))
		if err != nil || len(series) != 1 || len(series[0].Values) != n {
			t.Errorf("production's %s: %d series, the table says %d records; %v", name, len(series), n, err)
		}
	}
	runHints(t, out.String())

	pid := childOf(t, "restore", regexp.MustCompile(`export PATH=(\S+):`).FindStringSubmatch(out.String())[1])
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != service.ExitFailed || !strings.Contains(errs.String(), "run restore: signal: killed") {
		t.Errorf("a service died: exit code %d, %s", code, errs)
	}
	nothingLeft(t, out.String())
}

// runHints runs the lines that were printed, in one shell after the exports.
func runHints(t *testing.T, out string) {
	t.Helper()
	var exports []string
	ran := 0
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		word, _, _ := strings.Cut(line, " ")
		switch word {
		case "export":
			exports = append(exports, line)
			continue
		case "nightshard", "nats", "swift", "curl":
		default:
			continue
		}
		if _, err := exec.LookPath(word); err != nil && word != "nightshard" {
			t.Logf("not run, there is no %s here: %s", word, line)
			continue
		}
		if strings.HasPrefix(line, "nats sub") {
			line = "timeout 2 " + line + "; test $? = 124" // it goes on for ever
			line = strings.Replace(line, " # each", " --timeout=2s # each", 1)
			line, _, _ = strings.Cut(line, " #")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		cmd := exec.CommandContext(ctx, "sh", "-ec", strings.Join(exports, "\n")+"\n"+line)
		cmd.Dir = t.TempDir()
		said, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			t.Errorf("%s: %v\n%s", line, err, said)
		}
		ran++
	}
	if ran < 5 {
		t.Errorf("only %d lines were run", ran)
	}
}

// childOf finds the process of a program in a folder.
func childOf(t *testing.T, name, dir string) int {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		line, err := os.ReadFile(p)
		if err != nil || strings.TrimRight(string(line), "\x00") != filepath.Join(dir, name) {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(p, "/")[2])
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	t.Fatalf("no %s runs", name)
	return 0
}

func TestASignalInTheMiddleLeavesNothing(t *testing.T) {
	binary := testbed.Command(t, "./deploy/local")
	env := environment(t)
	out, errs := newOutput(), newOutput()
	cmd := exec.CommandContext(t.Context(), binary, "--once")
	cmd.Env, cmd.Stdout, cmd.Stderr = environ(env), out, errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan int, 1)
	go func() {
		_ = cmd.Wait()
		ended <- cmd.ProcessState.ExitCode()
	}()
	out.await(t, "asking for a backup", ended)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != service.ExitFailed || !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("exit code %d\n%s\n%s", code, out, errs)
	}
	nothingLeft(t, out.String())
}

func TestTheReadersOwnServersAreUsed(t *testing.T) {
	// Before the temporary folder changes: others use this Swift too.
	own, store := testbed.Influx(t, testbed.InfluxOptions{}), testbed.Swift(t)
	env := environment(t)
	own.CreateDatabase(t, "telegraf")
	midnight := time.Now().UTC().Truncate(24 * time.Hour).Add(-24 * time.Hour)
	own.Write(t, "telegraf", "", "load,host=a one=1.5 "+strconv.FormatInt(midnight.UnixNano(), 10))
	maps.Copy(env, store.Env)
	env["NIGHTSHARD_PRODUCTION_URL"], env["NIGHTSHARD_PRODUCTION_SNAPSHOT"] = own.URL, own.Snapshot
	env["NIGHTSHARD_DATABASE"] = "telegraph"
	out, errs := newOutput(), newOutput()
	if code := run(t.Context(), []string{"--once"}, env, out, errs); code != service.ExitFailed || !strings.Contains(errs.String(), `no database "telegraph", but _internal, telegraf`) && !strings.Contains(errs.String(), `no database "telegraph", but telegraf`) {
		t.Errorf("a database that is not there: exit code %d, %s", code, errs)
	}
	env["NIGHTSHARD_DATABASE"] = "telegraf"
	if code := run(t.Context(), []string{"--once"}, env, out, errs); code != service.ExitDone || !strings.Contains(out.String(), "load: 1 record") {
		t.Fatalf("exit code %d\n%s\n%s", code, out, errs)
	}
	if left := string(own.Query(t, "", "SHOW DATABASES")); strings.Contains(left, "nightshard") {
		t.Errorf("something of ours is in the reader's InfluxDB: %s", left)
	}
	nothingLeft(t, out.String())
}
