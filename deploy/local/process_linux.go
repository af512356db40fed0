package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// dieWithParent has the kernel end the child when we die without a chance to.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// watchGoRun calls stop when we were started by `go run` and it is gone: it
// passes Ctrl-C on to us, but not SIGTERM, and would leave us behind.
func watchGoRun(stop func()) {
	parent := os.Getppid()
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent))
	if err != nil || strings.TrimSpace(string(comm)) != "go" {
		return
	}
	fd, err := unix.PidfdOpen(parent, 0)
	if err != nil {
		return
	}
	go func() {
		defer func() { _ = unix.Close(fd) }()
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1) //nolint:gosec // a file descriptor
			if !errors.Is(err, unix.EINTR) {
				stop()
				return
			}
		}
	}()
}
