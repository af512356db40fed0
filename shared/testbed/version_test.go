package testbed_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"nightshard/shared/testbed"
)

// skipped notes how a test would have ended that asks for what is not there.
type skipped struct {
	testing.TB
	why string
}

func (s *skipped) Helper() {}

func (s *skipped) Skipf(format string, args ...any) { s.Fatalf(format, args...) }

func (s *skipped) Fatalf(format string, args ...any) {
	s.why = fmt.Sprintf(format, args...)
	panic(s)
}

func TestACommitThatTheCheckoutLacksIsNamed(t *testing.T) {
	t.Parallel()
	asked := &skipped{TB: t}
	func() {
		defer func() { _ = recover() }()
		testbed.CommandAt(asked, "0123456789", "./services/backup")
	}()
	if !strings.Contains(asked.why, "0123456789") || !strings.Contains(asked.why, "clone with its history") {
		t.Errorf("it ended with %q", asked.why)
	}
}

func TestACommandOfAnEarlierCommitIsBuilt(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(testbed.CommandAt(t, "cfa5da2", "./services/backup"), "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "NIGHTSHARD_DATABASE") {
		t.Errorf("%v: %s", err, out)
	}
}
