package influx_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nightshard/shared/influx"
	"nightshard/shared/testbed"
)

// InfluxDB 1.8.10 ends with a nil pointer when a query over several
// measurements, of which some have nothing there, is ended by its client before
// it has begun: a server that hung for a while met that with every query that
// had been given up.
func TestAQueryThatWasGivenUpDoesNotEndTheServer(t *testing.T) {
	t.Parallel()
	server := testbed.Influx(t, testbed.InfluxOptions{})
	server.CreateDatabase(t, "db")
	server.Query(t, "", `CREATE RETENTION POLICY "other" ON "db" DURATION INF REPLICATION 1`)
	var lines strings.Builder
	for m := range 50 {
		fmt.Fprintf(&lines, "m%02d,host=a v=%d,s=\"x\" 1464739200000000000\n", m, m)
	}
	server.Write(t, "db", "autogen", lines.String())
	server.Write(t, "db", "other", "zz v=1 1464739200000000000")
	// The server hangs when the counts themselves arrive, behind the questions
	// that say what to count.
	proxy := testbed.NewHTTPProxy(t, strings.TrimPrefix(server.URL, "http://"))
	client, err := influx.NewClient(influx.ClientConfig{URL: "http://" + proxy.Addr, Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		hang := sync.OnceFunc(server.Pause)
		var counts atomic.Int32
		proxy.OnRequest(func(r testbed.HTTPRequest) testbed.HTTPFault {
			if !strings.Contains(r.Query, "SELECT") {
				return testbed.HTTPFault{}
			}
			counts.Add(1)
			return testbed.HTTPFault{Before: hang}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		var asked sync.WaitGroup
		for range 8 {
			asked.Go(func() {
				_, _ = client.Count(ctx, "db", "other", time.Unix(0, 0), time.Unix(2e9, 0))
			})
		}
		asked.Wait()
		cancel()
		server.Resume()
		if counts.Load() == 0 {
			t.Fatal("no count was asked for: the test proves nothing")
		}
		testbed.Eventually(t, 20*time.Second, "the server to answer again, or to end", func() bool {
			_, _, err := client.Ping(t.Context())
			return err == nil || !server.Running()
		})
		if !server.Running() {
			t.Fatal("the server has ended")
		}
	}
}
