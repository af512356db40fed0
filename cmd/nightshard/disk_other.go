//go:build !linux

package main

import "errors"

// freeBytes is known only on Linux.
func freeBytes(string) (int64, error) {
	return 0, errors.New("the room on a disk is asked for only on Linux")
}
