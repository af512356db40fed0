package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	pb "nightshard/proto/nightshard/v1"
)

// screen is what a person sees: bars on a terminal, plain lines elsewhere.
type screen struct {
	out      io.Writer
	terminal bool
	began    time.Time
	// gone is told when nobody reads any more, as after `| head`.
	gone context.CancelCauseFunc

	mu   sync.Mutex
	bars *mpb.Progress
	bar  map[string]*mpb.Bar
}

func newScreen(out io.Writer, term string, gone context.CancelCauseFunc) *screen {
	s := &screen{out: out, began: time.Now(), bar: map[string]*mpb.Bar{}, gone: gone}
	if f, ok := out.(*os.File); ok {
		s.terminal = isatty.IsTerminal(f.Fd()) && term != "dumb"
	}
	return s
}

// line prints one line with the seconds since the start.
func (s *screen) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear := ""
	w := s.out
	switch {
	case s.bars != nil:
		w = s.bars // above the bars
	case s.terminal:
		clear = "\r\x1b[K" // the spinner of while
	}
	s.write(w, fmt.Sprintf("%s%6.1fs  %s\n", clear, time.Since(s.began).Seconds(), fmt.Sprintf(format, args...)))
}

// text prints as it is.
func (s *screen) text(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(s.out, text)
}

func (s *screen) write(w io.Writer, text string) {
	if _, err := io.WriteString(w, text); err != nil {
		s.gone(fmt.Errorf("print: %w", err))
	}
}

// How often while shows that it is still at work, elsewhere and on a terminal.
const (
	plainEvery   = 10 * time.Second
	spinnerEvery = 100 * time.Millisecond
)

// while shows that something is going on until work returns.
func (s *screen) while(what string, work func() error) error {
	s.line("%s", what)
	done := make(chan error, 1)
	go func() { done <- work() }()
	every := plainEvery
	if s.terminal {
		every = spinnerEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	begin := time.Now()
	for {
		select {
		case err := <-done:
			if s.terminal {
				s.text("\r\x1b[K")
			}
			return err
		case <-tick.C:
			took := time.Since(begin)
			if s.terminal {
				s.text(fmt.Sprintf("\r\x1b[K         %c %.0f s", `|/-\`[int(took/every)%4], took.Seconds()))
			} else {
				s.line("  … %.0f s", took.Seconds())
			}
		}
	}
}

// begin starts the bars of the night.
func (s *screen) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal {
		s.bars = mpb.New(mpb.WithOutput(s.out), mpb.WithAutoRefresh(), mpb.WithWidth(80), mpb.WithRefreshRate(100*time.Millisecond))
	}
}

// finish ends the bars, wherever they are.
func (s *screen) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bars == nil {
		return
	}
	for _, b := range s.bar {
		b.SetTotal(-1, true)
	}
	s.bars.Wait()
	s.bars, s.bar = nil, map[string]*mpb.Bar{}
}

// progress moves the bar of a step.
func (s *screen) progress(p *pb.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bars == nil {
		return
	}
	name := p.GetService() + " " + p.GetStep()
	if m := p.GetMeasurement(); m != "" {
		name = "dump " + m
	}
	b := s.bar[name]
	if b == nil {
		b = s.bars.AddBar(p.GetTotal(),
			mpb.PrependDecorators(decor.Name(fmt.Sprintf("         %-18.18s", name))),
			mpb.AppendDecorators(decor.CurrentNoUnit(" %d "+p.GetUnit()), decor.Elapsed(decor.ET_STYLE_MMSS, decor.WCSyncSpace)))
		s.bar[name] = b
	}
	b.SetCurrent(p.GetDone())
	if p.GetTotal() > 0 && p.GetDone() >= p.GetTotal() {
		b.SetTotal(p.GetTotal(), true)
	}
}
