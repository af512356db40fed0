package testbed

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"
)

// requiredVar is the environment variable that turns a skip into a failure.
const requiredVar = "TESTBED_REQUIRED"

// unavailable ends the test because a server is not to be had: a skip on a
// developer's machine, a failure where TESTBED_REQUIRED=1 promises all servers.
func unavailable(t testing.TB, what string, err error) {
	t.Helper()
	if os.Getenv(requiredVar) == "1" {
		t.Fatalf("%s is not available, and %s=1: %v", what, requiredVar, err)
	}
	t.Skipf("%s is not available: %v", what, err)
}

// Eventually asks cond again and again until it holds, and fails the test when
// it does not within timeout. what completes the sentence "waited 5s for …".
func Eventually(t testing.TB, timeout time.Duration, what string, cond func() bool) {
	t.Helper()
	err := poll(timeout, func() error {
		if cond() {
			return nil
		}
		return errors.New("not so yet")
	})
	if err != nil {
		t.Fatalf("waited %s for %s", timeout, what)
	}
}

// poll calls try until it returns nil or the timeout is over; then it returns
// the last error. It starts fast, because most servers are ready within
// milliseconds, and slows down to spare a small machine.
func poll(timeout time.Duration, try func() error) error {
	deadline := time.Now().Add(timeout)
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := try()
		if err == nil {
			return nil
		}
		var final finalError
		if errors.As(err, &final) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pause)
	}
}

// finalError ends a poll at once: waiting longer cannot help.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// logOnFailure prints the end of a server's log if the test failed.
func logOnFailure(t testing.TB, name, path string) {
	t.Helper()
	if !t.Failed() {
		return
	}
	tail, err := tailOf(path, 60)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Logf("read log of %s: %v", name, err)
		}
		return
	}
	t.Logf("end of the log of %s:\n%s", name, tail)
}

// tailOf returns the last n lines of a file.
func tailOf(path string, n int) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("open log: %w", err)
	}
	defer f.Close()
	var lines []string
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		lines = append(lines, scan.Text())
		if len(lines) > n {
			lines = lines[1:]
		}
	}
	return strings.Join(lines, "\n"), scan.Err()
}
