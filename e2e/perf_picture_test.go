//go:build !race

package e2e_test

import (
	"bytes"
	"image/color"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// bar is one bar of the picture.
type bar struct {
	name  string
	ratio spread
}

// bars are the ratios of the standard size, the whole night first.
func (r *report) bars() []bar {
	s := r.sizes[0].rounds
	all := []bar{
		{"whole night, old dump in pages", s.ratio([]string{newNight}, oldWhole(oldPages))},
		{"whole night, old dump as one query", s.ratio([]string{newNight}, oldWhole(oldQuery))},
		{"backup and fingerprint", s.ratio([]string{newBackup}, oldBackups())},
		{"backup without the fingerprint's queries", s.ratio([]string{newUncounted}, oldBackups())},
		{"backup, one changed shard in 16", r.plan.carry.rows.ratio([]string{newCarried}, oldBackups())},
		{"restore until it answers", s.ratio([]string{newUndrilled}, oldRestores())},
		{"dump, old one in pages", s.ratio([]string{newDump}, oldPaged())},
		{"dump, old one as one query", s.ratio([]string{newDump}, oldDumps())},
	}
	return slices.DeleteFunc(all, func(b bar) bool { return b.ratio.n == 0 })
}

// picture draws the ratios. Its ground is transparent and its colours are of
// middle brightness, so that it is read on white and on black.
func (r *report) picture(t *testing.T) []byte {
	t.Helper()
	bars := r.bars()
	slices.Reverse(bars) // the first one stands on top
	grey := color.Gray{Y: 128}
	p := plot.New()
	p.BackgroundColor = color.Transparent
	p.Title.Text = "Time of a night's steps, the old way = 1"
	p.X.Label.Text = "ours / the old way; lines from least to greatest"
	p.X.Min = 0
	values, points := make(plotter.Values, 0, len(bars)), struct {
		plotter.XYs
		plotter.XErrors
	}{}
	labels := plotter.XYLabels{} // they begin at their place: how wide they are depends on the viewer's fonts
	top := 1.1
	for i, b := range bars {
		values = append(values, b.ratio.mid)
		points.XYs = append(points.XYs, plotter.XY{X: b.ratio.mid, Y: float64(i)})
		points.XErrors = append(points.XErrors, struct{ Low, High float64 }{b.ratio.low - b.ratio.mid, b.ratio.high - b.ratio.mid})
		labels.XYs = append(labels.XYs, plotter.XY{X: b.ratio.high + 0.01, Y: float64(i) - 0.12})
		labels.XYs = append(labels.XYs, plotter.XY{X: 0, Y: float64(i) + 0.3})
		labels.Labels = append(labels.Labels, figure(b.ratio.mid), b.name)
		top = math.Max(top, b.ratio.high+0.1)
	}
	p.X.Max = top
	chart, err := plotter.NewBarChart(values, vg.Points(16))
	must(t, err)
	chart.Horizontal, chart.Color, chart.LineStyle.Width = true, color.RGBA{R: 0x2f, G: 0x8f, B: 0xb3, A: 0xff}, 0
	spreads, err := plotter.NewXErrorBars(points)
	must(t, err)
	spreads.Color = grey
	texts, err := plotter.NewLabels(labels)
	must(t, err)
	line, err := plotter.NewLine(plotter.XYs{{X: 1, Y: -0.6}, {X: 1, Y: float64(len(bars)) - 0.4}})
	must(t, err)
	line.Color, line.Dashes = color.RGBA{R: 0xd0, G: 0x6a, B: 0x2c, A: 0xff}, []vg.Length{vg.Points(4), vg.Points(3)}
	p.Add(chart, spreads, texts, line)
	p.HideY()
	paint(p, grey)
	for i := range texts.TextStyle {
		texts.TextStyle[i].Color = grey
	}
	return drawn(t, p, len(bars))
}

// paint gives texts and axes one colour.
func paint(p *plot.Plot, c color.Color) {
	p.Title.TextStyle.Color = c
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Color, a.Label.TextStyle.Color, a.Tick.Label.Color, a.Tick.Color = c, c, c, c
	}
}

// drawn is the picture as SVG.
func drawn(t *testing.T, p *plot.Plot, bars int) []byte {
	t.Helper()
	w, err := p.WriterTo(vg.Points(680), vg.Points(float64(80+42*bars)), "svg")
	must(t, err)
	var b bytes.Buffer
	_, err = w.WriteTo(&b)
	must(t, err)
	return b.Bytes()
}
