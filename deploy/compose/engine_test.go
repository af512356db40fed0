package compose_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// engine is off by default: a whole run builds images and takes minutes.
var engine = flag.Bool("engine", false, "bring the compose file up with the machine's container engine; the images that it names must be there or be pulled (see stand-ins)")

// stepTime bounds each call of the engine. Building the images is the longest.
const stepTime = 15 * time.Minute

// project is one copy of everything that the compose file describes.
type project struct {
	name string
	args []string // before the command: files and profiles
	env  []string
}

// projects numbers the copies of this process.
var projects atomic.Int64

// newName is that of no other project, of this process or another.
func newName() string {
	return fmt.Sprintf("nightshard-test-%d-%d", os.Getpid(), projects.Add(1))
}

// needEngine ends the test where it was not asked for, or where no engine runs:
// a failure where TESTBED_REQUIRED=1 promises one, otherwise a skip that says so.
func needEngine(t *testing.T) {
	t.Helper()
	if !*engine {
		t.Skip("not run: it needs a container engine and is asked for with -args -engine")
	}
	for _, args := range [][]string{{"version"}, {"compose", "version"}} {
		_, err := docker(t.Context(), nil, args...)
		switch {
		case err != nil && os.Getenv("TESTBED_REQUIRED") == "1":
			t.Fatalf("a container engine is not available, and TESTBED_REQUIRED=1: %v", err)
		case err != nil:
			t.Skipf("not run: a container engine is not available: %v", err)
		}
	}
}

// up builds and starts everything, waits until all of it is healthy, and
// removes containers, networks and volumes with the test.
func up(t *testing.T, args ...string) *project {
	t.Helper()
	p := &project{name: newName(), args: args, env: anyPorts(t)}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if t.Failed() {
			logs, _ := p.compose(ctx, "logs", "--no-color", "--tail", "40")
			t.Log(logs)
		}
		if out, err := p.compose(ctx, "down", "--volumes", "--remove-orphans", "--timeout", "5"); err != nil {
			t.Errorf("remove containers: %v: %s", err, out)
		}
	})
	begin := time.Now()
	p.must(t, "up", "--build", "--detach", "--wait", "--wait-timeout", "300")
	t.Logf("up and healthy after %s", time.Since(begin).Round(time.Second))
	return p
}

// must runs a compose command that has to succeed and returns its output.
func (p *project) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.compose(t.Context(), args...)
	if err != nil {
		t.Fatalf("compose %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

func (p *project) compose(ctx context.Context, args ...string) (string, error) {
	all := append([]string{"compose", "--project-name", p.name}, p.args...)
	return docker(ctx, p.env, append(all, args...)...)
}

// anyPorts has the engine choose the ports: several copies run beside each
// other, and no server takes a port that something else expects there.
func anyPorts(t *testing.T) []string {
	t.Helper()
	var env []string
	for _, found := range regexp.MustCompile(`\$\{([A-Z]+_PORT):-`).FindAllSubmatch(read(t, "compose.yaml"), -1) {
		env = append(env, string(found[1])+"=0")
	}
	return env
}

// url is where a server of the project answers on this machine.
func (p *project) url(t *testing.T, server, port string) *url.URL {
	t.Helper()
	return &url.URL{Scheme: "http", Host: strings.TrimSpace(p.must(t, "port", server, port))}
}

// docker returns what the command printed. The error has what it complained of.
func docker(ctx context.Context, env []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("run docker: %w: %s", err, stderr.String())
	}
	return stdout.String(), nil
}
