package e2e_test

import (
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

// backedUp runs a backup of one day.
func (h *house) backedUp(day string) uint64 {
	h.t.Helper()
	seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: day, Force: true})
	_, e := awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
	return e.Seq
}

// refused waits for the restore that answers after seq to fail, naming why.
func (h *house) refused(after uint64, why string) {
	h.t.Helper()
	f, _ := awaitOn[*pb.RestoreFailed](h, after, events.RestoreFailed, events.RestoreCompleted)
	if f.GetStep() != "guard" || f.GetAttempts() != 1 || !strings.Contains(f.GetError(), why) || !strings.Contains(f.GetError(), "force") {
		h.t.Errorf("restore failed in step %q after %d attempts: %s; want %q", f.GetStep(), f.GetAttempts(), f.GetError(), why)
	}
}

func TestAServerThatMayBeProductionIsNotTouched(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(1)
	h.start("backup")
	completed := h.backedUp(dayName(0))
	before := counts(t, h.prod, "main", "two_weeks")

	_, port, _ := net.SplitHostPort(strings.TrimPrefix(h.prod.URL, "http://"))
	_, snap, _ := net.SplitHostPort(h.prod.Snapshot)
	for i, c := range []struct{ name, url, snapshot, why string }{
		{"its own address", h.prod.URL, h.prod.Snapshot, "cluster id"},
		{"another name", "http://localhost:" + port, "localhost:" + snap, "is production's address"},
		{"a proxy", "http://" + testbed.TCPProxy(t, strings.TrimPrefix(h.prod.URL, "http://")).Addr, testbed.TCPProxy(t, h.prod.Snapshot).Addr, "cluster id"},
		{"only HTTP", h.prod.URL, h.inter.Snapshot, "different servers"},
		{"only the snapshot port", h.inter.URL, h.prod.Snapshot, "different servers"},
	} {
		p := h.start("restore", "NIGHTSHARD_INTERMEDIARY_URL="+c.url, "NIGHTSHARD_INTERMEDIARY_SNAPSHOT="+c.snapshot)
		t.Log(c.name)
		if i == 0 {
			h.refused(completed, c.why) // the end of the backup asks for a restore too
		}
		h.refused(h.publish(events.RestoreRequested, &pb.RestoreRequested{Day: dayName(0)}), c.why)
		if err := p.stop(15); err != nil {
			t.Error(err)
		}
		if after := counts(t, h.prod, "main", "two_weeks"); !reflect.DeepEqual(before, after) {
			t.Fatalf("%s: production had %v, now %v", c.name, before, after)
		}
	}
	for _, c := range []string{"its own address", "another name", "a proxy, the same cluster id", "only HTTP", "only the snapshot port"} {
		tried(t, "Guards", "the intermediary is production", "by "+c, refused)
	}
	if names := fmt.Sprint(ask(t, h.prod, "SHOW DATABASES")); strings.Contains(names, "_nightshard") {
		t.Errorf("production got a database of ours: %s", names)
	}
}

func TestADatabaseThatSomebodyUsesIsNotDropped(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(1)
	// A database of that name that Nightshard did not put there.
	h.inter.CreateDatabase(t, database)
	h.inter.Write(t, database, "", "precious v=1 1464739200000000000\n")
	h.start("backup")
	h.start("restore")
	h.refused(h.backedUp(dayName(0)), "not put there by Nightshard")
	if got := len(records(t, h.inter, `SELECT * FROM "precious"`)); got != 1 {
		t.Fatalf("%d precious records are left", got)
	}
	tried(t, "Guards", "a database of that name that somebody else put there", "restore", refused)
	// The operator has looked, and forces it.
	seq := h.publish(events.RestoreRequested, &pb.RestoreRequested{Day: dayName(0), Force: true})
	_, e := awaitOn[*pb.RestoreCompleted](h, seq, events.RestoreCompleted, events.RestoreFailed)
	// The next restore needs no force.
	seq = h.publish(events.RestoreRequested, &pb.RestoreRequested{Day: dayName(0)})
	_, e = awaitOn[*pb.RestoreCompleted](h, max(seq, e.Seq), events.RestoreCompleted, events.RestoreFailed)
	// Fresh points arrive: it has become somebody's production.
	h.inter.Write(t, database, "main", fmt.Sprintf("cpu idle=1 %d\n", time.Now().UnixNano()))
	seq = h.publish(events.RestoreRequested, &pb.RestoreRequested{Day: dayName(0)})
	h.refused(max(seq, e.Seq), "somebody writes to it")
	tried(t, "Guards", "fresh points arrive in the restored database", "restore", refused)
	if got := len(records(t, h.inter, fmt.Sprintf(`SELECT * FROM "sensu_db"."main"."cpu" WHERE time > %d`, time.Now().Add(-time.Hour).UnixNano()))); got != 1 {
		t.Errorf("%d fresh records are left", got)
	}
}
