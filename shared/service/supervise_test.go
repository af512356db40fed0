package service_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// manager listens as a service manager does, and gives each message that came.
func manager(t *testing.T, watchdog string) <-chan string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", watchdog)
	heard := make(chan string, 1000)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			select {
			case heard <- string(buf[:n]):
			default:
			}
		}
	}()
	return heard
}

// await returns once a message has this line in it.
func await(t *testing.T, heard <-chan string, line string) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case msg := <-heard:
			if strings.Contains("\n"+msg+"\n", "\n"+line+"\n") {
				return
			}
		case <-timeout:
			t.Fatalf("the service manager never heard %q", line)
		}
	}
}

func TestServiceManagerHearsOfReadinessLifeAndEnd(t *testing.T) {
	heard := manager(t, "20000")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := service.Supervise(ctx, func() error { return nil }, zerolog.Nop())
	await(t, heard, "WATCHDOG=1")
	await(t, heard, "WATCHDOG=1")
	s.Ready()
	await(t, heard, "READY=1")
	cancel()
	await(t, heard, "STOPPING=1")
}

func TestServiceThatHangsIsNotCalledAlive(t *testing.T) {
	heard := manager(t, "20000")
	var hangs atomic.Bool
	hangs.Store(true)
	asked := make(chan struct{}, 1000)
	service.Supervise(t.Context(), func() error {
		select {
		case asked <- struct{}{}:
		default:
		}
		if hangs.Load() {
			return errors.New("no sign of life")
		}
		return nil
	}, zerolog.Nop())
	for range 5 {
		<-asked
	}
	// It was asked five times, and all that was said is this.
	if msg := <-heard; msg != "STATUS=hangs: no sign of life" || len(heard) != 0 {
		t.Errorf("said %q and %d more", msg, len(heard))
	}
	hangs.Store(false)
	await(t, heard, "WATCHDOG=1")
}

func TestWithoutAManagerNothingIsSaid(t *testing.T) {
	heard := manager(t, "")
	t.Setenv("NOTIFY_SOCKET", "")
	ctx, cancel := context.WithCancel(t.Context())
	service.Supervise(ctx, func() error { t.Error("asked without a watchdog"); return nil }, zerolog.Nop()).Ready()
	cancel()
	if len(heard) != 0 {
		t.Errorf("said %q", <-heard)
	}
}

func TestAManagerThatIsGoneIsLogged(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	t.Setenv("WATCHDOG_USEC", "often")
	var out logged
	service.Supervise(t.Context(), func() error { return nil }, zerolog.New(&out)).Ready()
	testbed.Eventually(t, 30*time.Second, "two warnings", func() bool {
		return strings.Contains(out.String(), "WATCHDOG_USEC") && strings.Contains(out.String(), "was not told")
	})
}

// logged collects log lines.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
