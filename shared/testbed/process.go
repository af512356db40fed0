package testbed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// process is a server that runs as a child and dies with the test process.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child is gone
	err  error         // how it ended; valid once done is closed
}

// startProcess starts a command with its output appended to a log file.
//
// The kernel ties Pdeathsig to the thread that started the child, not to the
// process, so one goroutine keeps its thread until the child has ended.
func startProcess(logPath string, env []string, name string, args ...string) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(log, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

func (p *process) run(log *os.File, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer log.Close()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// alive says whether the child still runs.
func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends a signal; a child that has ended already is no error.
func (p *process) signal(sig syscall.Signal) {
	if p.alive() {
		_ = p.cmd.Process.Signal(sig)
	}
}

// stop asks the child to end and waits. A child that does not end within the
// grace time is killed, which is reported.
func (p *process) stop(grace time.Duration) error {
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGCONT) // a paused child could not hear it
	select {
	case <-p.done:
		return nil
	case <-time.After(grace):
		p.kill()
		return fmt.Errorf("stop %s: still running after %s, killed", p.cmd.Path, grace)
	}
}

// kill ends the child without a warning and waits until it is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// pause freezes the child and waits until every thread of it stands still:
// the signal alone only announces it, and a server may answer once more.
func (p *process) pause() error {
	p.signal(syscall.SIGSTOP)
	return poll(10*time.Second, func() error {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
		if err != nil || len(stats) == 0 {
			return finalError{errors.New("pause: the process is gone")}
		}
		for _, path := range stats {
			if state := threadState(path); state != "T" {
				return fmt.Errorf("pause: a thread is in state %q", state)
			}
		}
		return nil
	})
}

// threadState reads the third field of a stat file of /proc. The second is the
// program's name in parentheses and may hold anything, so it is cut off first.
// A thread that ended meanwhile has state "T" here: it stands still for good.
func threadState(path string) string {
	stat, err := os.ReadFile(path)
	if err != nil {
		return "T"
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	state, _, _ := strings.Cut(rest, " ")
	return state
}
