package testbed

import (
	"context"
	_ "embed" // the supervisor's program
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:embed swift_supervisor.py
var swiftSupervisor string

// lingerVar sets for how many seconds an unused Swift waits for the next test
// process before it stops.
const lingerVar = "TESTBED_SWIFT_LINGER"

// defaultLinger bridges the gaps between the packages of one `go test ./...`.
const defaultLinger = "30"

// sharedSwift is this process's share in the machine's Swift. It belongs to the
// process, not to a test: the lock must be held for the process's whole life,
// and the kernel gives it back.
var sharedSwift = sync.OnceValues(joinSwift)

// swiftState is what the processes that share an instance know about it. It is
// written before the instance starts.
type swiftState struct {
	Dir   string
	Ports swiftPorts
}

func (s swiftState) url(path string) string {
	return "http://127.0.0.1:" + s.Ports["proxy"] + path
}

// swiftLease is the right to use the instance; it holds while users is open.
type swiftLease struct {
	swiftState
	home  string   // the folder of the locks
	users *os.File // a shared lock: somebody uses the instance
}

// joinSwift finds the running instance or starts one.
//
// The order matters: once this process has its shared lock on "users", the
// supervisor cannot begin to stop; so what is alive then stays alive.
func joinSwift() (*swiftLease, error) {
	home, err := sharedDir("swift")
	if err != nil {
		return nil, err
	}
	users, err := lockFile(filepath.Join(home, "users"), syscall.LOCK_SH)
	if err != nil {
		return nil, err
	}
	lease := &swiftLease{home: home, users: users}
	if err := lease.findOrStart(); err != nil {
		_ = users.Close()
		return nil, err
	}
	return lease, nil
}

func (l *swiftLease) findOrStart() error {
	start, err := lockFile(filepath.Join(l.home, "start"), syscall.LOCK_EX)
	if err != nil {
		return err
	}
	defer start.Close()
	// A running instance may be about to end, so both ways are tried in turn.
	return poll(time.Minute, func() error {
		alive, err := lockFile(filepath.Join(l.home, "alive"), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, errLocked) {
			return l.useRunning()
		}
		if err != nil {
			return err
		}
		defer alive.Close()
		if err := l.startWithRetry(alive); err != nil {
			return finalError{err}
		}
		return nil
	})
}

// useRunning takes over what another process has started.
func (l *swiftLease) useRunning() error {
	raw, err := os.ReadFile(filepath.Join(l.home, "state.json"))
	if err != nil {
		return fmt.Errorf("read state of Swift: %w", err)
	}
	if err := json.Unmarshal(raw, &l.swiftState); err != nil {
		return fmt.Errorf("decode state of Swift: %w", err)
	}
	return swiftHealthy(l.swiftState)
}

// startWithRetry starts a new instance; a second try gets other ports, in case
// that somebody took one of the first.
func (l *swiftLease) startWithRetry(alive *os.File) error {
	var err error
	for range 3 {
		if err = l.start(alive); err == nil {
			return nil
		}
	}
	return err
}

// start prepares and starts an instance and waits until it answers. The lock
// on alive is inherited by the supervisor, so there is no moment in which the
// instance lives but seems dead.
func (l *swiftLease) start(alive *os.File) error {
	if err := l.prepare(); err != nil {
		return err
	}
	cmd, err := l.supervisor(alive)
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start Swift: %w", err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	err = poll(2*time.Minute, func() error {
		select {
		case <-gone:
			return finalError{errors.New("the supervisor ended")}
		default:
			return swiftHealthy(l.swiftState)
		}
	})
	if err == nil {
		return nil
	}
	_ = cmd.Process.Kill()
	<-gone
	return fmt.Errorf("start Swift: %w\n%s", err, l.logs())
}

// prepare makes the folder, the configuration and the state of a new instance,
// and removes what crashed ones left.
func (l *swiftLease) prepare() error {
	old, _ := filepath.Glob(filepath.Join(l.home, "instance-*"))
	for _, dir := range old {
		_ = os.RemoveAll(dir)
	}
	dir, err := os.MkdirTemp(l.home, "instance-")
	if err != nil {
		return fmt.Errorf("make folder for Swift: %w", err)
	}
	ports := swiftPorts{}
	for _, server := range []string{"proxy", "account", "container", "object", "memcached"} {
		port, lock, err := reservePort()
		if err != nil {
			return err
		}
		defer lock.Close() // the server itself holds the port from then on
		ports[server] = strconv.Itoa(port)
	}
	l.swiftState = swiftState{Dir: dir, Ports: ports}
	if err := writeSwiftConfig(dir, userName(), ports); err != nil {
		return err
	}
	raw, err := json.Marshal(l.swiftState)
	if err != nil {
		return fmt.Errorf("encode state of Swift: %w", err)
	}
	return os.WriteFile(filepath.Join(l.home, "state.json"), raw, 0o600)
}

// supervisor is the detached process that owns the servers. It must not keep
// the test's output open: `go test` would wait for it.
func (l *swiftLease) supervisor(alive *os.File) (*exec.Cmd, error) {
	log, err := os.Create(filepath.Join(l.Dir, "supervisor.log"))
	if err != nil {
		return nil, fmt.Errorf("make log of Swift: %w", err)
	}
	linger := os.Getenv(lingerVar)
	if linger == "" {
		linger = defaultLinger
	}
	args := []string{"-c", swiftSupervisor, l.users.Name(), l.Dir, linger}
	for server, port := range l.Ports {
		args = append(args, server+"="+port)
	}
	cmd := exec.Command("/usr/bin/python3", args...) // Debian's: the one that has Swift
	cmd.Env = append(os.Environ(), "USER_NAME="+userName())
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{alive}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, nil
}

// swiftHealthy asks all four servers, the proxy last.
func swiftHealthy(s swiftState) error {
	for _, server := range []string{"account", "container", "object"} {
		conn, err := dialLoopback(s.Ports[server])
		if err != nil {
			return fmt.Errorf("reach %s server: %w", server, err)
		}
		_ = conn.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url("/healthcheck"), nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("reach proxy server: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("check proxy server: status %s", resp.Status)
	}
	return nil
}

// nextAccount hands out an account that nobody has used on this instance.
func (l *swiftLease) nextAccount() (string, error) {
	counter, err := lockFile(filepath.Join(l.Dir, "accounts"), syscall.LOCK_EX)
	if err != nil {
		return "", err
	}
	defer counter.Close()
	buf := make([]byte, 16)
	n, _ := counter.ReadAt(buf, 0)
	next, _ := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if next >= swiftAccounts {
		return "", fmt.Errorf("take a Swift account: all %d are used, stop the instance", swiftAccounts)
	}
	if _, err := counter.WriteAt(fmt.Appendf(nil, "%d\n", next+1), 0); err != nil {
		return "", fmt.Errorf("count Swift accounts: %w", err)
	}
	return swiftAccountName(next), nil
}

// logs returns the ends of all logs of the instance.
func (l *swiftLease) logs() string {
	paths, _ := filepath.Glob(filepath.Join(l.Dir, "*.log"))
	var all strings.Builder
	for _, path := range paths {
		tail, _ := tailOf(path, 15)
		fmt.Fprintf(&all, "== %s ==\n%s\n", filepath.Base(path), tail)
	}
	return all.String()
}

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}
