package events

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	nightshardv1 "nightshard/proto/nightshard/v1"
)

const (
	progressSubject = "progress."
	// progressEvery is the shortest time between two messages about one step.
	progressEvery = 250 * time.Millisecond
	// progressQueue is how many messages may wait for a slow connection.
	progressQueue = 16
)

// Progress tells watchers how far a service is, on progress.SERVICE outside the
// stream. It never blocks and loses messages rather than wait: four a second
// for a step, besides its first one and the one that completes it.
func (b *Bus) Progress(msg *nightshardv1.Progress) {
	b.board.progress(msg)
	b.progress.offer(msg, time.Now())
}

// WatchProgress calls fn for each progress message of all services until ctx
// ends, and then returns nil. Calls follow each other. A message that cannot be
// read is left out.
func (b *Bus) WatchProgress(ctx context.Context, fn func(*nightshardv1.Progress)) error {
	arrived := make(chan *nats.Msg, 256)
	subject := b.prefix + progressSubject + "*"
	heeded, end := b.heed(ctx, subject)
	defer end()
	sub, err := b.conn.ChanSubscribe(subject, arrived)
	if err != nil {
		return fmt.Errorf("watch progress: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-heeded.Done():
			if ctx.Err() == nil {
				return fmt.Errorf("watch progress: %w", context.Cause(heeded))
			}
			return nil
		case <-b.closed:
			return fmt.Errorf("watch progress: %w", ErrClosed)
		case raw := <-arrived:
			msg := &nightshardv1.Progress{}
			if decodeInto(msg, raw.Data) == nil && schemaIn(msg) <= Schema {
				fn(msg)
			}
		}
	}
}

// progressSender sends apart from the callers: a connection that hangs must not
// slow a backup down.
type progressSender struct {
	conn   *nats.Conn
	prefix string
	queue  chan *nightshardv1.Progress
	quit   chan struct{}
	done   chan struct{}

	mu   sync.Mutex
	sent map[string]progressMark
}

// progressMark is the last message about a service's piece of work.
type progressMark struct {
	at       time.Time
	step     string
	complete bool
}

func newProgressSender(conn *nats.Conn, prefix string) *progressSender {
	p := &progressSender{
		conn: conn, prefix: prefix,
		queue: make(chan *nightshardv1.Progress, progressQueue),
		quit:  make(chan struct{}), done: make(chan struct{}),
		sent: map[string]progressMark{},
	}
	go p.run()
	return p
}

// offer copies the message into the queue if it is due and there is room.
func (p *progressSender) offer(msg *nightshardv1.Progress, now time.Time) {
	if !isSlug(msg.GetService()) || !p.due(msg, now) {
		return
	}
	copied, ok := proto.Clone(msg).(*nightshardv1.Progress)
	if !ok {
		return
	}
	select {
	case p.queue <- copied:
	default:
	}
}

func (p *progressSender) due(msg *nightshardv1.Progress, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := msg.GetService() + "\x00" + msg.GetMeasurement()
	mark := progressMark{
		at: now, step: msg.GetDay() + "\x00" + msg.GetStep(),
		complete: msg.GetTotal() > 0 && msg.GetDone() >= msg.GetTotal(),
	}
	last := p.sent[key]
	if last.step == mark.step && last.complete == mark.complete && now.Sub(last.at) < progressEvery {
		return false
	}
	p.sent[key] = mark
	return true
}

func (p *progressSender) run() {
	defer close(p.done)
	for {
		select {
		case msg := <-p.queue:
			p.send(msg)
		case <-p.quit:
			p.flush()
			return
		}
	}
}

// flush sends what waits, so that a service that ends shows its last step.
func (p *progressSender) flush() {
	for {
		select {
		case msg := <-p.queue:
			p.send(msg)
		default:
			return
		}
	}
}

// send drops what cannot be sent: the next message says more.
func (p *progressSender) send(msg *nightshardv1.Progress) {
	body, err := Encode(msg)
	if err == nil {
		_ = p.conn.Publish(p.prefix+progressSubject+msg.GetService(), body)
	}
}

func (p *progressSender) stop() {
	close(p.quit)
	<-p.done
}
