package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

// event prints one line for an event.
func (s *screen) event(e events.Event) {
	s.line("%s", describe(e))
}

// describe says in one line what an event says.
func describe(e events.Event) string {
	text := e.Subject
	switch m := e.Message.(type) {
	case *pb.BackupCompleted:
		text += fmt.Sprintf("  %s: %d shards, %s, verified", m.GetDay(), m.GetShards(), size(m.GetBytes()))
	case *pb.RestoreCompleted:
		text += fmt.Sprintf("  %s: %d counts compared, %d differ", m.GetDay(), m.GetVerdict().GetCompared(), len(m.GetVerdict().GetDifferences()))
	case *pb.DumpCompleted:
		text += fmt.Sprintf("  %s of %s: %d records, %s", m.GetMeasurement(), m.GetDay(), m.GetRecords(), size(m.GetBytes()))
	case *pb.BackupFailed, *pb.RestoreFailed, *pb.DumpFailed:
		text += "  " + failure(m)
	}
	return text
}

// table prints the night at its end.
func (s *screen) table(n *outcome) {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"step", "what", "size", "seconds", "after the event"})
	if b := n.backup; b != nil {
		t.AppendRow(table.Row{"backup", fmt.Sprintf("%d shards, verified", b.GetShards()), size(b.GetBytes()), seconds(b.GetFinishedAt().AsTime().Sub(b.GetStartedAt().AsTime())), between(n.askedAt, b.GetStartedAt().AsTime())})
	}
	if r := n.restore; r != nil {
		t.AppendRow(table.Row{
			"restore", fmt.Sprintf("%d shards, %d counts compared, %d differ", r.GetShards(), r.GetVerdict().GetCompared(), len(r.GetVerdict().GetDifferences())),
			size(r.GetBytes()), seconds(r.GetFinishedAt().AsTime().Sub(r.GetStartedAt().AsTime())), between(n.backupAt, r.GetStartedAt().AsTime()),
		})
	}
	for _, d := range n.dumps {
		note := ""
		if !d.GetComplete() {
			note = ", to be completed the next night"
		}
		t.AppendRow(table.Row{
			"dump", fmt.Sprintf("%s: %d records%s", d.GetMeasurement(), d.GetRecords(), note),
			size(d.GetBytes()), seconds(d.GetFinishedAt().AsTime().Sub(d.GetStartedAt().AsTime())), between(n.restoreAt, d.GetStartedAt().AsTime()),
		})
	}
	for _, f := range n.failures {
		t.AppendRow(table.Row{"FAILED", f, "", "", ""})
	}
	t.AppendFooter(table.Row{"night", "", "", seconds(n.overAt.Sub(n.askedAt)), ""})
	s.text("\n" + t.Render() + "\n" + n.handOvers())
}

// handOvers says how long each step waited for its start. A dump beyond
// NIGHTSHARD_DUMP_PARALLEL waits for another one, so only the first counts.
func (n *outcome) handOvers() string {
	if n.restore == nil || len(n.dumps) == 0 {
		return ""
	}
	first := slices.MinFunc(n.dumps, func(a, b *pb.DumpCompleted) int {
		return a.GetStartedAt().AsTime().Compare(b.GetStartedAt().AsTime())
	})
	return fmt.Sprintf("from backup.completed to the restore's first action %s, from restore.completed to a dumper's first query %s\n",
		between(n.backupAt, n.restore.GetStartedAt().AsTime()), between(n.restoreAt, first.GetStartedAt().AsTime()))
}

// between is the time from an event to the first action on it.
func between(event, action time.Time) string {
	return fmt.Sprintf("%d ms", action.Sub(event).Milliseconds())
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

// size writes a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%d B", n)
	}
}
