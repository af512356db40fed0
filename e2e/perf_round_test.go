//go:build !race

package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// round is one run of both ways: seconds by step.
type round map[string]float64

// String lists the steps by name, for the log.
func (r round) String() string {
	var out []string
	for _, step := range slices.Sorted(maps.Keys(r)) {
		out = append(out, fmt.Sprintf("%s %.2f s", step, r[step]))
	}
	return strings.Join(out, "; ")
}

// time adds the time that do takes to a step.
func (r round) time(step string, do func()) {
	begin := time.Now()
	do()
	r[step] += time.Since(begin).Seconds()
}

// add notes the time between two stamps as a step.
func (r round) add(step string, from, to time.Time) { r[step] += to.Sub(from).Seconds() }

// sum is the time of several steps; ok is false when one of them was not run.
func (r round) sum(steps []string) (seconds float64, ok bool) {
	for _, s := range steps {
		v, ran := r[s]
		if !ran {
			return 0, false
		}
		seconds += v
	}
	return seconds, len(steps) > 0
}

// spread is a median, with the least and the greatest beside it.
type spread struct {
	mid, low, high float64
	n              int
}

// spreadOf is the spread of some values, which are sorted by it.
func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	slices.Sort(values)
	n := len(values)
	return spread{mid: (values[(n-1)/2] + values[n/2]) / 2, low: values[0], high: values[n-1], n: n}
}

// rounds are several runs, both ways alternating.
type rounds []round

// seconds is the spread of the time of some steps together.
func (rs rounds) seconds(steps ...string) spread {
	var all []float64
	for _, r := range rs {
		if s, ok := r.sum(steps); ok {
			all = append(all, s)
		}
	}
	return spreadOf(all)
}

// ratio is the spread of the ratios of both ways, round by round: what disturbs
// the machine for a while disturbs both.
func (rs rounds) ratio(ours, theirs []string) spread {
	var all []float64
	for _, r := range rs {
		a, ok1 := r.sum(ours)
		b, ok2 := r.sum(theirs)
		if ok1 && ok2 {
			all = append(all, a/b)
		}
	}
	return spreadOf(all)
}
