package testbed_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"nightshard/shared/testbed"
)

// recorder is a test that notes its failure instead of failing.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestEventuallyGivesUpAndSaysWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		testbed.Eventually(r, 30*time.Millisecond, "pigs to fly", func() bool { return false })
	}()
	<-done
	if !strings.Contains(r.said, "30ms for pigs to fly") {
		t.Errorf("said %q", r.said)
	}
}

func TestEventuallyReturnsAsSoonAsItHolds(t *testing.T) {
	t.Parallel()
	calls := 0
	begin := time.Now()
	testbed.Eventually(t, time.Minute, "three calls", func() bool { calls++; return calls == 3 })
	if took := time.Since(begin); calls != 3 || took > 5*time.Second {
		t.Errorf("%d calls in %s", calls, took)
	}
}
