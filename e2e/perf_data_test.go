//go:build !race

package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshard/shared/testbed"
)

// dataset says what production holds while it is measured: "cpu" of many hosts,
// and less of "mem" beside it.
type dataset struct {
	days  int
	hosts int
	every time.Duration // between two rows of a host
	shard time.Duration
	mem   int // one row of mem for as many of cpu; 0 is none
}

// rows is how many rows the measurement cpu has.
func (d dataset) rows() int { return d.hosts * int(d.length()/d.every) }

func (d dataset) length() time.Duration { return time.Duration(d.days) * 24 * time.Hour }

// shards is how many the dataset fills.
func (d dataset) shards() int { return int(d.length() / d.shard) }

// all is how many rows it has in all.
func (d dataset) all() int {
	if d.mem == 0 {
		return d.rows()
	}
	return d.rows() + d.rows()/d.mem
}

// fill writes the dataset, in the order of time as a monitor does, and waits
// until production has it on disk and rests.
func (h *house) fill(t *testing.T, d dataset) {
	t.Helper()
	h.prod.Query(t, "", fmt.Sprintf(`CREATE RETENTION POLICY "main" ON %q DURATION INF REPLICATION 1 SHARD DURATION %s DEFAULT`, database, d.shard))
	const batch = 10_000
	work := make(chan int)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			var b strings.Builder
			for from := range work {
				b.Reset()
				for i := from; i < min(from+batch, d.rows()); i++ {
					d.line(&b, i)
				}
				h.prod.Write(t, database, "main", b.String())
			}
		})
	}
	for from := 0; from < d.rows(); from += batch {
		work <- from
	}
	close(work)
	wg.Wait()
	h.rest(t)
}

// line writes the i-th row. Values are such as a machine has: they move, and do
// not compress to nothing.
func (d dataset) line(b *strings.Builder, i int) {
	host, step := i%d.hosts, i/d.hosts
	at := weekday0().Add(time.Duration(step) * d.every).UnixNano()
	noise := uint32(i) * 2654435761
	fmt.Fprintf(b, "cpu,host=web-%03d,region=%s idle=%d.%02d,user=%d.5,system=%di,nice=%di,wait=%d %d\n",
		host, [...]string{"eu", "us", "ap"}[host%3], 60+noise>>27, noise%100, noise>>26, noise>>22, noise%7, noise%11, at)
	if d.mem > 0 && i%d.mem == 0 {
		fmt.Fprintf(b, "mem,host=web-%03d used=%di,free=%di %d\n", host, noise>>8, noise>>9, at)
	}
}

// rest waits until production compacts nothing any more: what it does in the
// background would be measured too.
func (h *house) rest(t *testing.T) {
	t.Helper()
	quiet := 0
	testbed.Eventually(t, 3*time.Minute, "production to rest", func() bool {
		if busy(t, h) {
			quiet = 0
		} else {
			quiet++
		}
		return quiet > 20
	})
}

// busy says whether any shard of production is compacted.
func busy(t *testing.T, h *house) bool {
	t.Helper()
	var a struct {
		Results []struct {
			Series []struct {
				Columns []string
				Values  [][]any
			}
		}
	}
	if err := json.Unmarshal(h.prod.Query(t, "", "SHOW STATS FOR 'tsm1_engine'"), &a); err != nil {
		t.Fatal(err)
	}
	for _, r := range a.Results {
		for _, s := range r.Series {
			for i, c := range s.Columns {
				if n, ok := s.Values[0][i].(float64); ok && n > 0 && strings.HasSuffix(c, "CompactionsActive") {
					return true
				}
			}
		}
	}
	return false
}
