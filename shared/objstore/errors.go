package objstore

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrNotFound says that the container or object does not exist.
var ErrNotFound = errors.New("not found")

// ErrCorrupt says that stored or received bytes are not those that were sent.
var ErrCorrupt = errors.New("content does not match its checksum")

// ErrSkipBody is returned by a read function of Get that wants no content.
var ErrSkipBody = errors.New("skip the content")

// ErrStalled says that the server neither sent nor took anything for the idle
// time.
var ErrStalled = errors.New("server stalled")

// ErrCredentials says that the server refuses the user or key, so that another
// try is of no use.
var ErrCredentials = errors.New("credentials refused")

// ErrName says that no server can hold a container or object of this name.
var ErrName = errors.New("bad name")

// StatusError is an answer of the server that is not success.
type StatusError struct {
	// Code is the HTTP status.
	Code int
	// RetryAfter is how long the server asked to wait, 0 if it did not.
	RetryAfter time.Duration
	// Text is the server's reason.
	Text string
}

// Error gives the status and the server's reason.
func (e *StatusError) Error() string {
	return fmt.Sprintf("HTTP status %d: %s", e.Code, e.Text)
}

// SourceError is a failure of the content that was to be stored, not of the
// store.
type SourceError struct {
	// Err is what the Source, its reader or its Close returned.
	Err error
}

// Error says that the content failed, and how.
func (e *SourceError) Error() string { return "read source: " + e.Err.Error() }

// Unwrap gives the error of the Source.
func (e *SourceError) Unwrap() error { return e.Err }

// The limits of Swift on names, in bytes, from its /info.
const (
	maxContainerName = 256
	maxObjectName    = 1024
)

// CheckNames returns ErrName when no object of this name can be in a container
// of that name: Swift would take a slash in a container's name for its end, and
// so put the object elsewhere.
func CheckNames(container, name string) error {
	if err := CheckContainer(container); err != nil {
		return err
	}
	if name == "" || len(name) > maxObjectName || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return fmt.Errorf("object %q: %w", name, ErrName)
	}
	return nil
}

// CheckContainer returns ErrName when no container can have this name.
func CheckContainer(container string) error {
	if container == "" || len(container) > maxContainerName || strings.ContainsAny(container, "/\x00") || !utf8.ValidString(container) {
		return fmt.Errorf("container %q: %w", container, ErrName)
	}
	return nil
}
