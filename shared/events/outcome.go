package events

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// ErrClosed says that the bus was closed while it was still used.
var ErrClosed = errors.New("bus is closed")

// errLeaseLost cancels a job whose heartbeat was not confirmed for the whole
// acknowledgement time: another replica may have the event by now.
var errLeaseLost = errors.New("the event was not confirmed in time, another replica may have it")

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks an error that another attempt would not change, such as an
// impossible day. It returns nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err: err}
}

// IsPermanent reports whether an error in the chain was made by [Permanent].
func IsPermanent(err error) bool {
	var permanent *permanentError
	return errors.As(err, &permanent)
}

type stepError struct {
	step string
	err  error
}

func (e *stepError) Error() string { return e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// StepRead is the step of an event whose body cannot be read.
const StepRead = "read event"

// Step says in which step of the work an error came up. The text of the error
// stays as it is; the failed event carries the name. It returns nil for nil.
func Step(name string, err error) error {
	if err == nil {
		return nil
	}
	return &stepError{step: name, err: err}
}

// StepOf returns the outermost step of an error, empty if there is none.
func StepOf(err error) string {
	if step, ok := errors.AsType[*stepError](err); ok {
		return step.step
	}
	return ""
}

// panicError is a handler's panic, which is treated as any other error.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

func newPanicError(value any) error {
	return &panicError{value: value, stack: debug.Stack()}
}

// DefaultRetryWait is the wait before the second attempt.
const DefaultRetryWait = 5 * time.Second

// RetryAfter gives how long the bus waits after each attempt, counted from 1,
// when the first wait is given: then 6, 24 and 60 times as long. With the
// default these are 5 seconds, 30 seconds, 2 minutes and 5 minutes.
func RetryAfter(first time.Duration) func(attempt int) time.Duration {
	return func(attempt int) time.Duration {
		switch attempt {
		case 0, 1:
			return first
		case 2:
			return 6 * first
		case 3:
			return 24 * first
		}
		return 60 * first
	}
}
