//go:build !race

// The race detector multiplies memory: a limit says nothing under it.

package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/testbed"
)

// points is how many points the memory test writes. Ten times as many must not
// need more memory: go test ./e2e -run Memory -points 20160000.
var points = flag.Int("points", 2_016_000, "points of the memory test")

// limit is the resident memory that each service may use, whatever the
// database's size.
const limit = 128 << 20

// fillWide writes a week of 100 hosts, a point every 30 seconds for 2 million
// points, with 5 fields each.
func (h *house) fillWide(total int) {
	h.t.Helper()
	h.prod.Query(h.t, "", `CREATE RETENTION POLICY "main" ON "sensu_db" DURATION INF REPLICATION 1 SHARD DURATION 12h DEFAULT`)
	const hosts, batch = 100, 10_000
	step := 7 * 24 * time.Hour / time.Duration(total/hosts)
	work := make(chan int)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			var b strings.Builder
			for from := range work {
				b.Reset()
				for i := from; i < min(from+batch, total); i++ {
					at := weekday0().Add(time.Duration(i/hosts) * step)
					fmt.Fprintf(&b, "cpu,host=web-%03d idle=%d.25,user=%d.5,system=%di,nice=%di,wait=%d %d\n",
						i%hosts, i%97, i%31, i%1009, i%7, i%11, at.UnixNano())
				}
				h.prod.Write(h.t, database, "main", b.String())
			}
		})
	}
	for from := 0; from < total; from += batch {
		work <- from
	}
	close(work)
	wg.Wait()
}

func TestMemoryStaysBoundedWhateverTheDatabasesSize(t *testing.T) {
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWide(*points)
	procs := []*proc{h.start("backup"), h.start("restore"), h.start("dumper")}
	begin := time.Now()
	b, r, dumps := h.night(&pb.BackupRequested{Day: dayName(2)}, 1)
	t.Logf("%d points, %d shards, %d bytes, %d counts compared, %d records of %d bytes dumped, %s in all",
		*points, b.GetShards(), b.GetBytes(), r.GetVerdict().GetCompared(), dumps[0].GetRecords(), dumps[0].GetBytes(), time.Since(begin))
	if p, i := counts(t, h.prod, "main"), counts(t, h.inter, "main"); !reflect.DeepEqual(p, i) || p["main/cpu/count_idle"] != fmt.Sprint(*points) {
		t.Errorf("production has %v, the intermediary %v", p, i)
	}
	for _, p := range procs {
		peak := p.peak()
		t.Logf("%s: peak resident memory %.1f MiB", p.name, float64(peak)/(1<<20))
		if peak > limit {
			t.Errorf("%s used %d bytes of memory, the limit is %d", p.name, peak, limit)
		}
	}
}

// peak is the process's largest resident memory so far, in bytes.
func (p *proc) peak() int64 {
	p.t.Helper()
	return p.status("VmHWM")
}

// status is a size that the kernel tells of the process, in bytes.
func (p *proc) status(name string) int64 {
	p.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var kib int64
		if _, err := fmt.Sscanf(line, name+": %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	p.t.Fatal("no " + name)
	return 0
}
