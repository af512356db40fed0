package e2e_test

import (
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/testbed"
)

// asked runs the backup of a day and gives the event that answers it.
func (h *house) asked(req *pb.BackupRequested) proto.Message {
	h.t.Helper()
	seq := h.publish(events.BackupRequested, req)
	return h.await("answer", seq, func(e events.Event) bool {
		return e.Subject == events.BackupCompleted || e.Subject == events.BackupFailed
	}).Message
}

// warned runs the backup of a day, which must come to a good end, and gives its
// warnings. The manifest has the same.
func (h *house) warned(req *pb.BackupRequested) []string {
	h.t.Helper()
	done, ok := h.asked(req).(*pb.BackupCompleted)
	if !ok {
		h.t.Fatalf("%s has no backup:\n%s", req.GetDay(), h.story())
	}
	if m := h.manifest(req.GetDay()); !slices.Equal(m.Warnings, done.GetWarnings()) {
		h.t.Errorf("the manifest warns of %q, the event of %q", m.Warnings, done.GetWarnings())
	}
	return done.GetWarnings()
}

// shown is what the operators' command says of a day.
func (h *house) shown(day string) string {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), testbed.Command(h.t, "./cmd/nightshard"), "show", day)
	for k, v := range h.swift {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	out, err := cmd.CombinedOutput()
	must(h.t, err)
	return string(out)
}

// What somebody does to production between two nights is said, and refused where
// that is wanted, until an operator accepts it.
func TestWhatIsUnusualIsSaidAndRefusedOnRequest(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(4)
	zone := farFromMidnight()
	now := time.Now().In(zone)
	h.env["NIGHTSHARD_TIMEZONE"] = zone.String()
	b := h.start("backup").ready()
	for _, day := range []string{dayName(0), dayName(1)} {
		if got := h.warned(&pb.BackupRequested{Day: day}); len(got) > 0 {
			t.Fatalf("an ordinary night: %q", got)
		}
	}
	for _, of := range []string{"cpu", "mem"} {
		h.prod.Query(t, database, `DELETE FROM "`+of+`" WHERE time < '`+dayName(2)+`T00:00:00Z'`)
	}
	got := strings.Join(h.warned(&pb.BackupRequested{Day: dayName(2)}), "\n")
	if !strings.Contains(got, "half of the values are gone, or more") || !strings.Contains(got, `of "two_weeks"`) || !strings.Contains(got, "values that it had on "+dayName(1)) {
		t.Errorf("half of the points were deleted, and the warnings are:\n%s", got)
	}
	if text := h.shown(dayName(2)); !strings.Contains(text, "Warning: half of the values are gone") {
		t.Errorf("show says:\n%s", text)
	}
	b.sees("nightshard_backup_warnings", float64(len(strings.Split(got, "\n"))))
	// The next night is compared with this one.
	if got := h.warned(&pb.BackupRequested{Day: dayName(3)}); len(got) > 0 {
		t.Errorf("nothing happened since: %q", got)
	}
	must(t, b.stop(syscall.SIGTERM))
	h.start("backup", "NIGHTSHARD_UNUSUAL=fail").ready()
	h.prod.Query(t, database, `DROP MEASUREMENT "mem"`)
	h.notAccepted(dayName(4))
	// One more day does not make it usual.
	h.notAccepted(dayName(5))
	for _, day := range []string{dayName(4), dayName(5)} {
		if _, there := h.list(day)[night.ManifestObject(mustDay(t, day))]; there {
			t.Errorf("%s was refused and is finished", day)
		}
	}
	got = strings.Join(h.warned(&pb.BackupRequested{Day: dayName(5), Force: true}), "\n")
	if !strings.Contains(got, `measurement "mem" vanished`) {
		t.Errorf("accepted: %s", got)
	}
	h.staysAsItWas(now)
}

// staysAsItWas has a second run of a finished day refused.
func (h *house) staysAsItWas(now time.Time) {
	t := h.t
	t.Helper()
	yesterday, today := now.AddDate(0, 0, -1).Format("2006-01-02"), now.Format("2006-01-02")
	for _, day := range []string{yesterday, today} {
		if got := h.warned(&pb.BackupRequested{Day: day, Force: true}); len(got) > 0 {
			t.Errorf("%s: %q", day, got)
		}
	}
	before := h.manifest(today)
	h.prod.Query(t, database, `DELETE FROM "cpu" WHERE time < '`+dayName(3)+`T00:00:00Z'`)
	h.notAccepted(today)
	if after := h.manifest(today); after.Request != before.Request {
		t.Error("a day that is unusual took the place of a good one")
	}
	for name := range h.list(today) {
		if strings.HasPrefix(name, night.IncomingPrefix(mustDay(t, today))) {
			t.Errorf("%s is left over", name)
		}
	}
	for _, s := range before.Shards {
		if o := h.list(today)[s.Object]; o.Size != s.Bytes || o.Listed != s.Hash() {
			t.Errorf("%s was changed", s.Object)
		}
	}
}

// farFromMidnight is a time zone in which today does not end while a test runs.
func farFromMidnight() *time.Location {
	if time.Now().UTC().Hour() < 12 {
		return time.UTC
	}
	return time.FixedZone("Etc/GMT+12", -12*60*60)
}

// notAccepted asks for a day and sees that it is refused at once, for good, with what
// to do.
func (h *house) notAccepted(day string) {
	h.t.Helper()
	failed, ok := h.asked(&pb.BackupRequested{Day: day}).(*pb.BackupFailed)
	if !ok {
		h.t.Fatalf("%s was not refused:\n%s", day, h.story())
	}
	if failed.GetStep() != "unusual" || failed.GetAttempts() != 1 || !failed.GetFinal() || !strings.Contains(failed.GetError(), "ask with force") {
		h.t.Errorf("failed event %+v", failed)
	}
}
