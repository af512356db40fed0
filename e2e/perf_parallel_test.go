//go:build !race

package e2e_test

import (
	"fmt"
	"syscall"
	"testing"
)

// parallel are nights with so many streams at a time.
type parallel struct {
	dataset dataset
	streams []int
	rounds  int
	rows    rounds
}

// steps of a night with n streams.
func backupWith(n int) string { return fmt.Sprintf("backup, NIGHTSHARD_PARALLEL=%d", n) }

func restoreWith(n int) string { return fmt.Sprintf("restore and drill, NIGHTSHARD_PARALLEL=%d", n) }

// measure runs a night with each number of streams, in each round.
func (p *parallel) measure(t *testing.T) {
	h := measured(t, p.dataset)
	h.start("dumper").ready()
	night := func(n, day int) timed {
		setting := fmt.Sprintf("NIGHTSHARD_PARALLEL=%d", n)
		procs := []*proc{h.start("backup", setting).ready(), h.start("restore", setting).ready()}
		out := h.timedNight(t, dayName(day), 1)
		h.forget(t, dayName(day))
		for _, proc := range procs {
			must(t, proc.stop(syscall.SIGTERM))
		}
		return out
	}
	night(p.streams[0], 0) // production's memory is on its disk from now on
	for k := range p.rounds {
		r := round{}
		for i, n := range p.streams {
			out := night(n, 1+k*len(p.streams)+i)
			r[backupWith(n)] = out.round[newBackup]
			r[restoreWith(n)] = out.round[newRestore] + out.round[newDrill]
		}
		t.Logf("streams, round %d: %v", k+1, r)
		p.rows = append(p.rows, r)
	}
}

// parallelTable holds each number of streams against one.
func (r *report) parallelTable() grid {
	p := r.plan.parallel
	t := grid{head: []string{"NIGHTSHARD_PARALLEL", "backup", "ratio to 1", "restore and drill", "ratio to 1"}}
	for _, n := range p.streams {
		if len(p.rows) > 0 {
			t.rows = append(t.rows, []string{
				fmt.Sprint(n), seconds(p.rows.seconds(backupWith(n)).mid), figure(p.rows.ratio([]string{backupWith(n)}, []string{backupWith(1)}).mid),
				seconds(p.rows.seconds(restoreWith(n)).mid), figure(p.rows.ratio([]string{restoreWith(n)}, []string{restoreWith(1)}).mid),
			})
		}
	}
	return t
}
