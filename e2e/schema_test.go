package e2e_test

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/testbed"
)

// A service that was not upgraded yet meets what newer ones wrote: it says so,
// at once, and leaves everything as it is.
func TestWhatANewerVersionWroteIsRefused(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(1)
	h.startAll()
	day := dayName(0)
	b, r, _ := h.night(&pb.BackupRequested{Day: day}, 1)

	for subject, msg := range map[string]proto.Message{
		events.BackupFailed:  &pb.BackupRequested{Day: day, Force: true, Schema: events.Schema + 1},
		events.RestoreFailed: with(b, func(m *pb.BackupCompleted) { m.Schema = events.Schema + 1 }),
		events.DumpFailed:    with(r, func(m *pb.RestoreCompleted) { m.Schema = events.Schema + 1 }),
	} {
		on, _ := events.SubjectOf(msg)
		h.refusedAsNewer(h.publish(on, msg), subject, day, "upgrade this service")
	}

	own := h.read(day, day+"/manifest.json")
	h.change(day, func(m *night.Manifest) { m.Schema = night.Schema + 1 })
	before := h.read(day, day+"/manifest.json")
	h.refusedAsNewer(h.publish(events.BackupRequested, &pb.BackupRequested{Day: day, Force: true}), events.BackupFailed, day, "newer nightshard")
	h.refusedAsNewer(h.publish(events.RestoreRequested, &pb.RestoreRequested{Day: day}), events.RestoreFailed, day, "newer nightshard")
	if !bytes.Equal(h.read(day, day+"/manifest.json"), before) {
		t.Error("the newer manifest was replaced")
	}

	// A newer verdict proves nothing to an older version, and does not stop it.
	h.put(day, day+"/manifest.json", own, nil)
	h.put(day, day+"/drill.json", []byte(`{"schema":2,"passed":"yes"}`), nil)
	seq := h.publish(events.RestoreRequested, &pb.RestoreRequested{Day: day})
	awaitOn[*pb.RestoreCompleted](h, seq, events.RestoreCompleted, events.RestoreFailed)
	if d, err := night.ParseDrill(h.read(day, day+"/drill.json")); err != nil || !d.Passed {
		t.Errorf("verdict %+v, %v", d, err)
	}
}

// with is a changed copy of an event.
func with[M proto.Message](msg M, change func(M)) M {
	copied, _ := proto.Clone(msg).(M)
	change(copied)
	return copied
}

// refusedAsNewer waits for the failed event that answers the one after seq.
func (h *house) refusedAsNewer(after uint64, subject, day, advice string) {
	h.t.Helper()
	e := h.await(subject, after, func(e events.Event) bool { return e.Subject == subject })
	f, ok := e.Message.(interface {
		GetDay() string
		GetError() string
		GetAttempts() int32
		GetFinal() bool
	})
	if !ok || f.GetDay() != day || f.GetAttempts() != 1 || !f.GetFinal() ||
		!strings.Contains(f.GetError(), "schema is 2 and this version understands up to 1") || !strings.Contains(f.GetError(), advice) {
		h.t.Errorf("%s: %s", subject, e.Data)
	}
}
