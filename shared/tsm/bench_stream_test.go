package tsm_test

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nightshard/shared/objstore"
	"nightshard/shared/objstore/swift"
	"nightshard/shared/readahead"
	"nightshard/shared/testbed"
	"nightshard/shared/tsm"
)

// BenchmarkRealStream says what verification costs where it matters: a real
// server streams a shard of a million values, and it is read, with the MD5 that
// an upload wants in any case, or stored in a real Swift. The ways to do it take
// turns, and the medians are compared:
//
//	go test ./shared/tsm -run '^$' -bench RealStream -benchtime 40x
//
// It says what verification adds in percent, by the clock and in this process's
// CPU time: done in turn with the MD5, and ahead of it as the services do. "best"
// compares the quickest of each, which says more on a busy machine.
func BenchmarkRealStream(b *testing.B) {
	for name, fill := range map[string]func(*strings.Builder, int, int64){"steady": steady, "noisy": noisy} {
		s := testbed.Influx(b, testbed.InfluxOptions{})
		s.CreateDatabase(b, "db")
		for part := range 20 {
			var lines strings.Builder
			for i := range 20_000 {
				n := part*20_000 + i
				fill(&lines, n, start+int64(n/100)*second)
			}
			s.Write(b, "db", "", lines.String())
		}
		b.Run(name+"/read", func(b *testing.B) { compareStreams(b, s.Snapshot, copyTo(md5.New())) })
		b.Run(name+"/stored", func(b *testing.B) { compareStreams(b, s.Snapshot, storeIn(b)) })
	}
}

// storeIn puts what it is given into a real Swift.
func storeIn(b *testing.B) func(io.Reader) error {
	b.Helper()
	account := testbed.Swift(b)
	store, err := swift.Open(b.Context(), swift.Config{AuthURL: account.AuthURL, AuthVersion: 1, User: account.User, Key: account.Key})
	if err != nil {
		b.Fatal(err)
	}
	return func(r io.Reader) error {
		source := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(r), nil }
		_, err := store.Put(b.Context(), "2026-07-01", "shard", source, objstore.PutOptions{})
		return err
	}
}

// steady are the values of a quiet machine: they compress well.
func steady(b *strings.Builder, n int, at int64) {
	fmt.Fprintf(b, "cpu,host=h%d idle=%d.5,user=%di,up=true,state=\"ok\" %d\n", n%100, 90+n/100%7, n/1000, at)
}

// noisy are measured values with all their digits.
func noisy(b *strings.Builder, n int, at int64) {
	fmt.Fprintf(b, "cpu,host=h%d load=%g,io=%di,wait=%g,text=\"%x\" %d\n", n%100, rand.Float64()*100, rand.Int64N(1e9), math.Sqrt(float64(n)), rand.Uint32(), at)
}

// compareStreams reads shard 1 in all ways, in turn.
func compareStreams(b *testing.B, addr string, use func(io.Reader) error) {
	b.Helper()
	ways := []func(io.Reader) error{
		use,
		func(r io.Reader) error { return use(tsm.NewReader(r, tsm.Options{Count: true})) },
		func(r io.Reader) error {
			ahead := readahead.New(io.NopCloser(tsm.NewReader(r, tsm.Options{Count: true})))
			return errors.Join(use(ahead), ahead.Close())
		},
	}
	s := realServer{snapshot: addr}
	size := s.stream1(b, func(r io.Reader) error { return copyTo(io.Discard)(r) })
	b.SetBytes(3 * size)
	var wall, cpu [3][]float64
	for b.Loop() {
		for i, way := range ways {
			begin, used := time.Now(), cpuTime(b)
			s.stream1(b, way)
			wall[i] = append(wall[i], float64(time.Since(begin)))
			cpu[i] = append(cpu[i], float64(cpuTime(b)-used))
		}
	}
	b.ReportMetric(float64(size)/1e6, "MB")
	b.ReportMetric(median(wall[0])/1e6, "ms-plain")
	for i, way := range []string{"in-turn", "ahead"} {
		b.ReportMetric(100*(median(wall[i+1])/median(wall[0])-1), "%wall-"+way)
		b.ReportMetric(100*(slices.Min(wall[i+1])/slices.Min(wall[0])-1), "%best-"+way)
		b.ReportMetric(100*(median(cpu[i+1])/median(cpu[0])-1), "%cpu-"+way)
	}
}

// stream1 gives use the stream of shard 1 and says how long it was.
func (s realServer) stream1(tb testing.TB, use func(io.Reader) error) int64 {
	tb.Helper()
	c, err := s.connect()
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "\x03\x00{\"Type\":0,\"ShardID\":1}\n"); err != nil {
		tb.Fatal(err)
	}
	n := &counted64{r: c}
	if err := use(n); err != nil || n.n < 4096 {
		tb.Fatalf("%d bytes, %v", n.n, err)
	}
	return n.n
}

// counted64 counts what is read.
type counted64 struct {
	r io.Reader
	n int64
}

func (c *counted64) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// cpuTime is what this process has used.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
