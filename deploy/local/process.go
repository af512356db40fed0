package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// process is a child of ours. It does not outlive us.
type process struct {
	name string
	log  string // file with its output
	cmd  *exec.Cmd
	done chan struct{} // closed when the child is gone
	err  error         // how it ended; valid once done is closed
	// stopping says that its end is our wish.
	stopping atomic.Bool
}

// spec says how to start a process.
type spec struct {
	name, path string
	args       []string
	env        map[string]string
	log        string
	// line gets each line of output, too; it may be nil.
	line func(string)
}

// start starts a child with its output in a log file. The kernel ties the end
// of a child to the thread that started it, not to the process, so one
// goroutine keeps its thread until the child has ended.
func start(s spec) (*process, error) {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", s.name, err)
	}
	// It has no context: it is ended in its turn, not when ctx ends.
	cmd := exec.CommandContext(context.Background(), s.path, s.args...) //nolint:gosec // a binary of ours
	cmd.Env = environ(s.env)
	cmd.Stdout = log
	if s.line != nil {
		cmd.Stdout = &tee{file: log, line: s.line}
	}
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us alone, we stop them in order
	dieWithParent(cmd.SysProcAttr)
	p := &process{name: s.name, log: s.log, cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(log, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	return p, nil
}

func (p *process) run(log io.Closer, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer func() { _ = log.Close() }()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// stop ends the child: with SIGTERM, and with SIGKILL when it takes too long,
// which is an error.
func (p *process) stop(grace time.Duration) error {
	p.stopping.Store(true)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	return fmt.Errorf("it did not end within %s and was killed", grace)
}

// lastWords says how the child ended, with the end of its log.
func (p *process) lastWords() error {
	how := "it ended by itself"
	if p.err != nil {
		how = p.err.Error()
	}
	return fmt.Errorf("run %s: %s; the end of its log:\n%s", p.name, how, tail(p.log, 15))
}

// portTaken says that the child ended because another program had its port.
func (p *process) portTaken() bool {
	return !p.alive() && strings.Contains(tail(p.log, 50), "address already in use")
}

// errPortTaken says that another program was faster to take a port.
var errPortTaken = errors.New("the port was taken by another program")

// withPorts calls try with a fresh set of ports until it finds them free. Each
// try asks for its ports with the function it is given: the preferred port at
// first, any other later.
func withPorts(what string, try func(port func(preferred int) (int, error)) error) error {
	for attempt := range 5 {
		err := try(func(preferred int) (int, error) {
			if attempt > 0 {
				preferred = 0
			}
			return freePort(preferred)
		})
		if !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return fmt.Errorf("find ports for %s: %w, five times in a row; stop what takes them and try again", what, errPortTaken)
}

// environ is the map as exec wants it, in a fixed order.
func environ(env map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name])
	}
	return out
}

// tail is the last lines of a file.
func tail(path string, lines int) string {
	data, err := os.ReadFile(path) //nolint:gosec // a log of ours
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(data)), "\n")
	return "  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}

// tee writes output to a file and hands it on line by line. It never fails: a
// child must not stop because its log is full.
type tee struct {
	file io.Writer
	line func(string)
	rest []byte
}

// Write implements io.Writer.
func (t *tee) Write(p []byte) (int, error) {
	_, _ = t.file.Write(p)
	t.rest = append(t.rest, p...)
	for {
		line, rest, ok := bytes.Cut(t.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		t.line(string(line))
		t.rest = rest
	}
}

// poll calls try until it returns true or an error, every step at most. It
// gives up when ctx ends.
func poll(ctx context.Context, step time.Duration, try func() (bool, error)) error {
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for {
		done, err := try()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}
