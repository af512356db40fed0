package retry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"

	"nightshard/shared/objstore"
	"nightshard/shared/trust"
)

// Policy says how patient the store is.
type Policy struct {
	// Attempts is the most tries of one call, 8 when 0.
	Attempts int
	// GiveUpAfter is the time after the call's start at which no other try
	// begins, one hour when 0. A try that is under way is not ended by it.
	GiveUpAfter time.Duration
	// InitialWait is about the wait before the second try, 500 ms when 0. It
	// doubles with each try up to MaxWait, 30 s when 0. Each wait is between
	// half and one and a half of that by chance, so that many clients do not
	// come back at once. A longer time that the server asks for is heeded.
	InitialWait, MaxWait time.Duration
	// OnRetry, if not nil, is told of each failure that is tried again.
	OnRetry func(op, name string, err error, wait time.Duration)
	// Clock is the time, that of the machine when nil.
	Clock Clock
}

// Clock is a source of time.
type Clock interface {
	// Now is the present.
	Now() time.Time
	// Sleep waits for d, or until ctx ends, and then returns its error.
	Sleep(ctx context.Context, d time.Duration) error
}

func (p Policy) withDefaults() Policy {
	if p.Attempts <= 0 {
		p.Attempts = 8
	}
	if p.GiveUpAfter <= 0 {
		p.GiveUpAfter = time.Hour
	}
	if p.InitialWait <= 0 {
		p.InitialWait = 500 * time.Millisecond
	}
	if p.MaxWait <= 0 {
		p.MaxWait = 30 * time.Second
	}
	if p.OnRetry == nil {
		p.OnRetry = func(string, string, error, time.Duration) {}
	}
	if p.Clock == nil {
		p.Clock = systemClock{}
	}
	return p
}

func (p Policy) waits() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = p.InitialWait, p.MaxWait, 2
	return b
}

// Do calls try until it succeeds, returns an error that is not worth another
// try, or patience is at its end. It is for what is done before there is a
// store to decorate: opening it.
func Do(ctx context.Context, policy Policy, op, name string, try func() error) error {
	return run(ctx, policy.withDefaults(), op, name, worthIt, try)
}

func run(ctx context.Context, p Policy, op, name string, again func(error) bool, try func() error) error {
	waits := p.waits()
	end := p.Clock.Now().Add(p.GiveUpAfter)
	for n := 1; ; n++ {
		err := try()
		if err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w, last try: %w", ctx.Err(), err)
		}
		if !again(err) {
			return err
		}
		wait := max(waits.NextBackOff(), retryAfter(err))
		if n == p.Attempts || p.Clock.Now().Add(wait).After(end) {
			return fmt.Errorf("%w (given up after %d tries)", err, n)
		}
		p.OnRetry(op, name, err, wait)
		if p.Clock.Sleep(ctx, wait) != nil {
			return fmt.Errorf("%w, last try: %w", ctx.Err(), err)
		}
	}
}

// worthIt says whether the same call may succeed later.
func worthIt(err error) bool {
	var source *objstore.SourceError
	switch {
	case errors.As(err, &source), errors.Is(err, objstore.ErrNotFound), errors.Is(err, objstore.ErrName),
		errors.Is(err, objstore.ErrCredentials), trust.Is(err):
		return false
	case errors.Is(err, objstore.ErrCorrupt), errors.Is(err, objstore.ErrStalled):
		return true
	}
	if c := code(err); c != 0 {
		return worthStatus(c)
	}
	return isConnection(err)
}

// worthStatus knows the answers of Swift that pass: a token that has ended, a
// clash of two writes, a limit on the rate (498 is Swift's own), a server that
// is overloaded or away.
func worthStatus(code int) bool {
	switch code {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests, 498, 499,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// isConnection says whether err is one of the way to the server and back, and
// not a certificate that will not be right next time either.
func isConnection(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	var network net.Error
	var transport *url.Error
	return errors.As(err, &network) || errors.As(err, &transport) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// code is the HTTP status in err, 0 when there is none.
func code(err error) int {
	if status, ok := errors.AsType[*objstore.StatusError](err); ok {
		return status.Code
	}
	return 0
}

func retryAfter(err error) time.Duration {
	if status, ok := errors.AsType[*objstore.StatusError](err); ok {
		return status.RetryAfter
	}
	return 0
}

// systemClock is the machine's.
type systemClock struct{}

// Now implements Clock.
func (systemClock) Now() time.Time { return time.Now() }

// Sleep implements Clock.
func (systemClock) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
