//go:build !race

// The race detector makes everything slower, and unlike.

package e2e_test

import (
	"flag"
	"os"
	"testing"
	"time"
)

// Flags of task bench.
var (
	performance = flag.Bool("performance", false, "measure both ways, and write docs/performance.md (see task bench)")
	quick       = flag.Bool("quick", false, "with -performance: within five minutes, on a tenth of the data, and print the page only")
	writeAll    = flag.Bool("page", false, "with -performance: write docs/performance.md also after a quick run, or one of some parts")
)

// Where the page and its picture stand.
const (
	performancePage    = "../docs/performance.md"
	performancePicture = "../docs/performance.svg"
)

// plan says what a run measures.
type plan struct {
	sizes        []size // the first one is that of the targets
	carry, incr  changed
	dump         dumping
	parallel     parallel
	measurements []int
	watch        time.Duration // how long waiting services are watched
}

// fullPlan is for two quiet cores and three quarters of an hour.
func fullPlan() plan {
	house := dataset{days: 16, hosts: 100, every: 30 * time.Second, shard: day24, mem: 7}
	small := func(shards int) dataset {
		return dataset{days: (shards + 23) / 24, hosts: 10, every: time.Minute, shard: time.Hour}
	}
	points := func(every time.Duration) dataset {
		return dataset{days: 16, hosts: 100, every: every, shard: day24}
	}
	return plan{
		sizes: []size{
			{name: "5.3 million rows in 16 shards", dataset: house, rounds: 7, pages: 2, warm: true, counts: true},
			{name: "2 million points", dataset: points(69120 * time.Millisecond), rounds: 5, warm: true},
			{name: "6 million points", dataset: points(23040 * time.Millisecond), rounds: 2, ours: true},
			{name: "20 million points", dataset: points(6912 * time.Millisecond), rounds: 5},
			{name: "48 small shards", dataset: small(48), rounds: 2, ours: true},
			{name: "408 small shards", dataset: small(400), rounds: 5},
			{name: "2,016 small shards", dataset: small(2000), rounds: 1, ours: true},
		},
		carry: changed{dataset: house, rounds: 5},
		incr:  changed{dataset: dataset{days: 121, hosts: 100, every: 4 * time.Minute, shard: day24}, rounds: 5},
		dump:  dumping{dataset: house.of(2), sharing: dataset{days: 1, hosts: 100, every: 2 * time.Minute}, rounds: 5},
		parallel: parallel{
			dataset: dataset{days: 121, hosts: 100, every: 4 * time.Minute, shard: day24}, streams: []int{1, 2, 3, 4, 6, 8}, rounds: 3,
		},
		// A NATS server allows a stream 1,000 consumers, and each measurement
		// of all these dumpers is one.
		measurements: []int{10, 100, 800},
		watch:        time.Minute,
	}
}

// quickPlan is for five minutes.
func quickPlan() plan {
	house := dataset{days: 16, hosts: 100, every: 5 * time.Minute, shard: day24, mem: 7}
	return plan{
		sizes: []size{
			{name: "530,000 rows in 16 shards", dataset: house, rounds: 3, pages: 1, warm: true, counts: true},
			{name: "1.5 million points", dataset: dataset{days: 16, hosts: 100, every: 90 * time.Second, shard: day24}, rounds: 1, ours: true},
			{name: "96 small shards", dataset: dataset{days: 4, hosts: 10, every: time.Minute, shard: time.Hour}, rounds: 1, ours: true},
		},
		carry:        changed{dataset: house, rounds: 2},
		incr:         changed{dataset: dataset{days: 121, hosts: 100, every: time.Hour, shard: day24}, rounds: 2},
		dump:         dumping{dataset: house.of(2), sharing: dataset{days: 1, hosts: 100, every: 20 * time.Minute}, rounds: 3},
		parallel:     parallel{dataset: house, streams: []int{1, 4}, rounds: 1},
		measurements: []int{10, 100},
		watch:        10 * time.Second,
	}
}

// of is the same data, for fewer days.
func (d dataset) of(days int) dataset {
	d.days = days
	return d
}

// TestPerformance measures, and asserts nothing of what it measures. Each part
// stands for itself: one that fails is named on the page, and the rest goes on.
func TestPerformance(t *testing.T) {
	if !*performance {
		t.Skip("task bench measures")
	}
	p := fullPlan()
	if *quick {
		p = quickPlan()
	}
	r := &report{quick: *quick, machine: thisMachine(t), plan: &p}
	for _, s := range p.sizes {
		out := &sized{size: s}
		r.sizes = append(r.sizes, out)
		r.part(t, s.name, out.measure)
	}
	r.part(t, "one changed shard", p.carry.carry)
	r.part(t, "incremental restore", p.incr.restores)
	r.part(t, "streams at a time", p.parallel.measure)
	r.part(t, "query side", p.dump.querySide)
	r.part(t, "several dumps at once", p.dump.fairness)
	r.part(t, "many measurements", func(t *testing.T) { manyMeasurements(t, p.measurements, p.watch, &r.many) })
	r.part(t, "waiting", func(t *testing.T) { r.idle = idleServices(t, p.watch) })
	text := r.text(t)
	t.Log("\n" + string(text))
	if whole := !*quick && !r.partial; whole || *writeAll {
		must(t, os.WriteFile(performancePage, text, 0o600))
		must(t, os.WriteFile(performancePicture, r.picture(t), 0o600))
	}
}

// part runs one part of the run, unless -run leaves it out.
func (r *report) part(t *testing.T, name string, measure func(*testing.T)) {
	t.Helper()
	begin, asked, why := time.Now(), false, "it was not asked for"
	ok := t.Run(name, func(t *testing.T) {
		asked, why = true, ""
		t.Cleanup(func() {
			if t.Skipped() {
				why = "this version does not have it"
			}
		})
		measure(t)
	})
	if !ok {
		why = "it failed; the log of the run says why"
	}
	r.partial = r.partial || !asked
	if why != "" {
		r.missing = append(r.missing, name+": "+why)
	}
	t.Logf("%s: %s", name, time.Since(begin).Round(time.Second))
}
