//go:build !race

// The race detector multiplies memory: a limit says nothing under it.

package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"nightshard/shared/influx"
	"nightshard/shared/night"
)

// memoryLimit is what a process may need that writes dumps of any length.
const memoryLimit = 96 << 20

// TestMain writes long dumps and ends, where a test asks for a process that does
// nothing else: its peak of memory is then the encoder's.
func TestMain(m *testing.M) {
	format := flag.String("long-dump", "", "format of a long dump that is written to nowhere; no test runs")
	flag.Parse()
	if *format == "" {
		os.Exit(m.Run())
	}
	// As many at a time as NIGHTSHARD_DUMP_PARALLEL has by default.
	var g errgroup.Group
	for range 2 {
		g.Go(func() error { return longDump(night.Format(*format), 400_000) })
	}
	if err := g.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%s", status)
	os.Exit(0)
}

// longDump writes records with tags, numbers and texts that do not repeat: some
// 50 MB of JSON, many row groups of Parquet.
func longDump(f night.Format, records int) error {
	table := []influx.Column{
		{Name: "time", Type: influx.TypeTime},
		{Name: "host", Type: influx.TypeTag},
		{Name: "id", Type: influx.TypeTag},
		{Name: "idle", Type: influx.TypeFloat},
		{Name: "n", Type: influx.TypeInteger},
		{Name: "text", Type: influx.TypeString},
	}
	names := []string{"time", "host", "id", "idle", "n", "text"}
	doc := &document{format: f, table: table, report: func(int64) {}}
	if err := doc.begin(io.Discard); err != nil {
		return err
	}
	values := make([][]byte, len(names))
	for i := range records {
		values[0] = fmt.Appendf(values[0][:0], `"2016-06-01T%02d:%02d:%02d.%09dZ"`, i/3600%24, i/60%60, i%60, i)
		values[1] = fmt.Appendf(values[1][:0], `"web-%03d"`, i%100)
		values[2] = fmt.Appendf(values[2][:0], `"id-%d"`, i)
		values[3] = fmt.Appendf(values[3][:0], `%d.25`, i)
		values[4] = fmt.Appendf(values[4][:0], `%d`, i*7919)
		values[5] = fmt.Appendf(values[5][:0], `"%d says %d and \"%d\" to %d"`, i, i*31, i*37, i*41)
		if err := doc.row(names, values); err != nil {
			return err
		}
	}
	return doc.end()
}

func TestALongDumpNeedsBoundedMemory(t *testing.T) {
	t.Parallel()
	for _, f := range []night.Format{night.JSON, night.CSVGz, night.Parquet} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-long-dump", string(f))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			_, rest, _ := strings.Cut(string(out), "VmHWM:")
			var peak int64
			if _, err := fmt.Sscanf(rest, "%d kB", &peak); err != nil {
				t.Fatalf("the system tells no peak of memory: %v in %s", err, out)
			}
			peak <<= 10
			t.Logf("peak of memory %d MiB", peak>>20)
			if peak > memoryLimit {
				t.Errorf("%d bytes of memory, the limit is %d", peak, memoryLimit)
			}
		})
	}
}
