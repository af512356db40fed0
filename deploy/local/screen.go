package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

// screen is what a person sees: bars on a terminal, plain lines elsewhere.
type screen struct {
	out      io.Writer
	terminal bool
	began    time.Time

	mu   sync.Mutex
	bars *mpb.Progress
	bar  map[string]*mpb.Bar
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out, began: time.Now(), bar: map[string]*mpb.Bar{}}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		s.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb" //nolint:forbidigo // the terminal's own setting
	}
	return s
}

// line prints one line with the seconds since the start.
func (s *screen) line(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.out
	if s.bars != nil {
		w = s.bars // above the bars
	}
	_, _ = fmt.Fprintf(w, "%6.1fs  %s\n", time.Since(s.began).Seconds(), text)
}

// while shows that something is going on until work returns.
func (s *screen) while(what string, work func() error) error {
	s.line(what)
	done := make(chan error, 1)
	go func() { done <- work() }()
	every := 10 * time.Second
	if s.terminal {
		every = 200 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	begin := time.Now()
	for {
		select {
		case err := <-done:
			if s.terminal {
				_, _ = fmt.Fprint(s.out, "\r\x1b[K")
			}
			return err
		case <-tick.C:
			if s.terminal {
				_, _ = fmt.Fprintf(s.out, "\r\x1b[K         %s %.0f s", string(`|/-\`[int(time.Since(begin)/every)%4]), time.Since(begin).Seconds())
			} else {
				s.line(fmt.Sprintf("  … %.0f s", time.Since(begin).Seconds()))
			}
		}
	}
}

// begin starts the bars of the night.
func (s *screen) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal {
		s.bars = mpb.New(mpb.WithOutput(s.out), mpb.WithWidth(40), mpb.WithRefreshRate(100*time.Millisecond))
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

// event prints one line for an event.
func (s *screen) event(e events.Event) {
	text := e.Subject
	switch m := e.Message.(type) {
	case *pb.BackupCompleted:
		text += fmt.Sprintf("  %s: %d shards, %s, verified", m.GetDay(), m.GetShards(), size(m.GetBytes()))
	case *pb.RestoreCompleted:
		text += fmt.Sprintf("  %s: %d counts compared, %d differ", m.GetDay(), m.GetVerdict().GetCompared(), len(m.GetVerdict().GetDifferences()))
	case *pb.DumpCompleted:
		text += fmt.Sprintf("  %s of %s: %d records, %s", m.GetMeasurement(), m.GetDay(), m.GetRecords(), size(m.GetBytes()))
	case *pb.BackupFailed, *pb.RestoreFailed, *pb.DumpFailed:
		text += "  " + failure(m)
	}
	s.line(text)
}

// table prints the night at its end.
func (s *screen) table(n *outcome) {
	t := table.NewWriter()
	t.SetOutputMirror(s.out)
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"step", "what", "size", "seconds", "after the event"})
	if b := n.backup; b != nil {
		t.AppendRow(table.Row{"backup", fmt.Sprintf("%d shards, verified", b.GetShards()), size(b.GetBytes()), seconds(b.GetFinishedAt().AsTime().Sub(b.GetStartedAt().AsTime())), between(n.asked, b.GetStartedAt().AsTime())})
	}
	if r := n.restore; r != nil {
		t.AppendRow(table.Row{
			"restore", fmt.Sprintf("%d shards, %d counts compared, %d differ", r.GetShards(), r.GetVerdict().GetCompared(), len(r.GetVerdict().GetDifferences())),
			size(r.GetBytes()), seconds(r.GetFinishedAt().AsTime().Sub(r.GetStartedAt().AsTime())), between(n.backupAt, r.GetStartedAt().AsTime()),
		})
	}
	for _, d := range n.dumps {
		note := ""
		if !d.GetComplete() {
			note = ", to be completed the next night"
		}
		t.AppendRow(table.Row{
			"dump", fmt.Sprintf("%s: %d records%s", d.GetMeasurement(), d.GetRecords(), note),
			size(d.GetBytes()), seconds(d.GetFinishedAt().AsTime().Sub(d.GetStartedAt().AsTime())), between(n.restoreAt, d.GetStartedAt().AsTime()),
		})
	}
	for _, f := range n.failures {
		t.AppendRow(table.Row{"FAILED", f, "", "", ""})
	}
	t.AppendFooter(table.Row{"night", "", "", seconds(time.Since(n.asked)), ""})
	_, _ = fmt.Fprintln(s.out)
	t.Render()
}

// between is the time from an event to the first action on it.
func between(event, action time.Time) string {
	return fmt.Sprintf("%d ms", action.Sub(event).Milliseconds())
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

// size writes a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%d B", n)
	}
}
