//go:build !linux

package main

import "syscall"

// dieWithParent can do nothing here: only Linux ends a child with its parent.
func dieWithParent(*syscall.SysProcAttr) {}

// watchGoRun can do nothing here. Ctrl-C works as everywhere.
func watchGoRun(func()) {}
