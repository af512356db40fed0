package events

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"
)

// job is one delivery on its way through the worker.
type job struct {
	*worker
	*Delivery
	reply   string
	seq     uint64
	began   time.Time
	results []proto.Message
	outcome Outcome // the last one that was told
}

// handle brings one delivery to its end.
func (w *worker) handle(ctx context.Context, msg *nats.Msg) {
	j, unreadable := w.open(msg)
	jobCtx, lease := w.bus.hold(ctx, j.reply)
	status := w.bus.board.begin(j)
	err := unreadable
	if err == nil {
		err = j.work(jobCtx)
	}
	w.beat()
	// What follows must happen although the service stops.
	settleCtx := context.WithoutCancel(ctx)
	switch {
	case lease.lost.Load():
		j.ended(OutcomeLost, err)
		j.log(zerolog.WarnLevel, err).Msg("event lost while at work: NATS confirmed no heartbeat in time, the event comes again")
	case err == nil:
		j.complete(settleCtx)
	case ctx.Err() != nil:
		j.handBack(settleCtx, err)
	case IsPermanent(err) || j.Attempt >= j.Attempts:
		j.fail(settleCtx, err)
	default:
		j.retry(settleCtx, err)
	}
	w.bus.board.end(status, j.outcome, err)
	lease.release()
}

// open reads a delivery. The error says that it can never be worked on.
func (w *worker) open(msg *nats.Msg) (*job, error) {
	subject := msg.Subject[len(w.bus.prefix):]
	d := &Delivery{Subject: subject, Message: NewMessage(subject), MsgID: msg.Header.Get(jetstream.MsgIDHeader)}
	j := &job{worker: w, Delivery: d, reply: msg.Reply, began: time.Now()}
	meta, err := msg.Metadata()
	if err != nil {
		return j, Permanent(Step(StepRead, err))
	}
	j.seq = meta.Sequence.Stream
	d.Time = meta.Timestamp.UTC()
	d.ID = deliveryID(meta.Sequence.Stream, d.Time)
	d.Attempt = int(min(meta.NumDelivered, math.MaxInt32))
	message, err := Decode(subject, msg.Data)
	if message != nil {
		d.Message = message
	}
	if err != nil {
		return j, Permanent(Step(StepRead, err))
	}
	if d.Attempt > w.Attempts {
		return j, Permanent(fmt.Errorf("handle %s: given up after %d attempts, the process ended in the last one", subject, w.Attempts))
	}
	return j, nil
}

func deliveryID(seq uint64, stored time.Time) string {
	return strconv.FormatUint(seq, 10) + "@" + strconv.FormatInt(stored.UnixNano(), 10)
}

// work calls the handler. A panic is an error like any other: one event must
// not end the service, and with it every other consumer.
func (j *job) work(ctx context.Context) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = newPanicError(value)
		}
	}()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	j.busy()
	// From then on the handler must return soon.
	defer context.AfterFunc(ctx, j.beat)()
	j.results, err = j.Handler(ctx, j.Delivery)
	return err
}

// complete publishes the results and then acknowledges. In the other order a
// crash in between would end the night without a word.
func (j *job) complete(ctx context.Context) {
	for _, msg := range j.results {
		j.beat()
		if err := j.bus.publishResult(ctx, j.Delivery, msg); err != nil {
			j.retry(ctx, Step("publish result", err))
			return
		}
	}
	j.ended(OutcomeDone, nil, j.results...)
	if err := j.settle(ctx, answerDone); err != nil {
		j.log(zerolog.WarnLevel, err).Msg("event done, but NATS did not take the acknowledgement: the event comes again")
		return
	}
	event := j.log(zerolog.InfoLevel, nil).Int("results", len(j.results))
	if len(j.results) == 1 {
		if body, err := Encode(j.results[0]); err == nil {
			event = event.RawJSON("result", body)
		}
	}
	event.Msg("event done")
}

// handBack gives the event to another replica at once.
func (j *job) handBack(ctx context.Context, err error) {
	if answerErr := j.once(ctx, answerAgain); answerErr != nil {
		err = errors.Join(err, answerErr)
	}
	j.ended(OutcomeHandedBack, err)
	j.log(zerolog.InfoLevel, err).Msg("event handed back, the service stops")
}

// retry leaves the event to a later attempt.
func (j *job) retry(ctx context.Context, err error) {
	j.ended(OutcomeRetry, err)
	wait := j.Retry(j.Attempt)
	body := fmt.Sprintf(`%s {"delay": %d}`, answerAgain, wait.Nanoseconds())
	if answerErr := j.once(ctx, body); answerErr != nil {
		err = errors.Join(err, answerErr)
	}
	j.log(zerolog.WarnLevel, err).Dur("wait", wait).Msg("event failed, it is tried again")
}

// fail says that the event is given up, and makes room for the next one.
func (j *job) fail(ctx context.Context, err error) {
	published, publishErr := j.publishFailed(ctx, err)
	if publishErr != nil {
		j.retry(ctx, errors.Join(err, Step("publish failure", publishErr)))
		return
	}
	j.ended(OutcomeFailed, err, published...)
	if answerErr := j.settle(ctx, answerFinished); answerErr != nil {
		err = errors.Join(err, answerErr)
	}
	j.log(zerolog.ErrorLevel, err).Msg("event given up")
}

// publishFailed returns the failed event, if there is one.
func (j *job) publishFailed(ctx context.Context, cause error) ([]proto.Message, error) {
	if j.Failed == nil {
		return nil, nil
	}
	msg := j.buildFailed(cause)
	if msg == nil {
		return nil, nil
	}
	completeFailed(msg, cause, j.attempts())
	return []proto.Message{msg}, j.bus.publishResult(ctx, j.Delivery, msg)
}

// attempts is how often the handler was called, or could have been.
func (j *job) attempts() int { return min(j.Attempt, j.Attempts) }

// buildFailed survives a service's panic: the failed event is then left out,
// which is less than an event that blocks the night for ever.
func (j *job) buildFailed(cause error) (msg proto.Message) {
	defer func() {
		if value := recover(); value != nil {
			msg = nil
			j.log(zerolog.ErrorLevel, newPanicError(value)).Msg("cannot build the failed event")
		}
	}()
	return j.Failed(j.Delivery, cause)
}

// settle sends a last answer, and again while NATS is away: an hour of work
// must not be repeated since the server restarts just now.
func (j *job) settle(ctx context.Context, body string) error {
	err := j.bus.patiently(ctx, func(ctx context.Context) (bool, error) {
		err := j.bus.answer(ctx, j.reply, body)
		return transient(err), err
	})
	if err == nil {
		j.resume = max(j.resume, j.seq+1)
	}
	return err
}

func (j *job) once(ctx context.Context, body string) error {
	ctx, cancel := call(ctx)
	defer cancel()
	return j.bus.answer(ctx, j.reply, body)
}

// log begins the one line of a delivery's outcome.
func (j *job) log(level zerolog.Level, err error) *zerolog.Event {
	event := j.bus.log.WithLevel(level).Str("durable", j.Durable).Str("subject", j.Subject). //nolint:zerologlint // the caller sends it
													Str("event", j.ID).Int("attempt", j.Attempt).Dur("took", time.Since(j.began))
	if day := stringField(j.Message, "day"); day != "" {
		event = event.Str("day", day)
	}
	if step := StepOf(err); step != "" {
		event = event.Str("step", step)
	}
	if panicked, ok := errors.AsType[*panicError](err); ok {
		event = event.Bytes("stack", panicked.stack)
	}
	return event.Err(err)
}
