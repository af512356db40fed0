package testbed

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// lockFile opens (and creates) a file and takes an flock on it. The lock ends
// with Close, and with the process, so that a crash cannot leave it behind.
// how is syscall.LOCK_EX or LOCK_SH, with LOCK_NB to return errLocked at once.
func lockFile(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errLocked
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// errLocked says that another process holds the lock.
var errLocked = errors.New("locked by another process")

// sharedDir is the folder that all test processes of this user share: port
// reservations, locks and the one Swift. It lives in the system's temporary
// folder, and nothing in it is needed after a run.
func sharedDir(sub ...string) (string, error) {
	base := filepath.Join(os.TempDir(), "nightshard-testbed-"+strconv.Itoa(os.Getuid()))
	dir := filepath.Join(append([]string{base}, sub...)...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make shared folder: %w", err)
	}
	return dir, nil
}

// cacheDir is where built or unpacked servers stay between runs.
func cacheDir(sub string) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache folder: %w", err)
	}
	dir := filepath.Join(base, "nightshard", sub)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make cache folder: %w", err)
	}
	return dir, nil
}

// The ports for servers lie below 32768, where Linux begins to take ports for
// outgoing connections: a port from there can be gone before the server binds.
const (
	firstPort = 21000
	lastPort  = 31999
)

// reservePort finds a free loopback port and keeps other test processes away
// from it with a lock, so that a server can be stopped and started again on
// the same port. The returned file is the reservation.
func reservePort() (int, *os.File, error) {
	dir, err := sharedDir("ports")
	if err != nil {
		return 0, nil, err
	}
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		lock, err := lockFile(filepath.Join(dir, strconv.Itoa(port)), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, errLocked) {
			continue
		}
		if err != nil {
			return 0, nil, err
		}
		if portIsFree(port) {
			return port, lock, nil
		}
		_ = lock.Close()
	}
	return 0, nil, errors.New("find a free port: 200 tries were not enough")
}

func portIsFree(port int) bool {
	l, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// FreePort returns a free port of 127.0.0.1 below 32768. No other user of the
// testbed gets it until the test has ended.
func FreePort(t testing.TB) int {
	t.Helper()
	port, lock, err := reservePort()
	if err != nil {
		t.Fatalf("reserve a port: %v", err)
	}
	t.Cleanup(func() { _ = lock.Close() })
	return port
}

// listen listens on a free port. On some systems outgoing connections use the
// whole range, so that a port can be gone as soon as it was found free.
func listen(t testing.TB) net.Listener {
	t.Helper()
	for try := 1; ; try++ {
		listener, err := net.Listen("tcp", loopback(FreePort(t)))
		if err == nil {
			return listener
		}
		if try == 10 {
			t.Fatalf("listen on a free port: %v", err)
		}
	}
}
