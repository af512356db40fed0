//go:build !race

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/service"
)

// Steps of nights in which little has changed.
const (
	newCarried     = "backup, one shard changed"
	newFull        = "full restore"
	newIncremental = "incremental restore, one shard changed"
	provedFull     = "full restore and drill"
	provedIncr     = "incremental restore and drill"
	plainCopy      = "curl, COPY of the unchanged archives"
)

// changed are nights in which one shard has changed since the night before.
type changed struct {
	dataset dataset
	rounds  int
	rows    rounds
}

// carry alternates the old way's backup, which knows only whole ones, and ours
// of a database in which one shard has changed.
func (c *changed) carry(t *testing.T) {
	if !service.Known("NIGHTSHARD_FULL_EVERY") {
		t.Skip("this version carries no shards forward")
	}
	h := measured(t, c.dataset)
	old := newOldWay(t, h)
	h.age()
	_, never, _ := strings.Cut(never, "=")
	h.env["NIGHTSHARD_FULL_EVERY"] = never
	h.start("backup").ready()
	// Shards are carried forward from a day that a restore has proved.
	restore := h.start("restore").ready()
	seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: dayName(0)})
	awaitOn[*pb.RestoreCompleted](h, seq, events.RestoreCompleted, events.RestoreFailed)
	must(t, restore.stop(syscall.SIGTERM))
	for n := range c.rounds {
		r := round{}
		h.touch(t, n)
		day := dayName(n + 1)
		b := h.carried(t, day)
		r.add(newCarried, b.GetStartedAt().AsTime(), b.GetFinishedAt().AsTime())
		if want := int32(c.dataset.shards() - 1); b.GetCarriedForward() != want {
			t.Errorf("%d shards carried forward, want %d", b.GetCarriedForward(), want)
		}
		old.empty(t)
		old.backup(t, r, day)
		old.copies(t, r, day, int(b.GetCarriedForward()))
		t.Logf("one shard changed, round %d: %v", n+1, r)
		c.rows = append(c.rows, r)
	}
}

// copies has Swift copy as many archives of a day as were carried forward, and
// nothing else: no backup that copies can take less.
func (o *oldWay) copies(t *testing.T, r round, day string, n int) {
	t.Helper()
	to := "copies-" + day
	o.run(t, o.h.swift, o.swift, "post", to)
	o.run(t, o.h.swift, "bash", "-c", `"$0" auth >auth`, o.swift)
	login, err := os.ReadFile(filepath.Join(o.dir, "auth"))
	must(t, err)
	account := map[string]string{}
	for line := range strings.FieldsSeq(string(login)) {
		if name, value, ok := strings.Cut(line, "="); ok {
			account[name] = strings.Trim(value, "'")
		}
	}
	var requests []string
	for name, object := range o.h.list(day) {
		// All shards are of one size; what is small is something else.
		if object.Size > 1<<20 && len(requests) < n {
			requests = append(requests, fmt.Sprintf("request=COPY\nurl=%q\nheader=%q\nheader=%q\noutput=/dev/null\n",
				account["OS_STORAGE_URL"]+"/"+day+"/"+name, "Destination: "+to+"/"+name, "X-Auth-Token: "+account["OS_AUTH_TOKEN"]))
		}
	}
	must(t, os.WriteFile(filepath.Join(o.dir, "requests"), []byte(strings.Join(requests, "next\n")), 0o600))
	o.time(t, r, plainCopy, nil, "curl", "-sSf", "--parallel", "--parallel-immediate", "--parallel-max", "8", "-K", "requests")
	if got := len(o.h.list(to)); got != n {
		t.Errorf("%d archives were copied, want %d", got, n)
	}
}

// restores alternates a full restore and an incremental one, of nights between
// which one shard has changed.
func (c *changed) restores(t *testing.T) {
	if !service.Known("NIGHTSHARD_RESTORE_FULL_EVERY") {
		t.Skip("this version restores no changed shards alone")
	}
	h := measured(t, c.dataset)
	delete(h.env, "NIGHTSHARD_FULL_EVERY")
	h.start("backup").ready()
	for n := range c.rounds {
		r := round{}
		h.touch(t, 2*n)
		r[newFull], r[provedFull] = h.restoredIn(t, 1, dayName(2*n))
		h.touch(t, 2*n+1)
		r[newIncremental], r[provedIncr] = h.restoredIn(t, 1000, dayName(2*n+1))
		t.Logf("restore, round %d: %v", n+1, r)
		c.rows = append(c.rows, r)
	}
}

// touch changes one shard.
func (h *house) touch(t *testing.T, n int) {
	t.Helper()
	h.prod.Write(t, database, "main", fmt.Sprintf("touched v=%di %d", n, weekday0().UnixNano()+int64(n)))
}

// carried runs one backup of a night after others.
func (h *house) carried(t *testing.T, day string) *pb.BackupCompleted {
	t.Helper()
	seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: day})
	b, _ := awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
	return b
}

// restoredIn backs a day up, restores it, all of it if fullEvery is 1, and gives
// the seconds until all of it was there, and until it was proved. Only a restore of
// this mode writes down what the next one can keep.
func (h *house) restoredIn(t *testing.T, fullEvery int, day string) (there, proved float64) {
	t.Helper()
	p := h.start("restore", "NIGHTSHARD_RESTORE_MODE=incremental", fmt.Sprintf("NIGHTSHARD_RESTORE_FULL_EVERY=%d", fullEvery)).ready()
	seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: day})
	_, be := awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
	r, _ := awaitOn[*pb.RestoreCompleted](h, be.Seq, events.RestoreCompleted, events.RestoreFailed)
	begin, d := r.GetStartedAt().AsTime(), h.drillOf(t, day)
	if kept := r.GetKept(); (kept == 0) != (fullEvery == 1) {
		t.Errorf("%d shards were kept", kept)
	}
	must(t, p.stop(syscall.SIGTERM))
	return d.LoadedAt.Sub(begin).Seconds(), d.FinishedAt.Sub(begin).Seconds()
}
