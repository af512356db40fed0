package main

import (
	"context"
	"io"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"nightshard/shared/download"
	"nightshard/shared/objstore"
)

// fetch brings objects to files, with a bar on a terminal.
func (a *app) fetch(ctx context.Context, store objstore.Store, files []download.File, mode fs.FileMode, parallel int, check func(download.File, io.Reader) error) ([]download.Got, error) {
	var total int64
	for _, f := range files {
		total += f.Object.Size
	}
	passed, end := a.transferBar(total)
	defer end()
	return download.Files(ctx, store, files, download.Options{ //nolint:wrapcheck // it names the object and the file
		Parallel: parallel, Mode: mode, Check: check, Progress: passed,
	})
}

// transferBar shows how much of total bytes has passed, how fast, and how long
// the rest will take. passed is told of more bytes.
func (a *app) transferBar(total int64) (passed func(int64), end func()) {
	if !a.errs.terminal {
		return func(int64) {}, func() {}
	}
	began := a.now()
	var done atomic.Int64
	bars := mpb.New(mpb.WithOutput(a.errs.Writer), mpb.WithWidth(a.errs.width), mpb.WithRefreshRate(barRefresh), mpb.WithAutoRefresh())
	bar := bars.New(max(total, 1), mpb.BarStyle(), mpb.BarWidth(barWidth), mpb.BarRemoveOnComplete(),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			return " " + transferText(done.Load(), total, a.now().Sub(began))
		})))
	return func(n int64) { bar.SetCurrent(done.Add(n)) }, func() {
		bar.Abort(true)
		bars.Wait()
	}
}

// transferText says how far a transfer is after some time.
func transferText(done, total int64, after time.Duration) string {
	text := bytesText(done) + " of " + bytesText(total)
	if after < time.Second || done <= 0 {
		return text
	}
	rate := float64(done) / after.Seconds()
	left := time.Duration(float64(total-done) / rate * float64(time.Second))
	return text + ", " + bytesText(int64(rate)) + "/s, " + spanText(left) + " left"
}
