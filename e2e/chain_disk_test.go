package e2e_test

import (
	"context"
	"strings"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

func TestNightEndsRightAfterTheDiskOfNATSWasFull(t *testing.T) {
	t.Parallel()
	disk := testbed.NewSmallDisk(t, 32<<20)
	c := newChain(t, testbed.NATSOptions{StoreDir: disk.Dir})
	for _, m := range working() {
		if m.kind == "PUT manifest" || m.kind == "PUT drill" || m.kind == "PUT dump" {
			c.fullAt(t, m, disk)
		}
	}
}

// fullAt fills the disk of NATS at a moment, waits until the service has said
// that it cannot publish, and does what the message says: free the disk,
// restart NATS.
func (c *chain) fullAt(t *testing.T, m moment, disk *testbed.SmallDisk) {
	t.Helper()
	c.next++
	reached, release := c.held(m.side, m.kind)
	defer release()
	seq := c.ask("", &pb.BackupRequested{Day: c.today()})
	c.met(reached, m.name)
	disk.Fill()
	c.refusedToStore(t)
	release()
	testbed.Eventually(t, patience, m.service+" to say what is wrong", func() bool {
		return strings.Contains(c.procs[m.service].logged(), "its disk is full")
	})
	disk.Free()
	c.nats.Restart()
	if c.end(seq) {
		t.Fatal(c.story())
	}
	c.ended(t, 1)
	tried(t, "Chain", "the disk of NATS full, later freed and NATS restarted", m.name, endedRight)
}

// refusedToStore publishes more than fits into what is left of a page of the
// disk, and checks what an operator is told.
func (c *chain) refusedToStore(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := c.bus.Publish(ctx, events.BackupFailed, &pb.BackupFailed{Day: "2000-01-01", Error: strings.Repeat("x", 8<<10)}, "")
	if err == nil || !strings.Contains(err.Error(), "its disk is full") {
		t.Fatalf("publish to a full disk: %v", err)
	}
}
