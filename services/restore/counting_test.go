package main

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/influx"
	"nightshard/shared/night"
	"nightshard/shared/testbed"
)

// Shards 1, 2 and 5 stand with three values of m each, 5 with one of another
// measurement, too; 3 and 4 share a part of their time.
func TestShardsAreCountedWhileOthersLoadOnlyWhereNothingCanChange(t *testing.T) {
	t.Parallel()
	server := testbed.Influx(t, testbed.InfluxOptions{})
	http, err := influx.NewClient(influx.ClientConfig{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if err := http.Exec(t.Context(), "", `CREATE DATABASE "d" WITH NAME "main"`); err != nil {
		t.Fatal(err)
	}
	var points []byte
	points = fmt.Appendf(points, "other value=1 %d\n", midnight(7).UnixNano())
	for _, day := range []int{0, 1, 7} {
		for n := range 3 {
			points = fmt.Appendf(points, "m value=%d %d\n", n, midnight(day).Add(time.Duration(n)*time.Second).UnixNano())
		}
	}
	if err := http.WritePoints(t.Context(), "d", "main", points); err != nil {
		t.Fatal(err)
	}
	shard := func(id uint64, from, to int, values int64) night.Shard {
		counts := night.Counts{}
		counts.Add("m", "value", values)
		return night.Shard{ID: id, RetentionPolicy: "main", Start: midnight(from), End: midnight(to), Counts: night.NewFingerprint(counts, counts)}
	}
	right, wrong, more := shard(1, 0, 1, 3), shard(2, 1, 2, 4), shard(5, 7, 8, 3)
	src := &source{
		cutoff: midnight(9), manifest: &night.Manifest{},
		shards: []night.Shard{right, wrong, shard(3, 3, 5, 0), shard(4, 4, 6, 0), more},
	}
	r := &restore{cfg: &config{Counters: 2}, http: http, now: time.Now, log: zerolog.Nop()}
	r.cfg.Database = "d"
	j := &job{log: zerolog.Nop()}
	c := r.newCounting(j, src)
	t.Cleanup(c.stop)
	if err := c.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range src.shards {
		c.stands(s)
	}
	known := c.finish()
	want := map[uint64]tally{right.ID: {compared: 1, values: 3}, more.ID: {compared: 1, values: 3}}
	if !maps.Equal(known, want) {
		t.Errorf("counted: %v, want %v: 2 differs, 3 and 4 overlap", known, want)
	}
	if j.newest == 0 {
		t.Error("the verdict is bound to no shard")
	}
	d := &night.Drill{}
	r.progress = func(*pb.Progress) {}
	if err := r.compare(t.Context(), j, src, d, known); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, x := range d.Differences {
		found = append(found, fmt.Sprintf("%d %s %d", x.Shard, x.Measurement, x.Got))
	}
	if slices.Sort(found); !slices.Equal(found, []string{"2 m 3", "5 other 1"}) {
		t.Errorf("differences %q, want 3 values of m in shard 2 and one of other in shard 5", found)
	}
	if d.Values != 10 {
		t.Errorf("%d values, want 10", d.Values)
	}
}

// A load that failed does not leave its counts behind.
func TestCountsEndWithAFailedLoad(t *testing.T) {
	t.Parallel()
	server := testbed.Influx(t, testbed.InfluxOptions{})
	http, err := influx.NewClient(influx.ClientConfig{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	r := &restore{cfg: &config{Counters: 2}, http: http, now: time.Now, log: zerolog.Nop()}
	c := r.newCounting(&job{log: zerolog.Nop()}, &source{manifest: &night.Manifest{}})
	c.stop() // before anything was begun
	if err := c.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.stop() // returns when the goroutines have ended
	if known := c.finish(); len(known) != 0 {
		t.Errorf("counted: %v", known)
	}
}
