//go:build !race

package e2e_test

import (
	"encoding/json"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// Steps of ours.
const (
	newNight     = "night"
	newBackup    = "backup"
	newUncounted = "backup, its counts answered from memory"
	newUndrilled = "restore, its counts answered from memory"
	newRestore   = "restore until all is loaded"
	newDrill     = "drill"
	newDump      = "dump"
)

// settings are those of a service as it is delivered: the tests of faults use
// short waits, and say more.
func (h *house) settings() {
	for _, name := range []string{"NIGHTSHARD_ACK_WAIT", "NIGHTSHARD_DUMPER_WAIT"} {
		delete(h.env, name)
	}
	h.env["NIGHTSHARD_LOG_LEVEL"] = "info"
	h.patience = 20 * time.Minute
	if service.Known("NIGHTSHARD_FULL_EVERY") {
		h.env["NIGHTSHARD_FULL_EVERY"] = "1"
	}
}

// measured builds a house of three servers as they are delivered, and fills it.
func measured(t *testing.T, d dataset) *house {
	t.Helper()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.settings()
	begin := time.Now()
	h.fill(t, d)
	t.Logf("%d rows in %d shards written in %s", d.all(), d.shards(), time.Since(begin).Round(time.Second))
	return h
}

// timed is a night and what it took.
type timed struct {
	backup  *pb.BackupCompleted
	restore *pb.RestoreCompleted
	dumps   []*pb.DumpCompleted
	round
}

// timedNight runs one night with so many dumps, and reads the time of each step
// from the stamps of its events and of the drill.
func (h *house) timedNight(t *testing.T, day string, dumps int) timed {
	t.Helper()
	seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: day, Force: true})
	b, be := awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
	r, re := awaitOn[*pb.RestoreCompleted](h, be.Seq, events.RestoreCompleted, events.RestoreFailed)
	out := timed{backup: b, restore: r, dumps: h.dumps(re.Seq, dumps), round: round{}}
	out.add(newBackup, b.GetStartedAt().AsTime(), b.GetFinishedAt().AsTime())
	d := h.drillOf(t, day)
	out.add(newRestore, r.GetStartedAt().AsTime(), d.LoadedAt)
	out.add(newDrill, d.LoadedAt, d.FinishedAt)
	end := re.Time
	for _, dump := range out.dumps {
		out.add(newDump, dump.GetStartedAt().AsTime(), dump.GetFinishedAt().AsTime())
		end = dump.GetFinishedAt().AsTime()
	}
	out.add(newNight, h.stored(seq), end)
	return out
}

// stored is when the event of a sequence number was stored.
func (h *house) stored(seq uint64) time.Time {
	return h.await("the request itself", seq-1, func(e events.Event) bool { return e.Seq == seq }).Time
}

// drillOf reads the verdict of a day's restore.
func (h *house) drillOf(t *testing.T, day string) night.Drill {
	t.Helper()
	var d night.Drill
	must(t, json.Unmarshal(h.read(day, night.DrillObject(mustDay(t, day))), &d))
	return d
}
