package events

import (
	"fmt"
	"sync"
	"time"
)

// silence is how long a worker may say nothing of itself, besides what its
// calls may take while NATS is away.
const silence = 2 * time.Minute

// pulses are the signs of life of a bus's workers.
type pulses struct {
	mu      sync.Mutex
	last    map[*worker]time.Time // zero: it is in a handler, whose lease speaks for it
	awaited int                   // workers that are yet to begin
	begun   func()
}

// WhenWorking calls fn once, when n consumers of this bus have found or made
// their durables and ask for events. It is called before any of them is started.
func (b *Bus) WhenWorking(n int, fn func()) {
	b.pulses.mu.Lock()
	defer b.pulses.mu.Unlock()
	b.pulses.awaited, b.pulses.begun = n, fn
}

// Alive reports a worker that hangs: one that neither asks for an event nor
// settles one, or a handler that goes on after its context has ended. It does
// not ask NATS: waiting for a server that is away is no fault of this process,
// and neither is a long job.
func (b *Bus) Alive() error { return b.aliveAt(time.Now()) }

func (b *Bus) aliveAt(now time.Time) error {
	b.pulses.mu.Lock()
	defer b.pulses.mu.Unlock()
	for w, last := range b.pulses.last {
		if since := now.Sub(last); !last.IsZero() && since > silence+4*b.cfg.AckWait {
			return fmt.Errorf("await a sign of life of consumer %s: none for %s", w.Durable, since.Round(time.Second))
		}
	}
	return nil
}

// begin says once that the worker has its durable.
func (w *worker) begin() {
	p := &w.bus.pulses
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.begun {
		return
	}
	w.begun = true
	if p.awaited--; p.awaited == 0 && p.begun != nil {
		go p.begun()
	}
}

// beat is a sign of life.
func (w *worker) beat() { w.sign(time.Now()) }

// busy says that a handler has the word.
func (w *worker) busy() { w.sign(time.Time{}) }

func (w *worker) sign(at time.Time) {
	p := &w.bus.pulses
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[*worker]time.Time{}
	}
	p.last[w] = at
}

// rest says that the worker has ended, which is no silence.
func (w *worker) rest() {
	p := &w.bus.pulses
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.last, w)
}
