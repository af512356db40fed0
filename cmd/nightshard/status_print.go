package main

import (
	"fmt"
	"strconv"
	"strings"
)

// printStatus is status for people.
func (a *app) printStatus(r *statusReport) {
	if r.NATS.Error != "" {
		a.out.printf("NATS    %s\n", a.out.warn(r.NATS.Error))
	} else {
		a.out.printf("NATS    %s, stream %s\n", r.NATS.URL, r.NATS.Stream)
	}
	a.printSwift(r.Swift)
	if r.NATS.Error != "" {
		return
	}
	a.printConsumers(r.Consumers)
	a.printProgress(r.Progress)
	a.printEvents(r.Events)
}

func (a *app) printSwift(r swiftReport) {
	switch {
	case r.Error != "":
		a.out.printf("Swift   %s\n", a.out.warn(r.Error))
	case r.Newest == nil:
		a.out.printf("Swift   %s, no finished day yet\n", r.Endpoint)
	default:
		d := r.Newest
		a.out.printf("Swift   %s\nNewest  %s, %s, %s, %s old, drill: %s\n", r.Endpoint, d.Day,
			plural(d.Shards, "shard"), bytesText(d.Bytes), ageText(a.now(), d.Stored), d.drillText(a.out))
	}
	for _, d := range r.Damaged {
		a.out.printf("%s %s, %s: nightshard verify %s\n", a.out.warn(stateDamaged), d.Day, plural(len(d.Problems), "problem"), d.Day)
	}
}

func (a *app) printConsumers(consumers []consumerReport) {
	if len(consumers) == 0 {
		a.out.printf("\nNo service has been started yet.\n")
		return
	}
	a.out.printf("\n")
	rows := make([][]string, 0, len(consumers))
	for _, c := range consumers {
		rows = append(rows, []string{
			c.Name, a.stateWord(c), strconv.FormatUint(c.Pending, 10), strconv.Itoa(c.Redelivered),
			ageText(a.now(), c.LastDone), strings.Join(c.Subjects, " "),
		})
	}
	a.out.table(columns{"CONSUMER", "STATE", ">PENDING", ">REDELIVERED", ">LAST DONE", "TAKES"}, rows)
}

func (a *app) stateWord(c consumerReport) string {
	switch c.State {
	case consumerAbsent:
		return a.out.warn("NOT RUNNING")
	case consumerWaiting:
		if c.Processes > 1 {
			return fmt.Sprintf("waiting (%d)", c.Processes)
		}
	}
	return c.State
}

func (a *app) printProgress(progress []progressReport) {
	for i, p := range progress {
		if i == 0 {
			a.out.printf("\nNow\n")
		}
		words := []string{p.Service, p.Measurement, p.Day}
		a.out.printf("  %s: %s\n", oneLine(strings.Join(words, " ")), p.Text)
	}
}

func (a *app) printEvents(list []eventReport) {
	if len(list) == 0 {
		a.out.printf("\nNothing has been completed yet. Ask for a night: nightshard request backup --follow\n")
		return
	}
	a.out.printf("\n")
	rows := make([][]string, 0, len(list))
	for _, e := range list {
		text := e.Text
		if strings.HasSuffix(e.Subject, ".failed") {
			text = a.out.warn(text)
		}
		rows = append(rows, []string{e.Subject, orDash(e.Day), ageText(a.now(), e.Time), oneLine(e.Measurement + " " + text)})
	}
	a.out.table(columns{"LAST", "DAY", ">AGO", "WHAT"}, rows)
}
