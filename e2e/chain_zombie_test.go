package e2e_test

import (
	"strings"
	"syscall"
	"testing"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

// lateDrop: a restore is frozen just as it sends its DROP DATABASE, another
// replica does the whole restore, and then the DROP arrives. No lease can help
// against a request that is on its way. The dump must not pass off the emptied
// database for a day without records.
func (c *chain) lateDrop(t *testing.T) {
	c.reportTo(t)
	c.next++
	reached, release := c.held("restore to InfluxDB", "DROP DATABASE")
	defer release()
	seq := c.ask("", &pb.BackupRequested{Day: c.today()})
	c.met(reached, "the restore to drop the database")
	frozen := []*proc{c.procs["restore"], c.procs["dumper"]}
	for _, p := range frozen {
		_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	}
	other := c.second("restore")
	_, done := awaitOn[*pb.RestoreCompleted](c.house, seq, events.RestoreCompleted, events.RestoreFailed)
	release()
	// Asked by name: a query of the data at the moment of a DROP can hang.
	testbed.Eventually(t, patience, "the late DROP", func() bool {
		return !strings.Contains(string(c.inter.Query(t, "", "SHOW DATABASES")), `"`+database+`"`)
	})
	for _, p := range frozen {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
	}
	e := c.await("the end of the dump", done.Seq, func(e events.Event) bool {
		return e.Subject == events.DumpCompleted || e.Subject == events.DumpFailed
	})
	if f, ok := e.Message.(*pb.DumpFailed); !ok || !strings.Contains(f.GetError(), "dropped since") {
		t.Errorf("a dump of a database that is gone: %s", e.Data)
	}
	if err := other.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	c.idle(t)
	c.trial(t, nil)
	c.ended(t, 1)
	tried(t, "Chain", "restore frozen, replaced by another replica, its request arrives after that", "as the database is dropped", saidFailed)
}
