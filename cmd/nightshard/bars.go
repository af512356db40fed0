package main

import (
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

const (
	barWidth   = 24
	barRefresh = 150 * time.Millisecond
)

// barsView shows a bar for each stage at work, for terminals. What is done is
// a line above the bars, as in a pipe.
type barsView struct {
	out, errs *screen
	now       func() time.Time
	bars      *mpb.Progress
	at        map[*stage]*stageBar
}

// stageBar is the bar of one stage and the words behind it. The words are read
// by the goroutine that draws.
type stageBar struct {
	bar   *mpb.Bar
	words atomic.Pointer[string]
	began time.Time
}

func newBarsView(out, errs *screen, now func() time.Time) *barsView {
	return &barsView{
		out: out, errs: errs, now: now, at: map[*stage]*stageBar{},
		bars: mpb.New(mpb.WithOutput(out.Writer), mpb.WithWidth(out.width), mpb.WithRefreshRate(barRefresh), mpb.WithAutoRefresh()),
	}
}

// line prints above the bars.
func (v *barsView) line(text string) {
	_, _ = v.bars.Write([]byte(text + "\n"))
}

func (v *barsView) asked(q asked) { v.line(q.String()) }

func (v *barsView) begin(s *stage) {
	b := &stageBar{began: v.now()}
	b.say("waiting")
	b.bar = v.bars.New(0, mpb.BarStyle(), mpb.BarWidth(barWidth),
		mpb.PrependDecorators(decor.Name(s.label(), decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			return " " + *b.words.Load() + ", " + runningFor(v.now(), b.began)
		})))
	v.at[s] = b
}

func (b *stageBar) say(words string) { b.words.Store(&words) }

func (v *barsView) progress(s *stage, p *pb.Progress) {
	b := v.at[s]
	if b == nil {
		return
	}
	b.say(progressText(p))
	// A bar that began without a total does not end by being full, which is
	// right: the stage may have more steps.
	b.bar.SetTotal(max(p.GetTotal(), 0), false)
	b.bar.SetCurrent(p.GetDone())
}

func (v *barsView) outcome(s *stage, e events.Event) {
	text := outcomeText(e.Message)
	if s.fate == failed {
		text = v.out.warn(text)
	}
	v.line(outcomeLabel(s, e) + ": " + text)
	if s.fate != running {
		v.drop(s)
	}
}

func (v *barsView) fate(s *stage) {
	v.line(s.label() + ": " + v.out.warn(fateText(s)))
	v.drop(s)
}

// drop takes a stage's bar off the screen.
func (v *barsView) drop(s *stage) {
	if b := v.at[s]; b != nil {
		b.bar.Abort(true)
		b.bar.Wait()
		delete(v.at, s)
	}
}

func (v *barsView) note(text string) { v.line("nightshard: " + text) }

func (v *barsView) end(c *chain, err error) {
	for s := range v.at {
		v.drop(s)
	}
	v.bars.Wait()
	v.out.printf("%s", summary(c, err))
}
