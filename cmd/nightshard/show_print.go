package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxDifferences is how many a person is shown. JSON has all.
const maxDifferences = 20

// printReport is show for people.
func (a *app) printReport(r *dayReport, loc *time.Location) {
	a.printSummary(r, loc)
	a.printShards(r, loc)
	a.printDrill(r, loc)
	a.printDumps(r, loc)
	for _, w := range r.Warnings {
		a.out.printf("\n%s %s\n", a.out.warn("Warning:"), w)
	}
}

func (a *app) printSummary(r *dayReport, loc *time.Location) {
	line := func(name, format string, args ...any) {
		a.out.printf("%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("Day", "%s", r.Day)
	line("State", "%s", r.stateText(a.out))
	if m := r.Manifest; m != nil {
		line("Database", "%s", m.Database)
		line("Production", "%s, snapshots from %s, InfluxDB %s", m.Production.URL, m.Production.Snapshot, orDash(m.Production.Version))
		line("Cut-off", "%s", moment(m.Cutoff, loc))
		line("Finished", "%s (%s ago), in %s", moment(m.FinishedAt, loc), ageText(a.now(), m.FinishedAt), spanText(m.FinishedAt.Sub(m.StartedAt)))
		for _, rp := range m.RetentionPolicies {
			line("Policy", "%s%s, keeps %s, shards of %s", rp.Name, defaultMark(rp.Default), keeps(rp.Duration), longSpan(rp.ShardGroupDuration))
		}
		line("Counts", "%s in %s of %s", valuesText(r.Counts.ValuesMin, r.Counts.ValuesMax)+" values",
			plural(r.Counts.Fields, "field"), plural(r.Counts.Measurements, "measurement"))
	} else if !r.Stored.IsZero() {
		line("Stored", "%s (%s ago)", moment(r.Stored, loc), ageText(a.now(), r.Stored))
	}
	line("Size", "%s in %s", bytesText(r.Bytes), plural(len(r.Shards), "shard"))
}

func (a *app) printShards(r *dayReport, loc *time.Location) {
	if len(r.Shards) == 0 {
		return
	}
	a.out.printf("\n")
	if r.Manifest == nil {
		rows := make([][]string, 0, len(r.Shards))
		for _, s := range r.Shards {
			rows = append(rows, []string{strings.TrimPrefix(s.Object, r.Day+"/shards/"), bytesText(s.Bytes), formText(s)})
		}
		a.out.table(columns{"ARCHIVE", ">SIZE", "NOTE"}, rows)
		return
	}
	rows := make([][]string, 0, len(r.Shards))
	for _, s := range r.Shards {
		rows = append(rows, []string{
			strconv.FormatUint(s.ID, 10), orDash(s.RetentionPolicy), minute(s.Start, loc), minute(s.End, loc), bytesText(s.Bytes),
			strconv.Itoa(s.Files), valuesText(s.ValuesMin, s.ValuesMax), formText(s),
		})
	}
	a.out.table(columns{">SHARD", "POLICY", "FROM", "TO", ">SIZE", ">FILES", ">VALUES", "NOTE"}, rows)
}

func formText(s shardReport) string {
	switch {
	case s.OldForm:
		return "old form"
	case s.Read != "":
		return "read " + s.Read
	}
	return ""
}

func (a *app) printDrill(r *dayReport, loc *time.Location) {
	d := r.Drill
	if d == nil {
		a.out.printf("\nDrill: none, the day was never restored\n")
		return
	}
	a.out.printf("\nDrill: %s, %s compared, %s values, %s (%s)\n", r.drillText(a.out),
		plural(d.Compared, "count"), countText(d.Values), moment(d.FinishedAt, loc), orDash(d.Mode))
	for i, diff := range d.Differences {
		if i == maxDifferences {
			a.out.printf("  and %s more, see --json\n", countText(len(d.Differences)-i))
			return
		}
		a.out.printf("  %s\n", diff)
	}
}

func (a *app) printDumps(r *dayReport, loc *time.Location) {
	if len(r.Dumps) == 0 {
		a.out.printf("\nDumps: none\n")
		return
	}
	a.out.printf("\n")
	rows := make([][]string, 0, len(r.Dumps))
	for _, d := range r.Dumps {
		rows = append(rows, []string{d.Measurement, d.Format, bytesText(d.Bytes), moment(d.Stored, loc), completeText(d.Complete)})
	}
	a.out.table(columns{"DUMP", "FORMAT", ">SIZE", "STORED", "COMPLETE"}, rows)
}

func completeText(complete *bool) string {
	switch {
	case complete == nil:
		return "-"
	case *complete:
		return "yes"
	}
	return "not yet"
}

// moment is a time to the second in the configured zone.
func moment(t time.Time, loc *time.Location) string {
	return t.In(loc).Format("2006-01-02 15:04:05 MST")
}

// minute is a time of a shard, which begins and ends at whole minutes.
func minute(t time.Time, loc *time.Location) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(loc).Format("2006-01-02 15:04")
}

// valuesText is a number, or the two between which it lies.
func valuesText(least, most int64) string {
	if least == most {
		return countText(least)
	}
	return countText(least) + " to " + countText(most)
}

func defaultMark(is bool) string {
	if is {
		return " (default)"
	}
	return ""
}

func keeps(duration string) string {
	if duration == "0s" {
		return "everything"
	}
	return longSpan(duration)
}

// longSpan turns the manifest's 168h0m0s into 7d.
func longSpan(duration string) string {
	d, err := time.ParseDuration(duration)
	if err != nil {
		return duration
	}
	return spanText(d)
}
