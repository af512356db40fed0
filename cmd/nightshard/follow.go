package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

// lookEvery is how often the durables are looked at.
const lookEvery = time.Second

// catchUpTimeout bounds one reading of the stream to its end.
const catchUpTimeout = 10 * time.Second

// errFollowed ends the watching goroutines when the chain is done.
var errFollowed = errors.New("followed to the end")

// follower watches a chain and shows it.
type follower struct {
	bus   *events.Bus
	chain *chain
	view  view
	now   func() time.Time

	mu       sync.Mutex // guards chain and view, which several goroutines tell
	seen     uint64     // the last event that the chain was told of
	lookFail bool       // the last look failed, and that was said
}

// follow shows the request's chain until its last dump. It returns an error
// when a step failed.
func (a *app) follow(ctx context.Context, bus *events.Bus, q asked, timeout time.Duration, notes *relay) error {
	f := &follower{bus: bus, chain: newChain(q, a.grace), view: a.newView(), now: a.now}
	notes.redirect(f.note)
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	f.view.asked(q)
	f.view.begin(f.chain.stages[0])
	err := f.watch(ctx, q.seq)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		err = f.ended(ctx)
	}
	f.view.end(f.chain, err)
	notes.redirect(a.note)
	return err
}

// watch runs until the chain is done or ctx ends, both without an error.
func (f *follower) watch(ctx context.Context, seq uint64) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.bus.Watch(gctx, events.FromSeq(seq), f.event) })
	g.Go(func() error { return f.bus.WatchProgress(gctx, f.progress) })
	g.Go(func() error { return f.looks(gctx) })
	if err := g.Wait(); err != nil && !errors.Is(err, errFollowed) {
		return fmt.Errorf("follow: %w", err)
	}
	return nil
}

// ended is the outcome as an error.
func (f *follower) ended(ctx context.Context) error {
	var open []string
	for _, s := range f.chain.open() {
		open = append(open, s.label())
	}
	switch {
	case !f.chain.done() && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("not followed to the end within --timeout: %s not done; the services work on, see nightshard status", strings.Join(open, ", "))
	case !f.chain.done():
		return fmt.Errorf("not followed to the end: interrupted with %s not done; the services work on, see nightshard status", strings.Join(open, ", "))
	case !f.chain.ok():
		return &silentError{why: "a step failed"}
	}
	return nil
}

// event is told each event of the stream in order, by the watch and by catching
// up, whichever is first.
func (f *follower) event(e events.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.Seq <= f.seen {
		return nil
	}
	f.seen = e.Seq
	before := len(f.chain.stages)
	s := f.chain.see(e)
	if s == nil {
		return nil
	}
	f.view.outcome(s, e)
	f.beginFrom(before)
	return f.stop()
}

// beginFrom shows the stages that are new.
func (f *follower) beginFrom(n int) {
	for _, s := range f.chain.stages[n:] {
		if s.fate == running {
			f.view.begin(s)
		}
	}
}

func (f *follower) stop() error {
	if f.chain.done() {
		return errFollowed
	}
	return nil
}

func (f *follower) progress(p *pb.Progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.chain.stageOf(p); s != nil {
		f.view.progress(s, p)
	}
}

func (f *follower) note(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.view.note(text)
}

// looks asks for the durables from time to time.
func (f *follower) looks(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := f.look(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look judges the open stages by their durables. The watch may lie behind, most
// of all after NATS was away: the stream is then read to its end first.
func (f *follower) look(ctx context.Context) error {
	states, err := f.bus.Consumers(ctx)
	if err != nil {
		f.lookFailed(ctx, err)
		return nil
	}
	behind, err := f.judge(states, false)
	if err != nil || !behind {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	f.mu.Lock()
	next := f.seen + 1
	f.mu.Unlock()
	if err := f.bus.History(ctx, events.FromSeq(max(next, f.chain.request)), f.event); err != nil {
		if errors.Is(err, errFollowed) {
			return err //nolint:wrapcheck // it is our own
		}
		f.lookFailed(ctx, err)
		return nil
	}
	_, err = f.judge(states, true)
	return err
}

// lookFailed says once that a server is away; the bus comes back by itself.
func (f *follower) lookFailed(ctx context.Context, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.lookFail && ctx.Err() == nil {
		f.view.note(fmt.Sprintf("NATS does not say who is at work, asking again: %v", err))
	}
	f.lookFail = true
}

// judge tells the chain of the durables. behind asks for catching up.
func (f *follower) judge(states []events.ConsumerState, caughtUp bool) (behind bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookFail = false
	before := len(f.chain.stages)
	ended, behind := f.chain.look(states, f.now(), caughtUp)
	f.beginFrom(before)
	for _, s := range ended {
		f.view.fate(s)
	}
	return behind, f.stop()
}

// relay hands notes to whoever shows things at the moment.
type relay struct {
	mu sync.Mutex
	to func(string)
}

func (r *relay) redirect(to func(string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
}

func (r *relay) say(text string) {
	r.mu.Lock()
	to := r.to
	r.mu.Unlock()
	to(text)
}

// note tells the operator something while nothing else is shown.
func (a *app) note(text string) { a.errs.printf("nightshard: %s\n", text) }

func noLog() zerolog.Logger { return zerolog.Nop() }
