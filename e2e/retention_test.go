package e2e_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/night"
	"nightshard/shared/testbed"
)

// With NIGHTSHARD_KEEP each good night removes the days that no rule keeps, and
// only those: not the newest two with a passed drill, not an old script's, not a
// container with an object of somebody else, and not a day that is restored.
func TestANightRemovesTheDaysThatNoRuleKeeps(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	today := night.DayOf(time.Now(), time.UTC)
	h.prod.Write(t, database, "", "cpu,host=a idle=1 1464739200000000000")
	backup, _, _ := h.startAll("NIGHTSHARD_KEEP=1d")
	old, strange, goes := today.Add(-29).String(), today.Add(-15).String(), today.Add(-12).String()
	h.oldScript(old)
	// Whether a restore or a dump of the same night is at work as the days are
	// looked at is chance. A dumper may be about to complete the dumps of the seven
	// days before: the day that goes is older.
	for _, back := range []int{15, 12, 3, 2, 1} {
		h.night(&pb.BackupRequested{Day: today.Add(-back).String()}, 1)
		if back == 15 {
			h.put(strange, "notes.txt", []byte("x"), nil)
		}
	}
	h.gone(goes, true)
	for _, day := range []string{old, strange, today.Add(-2).String(), today.Add(-1).String()} {
		h.gone(day, false)
	}
	if err := backup.stop(syscall.SIGTERM); err != nil {
		t.Errorf("stop backup: %v", err)
	}
	if log := backup.logged(); !strings.Contains(log, `"removed":["`+goes+`"`) {
		t.Errorf("the log does not name what was removed:\n%s", log)
	}
}

// gone waits until a day is gone, or fails if one is that must stay.
func (h *house) gone(day string, want bool) {
	h.t.Helper()
	is := func() bool { return len(h.list(day)) == 0 }
	if want {
		testbed.Eventually(h.t, patience, day+" is removed", is)
	} else if is() {
		h.t.Errorf("%s is gone", day)
	}
}
