//go:build !race

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/influx"
	"nightshard/shared/testbed"
)

// Steps of the measurements of one dump.
const (
	plainCurl    = "curl to a file"
	plainSlices  = "curl, best of 2, 3 and 4 time slices at once"
	newQuerySide = "our query side, output discarded"
)

// dumping measures the dump's parts, and several dumps at once.
type dumping struct {
	dataset dataset // of the query side, one day of it is asked for
	rounds  int
	sharing dataset // of each of the measurements that are dumped at once
	rows    rounds
	shared  []shared
	peak    int64
}

// shared is one night with several dumps of equal size.
type shared struct {
	parallel int
	wall     float64 // from the first dump's start to the last one's end
	shortest float64 // of the dumps
	longest  float64
}

// pairs is how often in a round the query is asked in each of two ways. The
// server's garbage collection, which takes the second core, comes at any time:
// one query alone varies by a third.
const pairs = 4

// querySide alternates plain curl and ours on the same chunked query of the
// same server.
func (d *dumping) querySide(t *testing.T) {
	h := measured(t, d.dataset)
	from, to := mustDay(t, dayName(1)).Window(time.UTC)
	client, err := influx.NewClient(influx.ClientConfig{URL: h.prod.URL})
	must(t, err)
	for n := range d.rounds + 1 {
		r := round{}
		asks := []func(){
			func() { r.time(plainCurl, func() { curled(t, h.prod, t.TempDir(), from, to, 1) }) },
			func() {
				r.time(newQuerySide, func() {
					must(t, client.Stream(t.Context(), database, selectDay(from, to), func([]string, [][]byte) error { return nil }))
				})
			},
		}
		for i := range pairs {
			asks[(n+i)%2]()
			asks[(n+i+1)%2]()
		}
		r[plainCurl] /= pairs
		r[newQuerySide] /= pairs
		for parts := 2; parts <= 4; parts++ {
			one := round{}
			one.time(plainSlices, func() { curled(t, h.prod, t.TempDir(), from, to, parts) })
			if best, ok := r[plainSlices]; !ok || one[plainSlices] < best {
				r[plainSlices] = one[plainSlices]
			}
		}
		if n > 0 { // the first one warms the server
			t.Logf("query side, round %d: %v", n, r)
			d.rows = append(d.rows, r)
		}
	}
}

// curled asks for a window in equal parts at once, each into a file.
func curled(t *testing.T, s *testbed.InfluxServer, dir string, from, to time.Time, parts int) {
	t.Helper()
	var g errgroup.Group
	step := to.Sub(from) / time.Duration(parts)
	for i := range parts {
		begin := from.Add(time.Duration(i) * step)
		statement := selectDay(begin, begin.Add(step))
		cmd := exec.CommandContext(t.Context(), "curl", curl(s, statement, filepath.Join(dir, fmt.Sprint(i)))...)
		g.Go(cmd.Run)
	}
	must(t, g.Wait())
}

// fairness dumps four measurements of equal size in one process, 1, 2 and 4 at
// a time.
func (d *dumping) fairness(t *testing.T) {
	h := measured(t, dataset{days: 2, hosts: 1, every: time.Hour, shard: day24})
	names := []string{"part0", "part1", "part2", "part3"}
	for _, name := range names {
		h.fillNamed(t, name, d.sharing)
	}
	list, err := json.Marshal(names)
	must(t, err)
	h.start("backup").ready()
	h.start("restore").ready()
	for _, parallel := range []int{1, 2, 4} {
		p := h.start("dumper", "NIGHTSHARD_MEASUREMENTS="+string(list), fmt.Sprintf("NIGHTSHARD_DUMP_PARALLEL=%d", parallel)).ready()
		for range d.rounds {
			s := sharing(h.timedNight(t, dayName(0), len(names)).dumps)
			s.parallel = parallel
			t.Logf("four dumps: %+v", s)
			d.shared = append(d.shared, s)
			h.forget(t, dayName(0))
		}
		d.peak = max(d.peak, p.peak())
		must(t, p.stop(syscall.SIGTERM))
	}
}

