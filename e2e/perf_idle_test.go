//go:build !race

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// idle is what a process costs that waits.
type idle struct {
	service  string
	core     float64 // share of one core
	resident int64   // bytes
}

// idleServices measures the three services while they wait for a night.
func idleServices(t *testing.T, watch time.Duration) []idle {
	h := measured(t, dataset{days: 1, hosts: 1, every: time.Hour, shard: day24})
	var procs []*proc
	for _, name := range []string{"backup", "restore", "dumper"} {
		procs = append(procs, h.start(name).ready())
	}
	// A night before it: what a service keeps of its work is part of its cost.
	h.timedNight(t, dayName(0), 1)
	out := make([]idle, len(procs))
	for i, p := range procs {
		out[i].core = -p.cpu().Seconds()
	}
	wait(t, watch)
	for i, p := range procs {
		out[i].core = (out[i].core + p.cpu().Seconds()) / watch.Seconds()
		out[i].service, out[i].resident = p.name, p.status("VmRSS")
		t.Logf("idle: %+v", out[i])
	}
	return out
}

// idleFor measures one service that waits.
func (p *proc) idleFor(t *testing.T, watch time.Duration) idle {
	t.Helper()
	begin := p.cpu()
	wait(t, watch)
	return idle{service: p.name, core: (p.cpu() - begin).Seconds() / watch.Seconds(), resident: p.status("VmRSS")}
}

// wait lets time pass: it is what is measured.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// cpu is the time that the process's threads have run so far. The kernel counts
// it in nanoseconds there; in the usual place it counts whole ticks.
func (p *proc) cpu() time.Duration {
	p.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil || len(files) == 0 {
		p.t.Fatalf("find threads of %s: %v", p.name, err)
	}
	var sum int64
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		n, err := strconv.ParseInt(strings.Fields(string(data))[0], 10, 64)
		must(p.t, err)
		sum += n
	}
	return time.Duration(sum)
}
