package e2e_test

import (
	"strings"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/testbed"
)

// change edits the day's manifest as it is stored.
func (h *house) change(day string, edit func(*night.Manifest)) {
	h.t.Helper()
	m := h.manifest(day)
	edit(m)
	data, err := m.Encode()
	if err != nil {
		h.t.Fatal(err)
	}
	h.put(day, day+"/manifest.json", data, nil)
}

func TestARestoreWithOtherCountsIsNotCompleted(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(2)
	h.start("backup")
	day := dayName(0)
	seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: day})
	_, e := awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
	// One value more than production had.
	h.change(day, func(m *night.Manifest) {
		for _, s := range m.Shards {
			if r, ok := s.Counts["cpu"]["user"]; ok {
				s.Counts["cpu"]["user"] = night.Range{Min: r.Min + 1, Max: r.Max + 1}
				return
			}
		}
	})
	restore := h.start("restore")
	h.start("dumper")
	testbed.Eventually(t, patience, "the restore to be refused", func() bool { return strings.Contains(restore.logged(), "tried again") })
	d, err := night.ParseDrill(h.read(day, day+"/drill.json"))
	if err != nil || d.Passed || len(d.Differences) != 1 || d.Differences[0].Field != "user" || d.Differences[0].Measurement != "cpu" {
		t.Errorf("drill %+v, %v", d, err)
	}
	if !strings.Contains(restore.logged(), `\"cpu\" field \"user\"`) {
		t.Error("the log does not name the difference")
	}
	for _, subject := range []string{events.RestoreCompleted, events.DumpCompleted} {
		if got := h.all(subject); len(got) > 0 {
			t.Errorf("%s after %d: %s", subject, e.Seq, got[0].Data)
		}
	}
}

func TestADamagedArchiveIsNotRestored(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(1)
	h.start("backup")
	day := dayName(0)
	seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: day})
	awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
	// One bit of a block, and the archive stored anew: Swift's MD5 fits it.
	object := day + "/shards/sensu_db.main.00001.00"
	data := h.read(day, object)
	data[512+100] ^= 1
	h.put(day, object, data, nil)
	h.change(day, func(m *night.Manifest) { m.Shards[0].MD5 = h.list(day)[object].MD5 })
	h.start("restore")
	f, _ := awaitOn[*pb.RestoreFailed](h, seq, events.RestoreFailed, events.RestoreCompleted)
	if f.GetAttempts() != 1 || !strings.Contains(f.GetError(), ".tsm") || !strings.Contains(f.GetError(), "restore shard 1") {
		t.Errorf("the event does not name shard and file: %v", f)
	}
}

func TestWhatWasDeletedStaysDeleted(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{Index: "tsi1"})
	h.fillWeek(2)
	h.startAll()
	// Flushed to files first, so that the delete leaves tombstones.
	h.night(&pb.BackupRequested{Day: dayName(0)}, 1)
	noon := weekday0().Add(6 * time.Hour).Format(time.RFC3339)
	h.prod.Query(t, database, `DELETE FROM "cpu" WHERE "host" = 'web-03' AND time < '`+noon+`'`)
	_, r, dumps := h.night(&pb.BackupRequested{Day: dayName(0), Force: true}, 1)
	if len(r.GetVerdict().GetDifferences()) > 0 {
		t.Errorf("restore %v", r)
	}
	h.sameDump(dumps[len(dumps)-1])
	if got := records(t, h.inter, `SELECT * FROM "sensu_db"."main"."cpu" WHERE "host" = 'web-03' AND time < '`+noon+`'`); len(got) > 0 {
		t.Errorf("%d deleted records came back", len(got))
	}
}