// fillNamed writes a measurement of a name of its own.
func (h *house) fillNamed(t *testing.T, name string, d dataset) {
	t.Helper()
	var b strings.Builder
	for i := range d.rows() {
		fmt.Fprintf(&b, "%s,host=web-%03d idle=%d.25,user=%d.5,system=%di %d\n",
			name, i%d.hosts, i%97, i%31, i%1009, weekday0().Add(time.Duration(i/d.hosts)*d.every).UnixNano())
		if b.Len() > 1<<20 || i == d.rows()-1 {
			h.prod.Write(t, database, "main", b.String())
			b.Reset()
		}
	}
}

// sharing is how several dumps of one night got on.
func sharing(dumps []*pb.DumpCompleted) shared {
	var s shared
	first, last := dumps[0].GetStartedAt().AsTime(), dumps[0].GetFinishedAt().AsTime()
	for _, d := range dumps {
		from, to := d.GetStartedAt().AsTime(), d.GetFinishedAt().AsTime()
		took := to.Sub(from).Seconds()
		if s.shortest == 0 {
			s.shortest = took
		}
		s.shortest, s.longest = min(s.shortest, took), max(s.longest, took)
		if from.Before(first) {
			first = from
		}
		if to.After(last) {
			last = to
		}
	}
	s.wall = last.Sub(first).Seconds()
	return s
}

// many is one dumper with many measurements.
type many struct {
	measurements int
	seconds      float64 // from the first dump's start to the last one's end
	peak         int64
	idle         idle
}

// manyMeasurements starts dumpers with ever more measurements. Each has a
// durable of its own, which begins with the newest restore, so that a new
// dumper dumps all of them at once.
func manyMeasurements(t *testing.T, counts []int, watch time.Duration, out *[]many) {
	h := measured(t, dataset{days: 2, hosts: 1, every: time.Hour, shard: day24})
	var names []string
	for _, n := range counts {
		for i := range n {
			names = append(names, fmt.Sprintf("of-%d-%d", n, i))
		}
	}
	h.fillNames(t, names)
	h.start("backup").ready()
	restore := h.start("restore").ready()
	seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: dayName(0)})
	_, e := awaitOn[*pb.RestoreCompleted](h, seq, events.RestoreCompleted, events.RestoreFailed)
	must(t, restore.stop(syscall.SIGTERM))
	for _, n := range counts {
		list, err := json.Marshal(names[:n])
		must(t, err)
		names = names[n:]
		p := h.start("dumper", "NIGHTSHARD_MEASUREMENTS="+string(list)).ready()
		dumps := h.dumps(e.Seq, n)
		e = h.last()
		m := many{measurements: n, seconds: sharing(dumps).wall, peak: p.peak()}
		m.idle = p.idleFor(t, watch)
		t.Logf("%d measurements: %+v", n, m)
		*out = append(*out, m)
		must(t, p.stop(syscall.SIGTERM))
	}
}

// fillNames writes a day of 96 rows to each of many measurements.
func (h *house) fillNames(t *testing.T, names []string) {
	t.Helper()
	var b strings.Builder
	for _, name := range names {
		for i := range 96 {
			fmt.Fprintf(&b, "%s idle=%d.25,user=%di %d\n", name, i%97, i, weekday0().Add(time.Duration(i)*15*time.Minute).UnixNano())
		}
		if b.Len() > 1<<20 {
			h.prod.Write(t, database, "main", b.String())
			b.Reset()
		}
	}
	h.prod.Write(t, database, "main", b.String())
}

// last is the newest event.
func (h *house) last() events.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events[len(h.events)-1]
}

// day24 is a day of 24 hours.
const day24 = 24 * time.Hour
