package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"nightshard/shared/influx"
)

// The sample data: a week of what a monitoring agent records, in two retention
// policies with a shard each twelve hours, so that there are shards whose ids
// end in 0.
const (
	sampleDatabase = "sensu_db"
	sampleHosts    = 20
	sampleDays     = 7
)

// fill writes the sample data into production, unless that is the reader's own.
func (h *house) fill(ctx context.Context) error {
	if h.set.production != nil {
		return nil
	}
	c, err := h.production.client()
	if err != nil {
		return err
	}
	for _, statement := range []string{
		"CREATE DATABASE " + influx.QuoteIdent(h.set.database) + " WITH DURATION INF REPLICATION 1 SHARD DURATION 12h NAME " + influx.QuoteIdent("metrics"),
		"CREATE RETENTION POLICY " + influx.QuoteIdent("events") + " ON " + influx.QuoteIdent(h.set.database) + " DURATION INF REPLICATION 1 SHARD DURATION 12h",
	} {
		if err := c.Exec(ctx, "", statement); err != nil {
			return fmt.Errorf("make sample database: %w", err)
		}
	}
	end := time.Now().UTC().Truncate(time.Minute)
	points := 0
	err = h.show.while("writing a week of sample data", func() error {
		for at := end.AddDate(0, 0, -sampleDays); at.Before(end); at = at.Add(4 * time.Hour) {
			until := at.Add(4 * time.Hour)
			for policy, write := range map[string]func(*bytes.Buffer, time.Time, time.Time) int{"metrics": sampleMetrics, "events": sampleEvents} {
				var b bytes.Buffer
				points += write(&b, at, until)
				if err := c.WritePoints(ctx, h.set.database, policy, b.Bytes()); err != nil {
					return fmt.Errorf("write sample data: %w", err)
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	h.show.line("%d points of sample data in database %s", points, h.set.database)
	return nil
}

// sampleMetrics writes the numbers that an agent records each minute.
func sampleMetrics(b *bytes.Buffer, from, to time.Time) (points int) {
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		for host := range sampleHosts {
			n := at.Unix()/60 + int64(host*37)
			region := []string{"eu", "us"}[host%2]
			fmt.Fprintf(b, "cpu,host=web-%02d,region=%s idle=%d.5,user=%d.25,system=%di %d\n", host, region, 60+n%40, n%30, n%10, at.UnixNano())
			fmt.Fprintf(b, "memory,host=web-%02d,region=%s used=%di,free=%di,swapping=%t %d\n", host, region, 4<<30+n%1000*4096, 12<<30-n%1000*4096, n%500 == 0, at.UnixNano())
			points += 2
			if at.Minute()%5 == 0 {
				fmt.Fprintf(b, "disk,host=web-%02d,region=%s,path=/var used_percent=%d.1,inodes=%di,state=\"mounted\" %d\n", host, region, 40+n%20, 100000+n%5000, at.UnixNano())
				points++
			}
			if at.Minute()%10 == 0 {
				// Counters beyond 2^53, whose last digits a float would lose.
				fmt.Fprintf(b, "network,host=web-%02d,region=%s,interface=eth0 rx_bytes=%di,tx_bytes=%di,errors=%di %d\n", host, region, 1<<53+n*750_003, 1<<53+n*150_001, n%3, at.UnixNano())
				points++
			}
		}
	}
	return points
}

// sampleEvents writes what happens now and then, as text.
func sampleEvents(b *bytes.Buffer, from, to time.Time) (points int) {
	for at := from; at.Before(to); at = at.Add(10 * time.Minute) {
		for host := range sampleHosts {
			fmt.Fprintf(b, "deploy,host=web-%02d version=\"1.%d.0\",ok=true,note=\"rolled out \\\"quietly\\\"\" %d\n", host, at.Hour(), at.UnixNano())
			points++
		}
	}
	return points
}
