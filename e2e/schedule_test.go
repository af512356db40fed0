package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

func TestANightThatCameDueWhileNobodyRanIsAskedForOnce(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(1)
	// The stream exists, as after an earlier night, and the services are down
	// when the night comes due: the next full minute.
	due := time.Now().UTC().Truncate(time.Minute).Add(time.Minute)
	day := due.Format("2006-01-02")
	h.env["NIGHTSHARD_SCHEDULE"] = fmt.Sprintf("%d %d * * *", due.Minute(), due.Hour())
	testbed.Eventually(t, 2*time.Minute, "the night to come due", func() bool { return time.Now().After(due.Add(time.Second)) })
	if got := h.all(events.BackupRequested); len(got) > 0 {
		t.Fatalf("somebody asked: %s", h.story())
	}
	first, second := h.start("backup"), h.start("backup")
	b, _ := awaitOn[*pb.BackupCompleted](h, 0, events.BackupCompleted, events.BackupFailed)
	if b.GetDay() != day {
		t.Errorf("backed up %s, the night was that of %s", b.GetDay(), day)
	}
	for _, p := range []*proc{first, second} {
		testbed.Eventually(t, time.Minute, p.name+" to wait for events", func() bool { return strings.Contains(p.logged(), "waiting for") })
	}
	// A restart asks for nothing more.
	if err := first.stop(15); err != nil {
		t.Error(err)
	}
	third := h.start("backup")
	testbed.Eventually(t, time.Minute, third.name+" to wait for events", func() bool { return strings.Contains(third.logged(), "waiting for") })
	seq := h.publish(events.BackupRequested, &pb.BackupRequested{Database: "none"})
	awaitOn[*pb.BackupFailed](h, seq, events.BackupFailed, events.BackupCompleted)
	asked := h.all(events.BackupRequested)
	if len(asked) != 2 || asked[0].ID != "nightly/"+day || len(h.all(events.BackupCompleted)) != 1 {
		t.Errorf("events:\n%s", h.story())
	}
}
