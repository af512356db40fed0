package events

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// Answers to a delivery, as the server reads them.
const (
	answerDone     = "+ACK"
	answerAgain    = "-NAK"
	answerWorking  = "+WPI"
	answerFinished = "+TERM"
)

// answer sends an acknowledgement and waits until the server has it. Without
// that wait a lost one would show only by the work being done twice.
func (b *Bus) answer(ctx context.Context, reply, body string) error {
	ctx, end := b.heed(ctx, reply)
	defer end()
	if _, err := b.conn.RequestWithContext(ctx, reply, []byte(body)); err != nil {
		return fmt.Errorf("answer %q: %w", body, explainCall(ctx, err))
	}
	return nil
}

// lease keeps an event with this process while its job runs.
type lease struct {
	bus      *Bus
	reply    string
	lost     atomic.Bool
	cancel   context.CancelCauseFunc
	end      context.CancelFunc
	finished chan struct{}
}

// hold starts the heartbeat of a delivery. The context that it returns is the
// job's: it ends with ctx, and when no beat was confirmed for AckWait. The
// heartbeat itself outlives ctx, since a job that is told to stop needs time.
func (b *Bus) hold(ctx context.Context, reply string) (context.Context, *lease) {
	jobCtx, cancel := context.WithCancelCause(ctx)
	beatCtx, end := context.WithCancel(context.WithoutCancel(ctx))
	l := &lease{bus: b, reply: reply, cancel: cancel, end: end, finished: make(chan struct{})}
	go l.beat(beatCtx, time.Now())
	return jobCtx, l
}

// release ends the heartbeat and waits for it: a beat that arrives after the
// acknowledgement would be noise, and the goroutine must not outlive the bus.
func (l *lease) release() {
	l.end()
	<-l.finished
	l.cancel(nil)
}

func (l *lease) beat(ctx context.Context, confirmed time.Time) {
	defer close(l.finished)
	wait := l.bus.cfg.AckWait
	next := wait / 3
	for pause(ctx, next) == nil {
		sent := time.Now()
		bounded, cancel := context.WithDeadline(ctx, earlier(sent.Add(wait/3), confirmed.Add(wait)))
		err := l.bus.answer(bounded, l.reply, answerWorking)
		cancel()
		switch {
		case err == nil:
			confirmed, next = sent, wait/3
		case ctx.Err() != nil:
			return
		case time.Since(confirmed) >= wait:
			l.lost.Store(true)
			l.cancel(errLeaseLost)
			return
		default:
			next = min(wait/12, wait-time.Since(confirmed))
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
