package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/testbed"
)

// must ends the test when what it needs could not be done.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// manifest reads the manifest of a day.
func (h *house) manifest(day string) *night.Manifest {
	h.t.Helper()
	m, err := night.ParseManifest(mustDay(h.t, day), h.read(day, day+"/manifest.json"))
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

// A server makes the next shard half an hour before its time comes, and lists
// it. Nothing was written to it, so there is nothing that it could stream. A
// shard that was written to and could not be opened at the server's start looks
// the same, and must not be taken for an empty one.
func TestAShardMadeAheadIsStoredEmptyAndALostOneIsNot(t *testing.T) {
	t.Parallel()
	for _, version := range []string{testbed.Influx18, testbed.Influx16} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			h := build(t, testbed.InfluxOptions{Version: version, Config: map[string]string{
				"INFLUXDB_SHARD_PRECREATION_CHECK_INTERVAL": "100ms", "INFLUXDB_SHARD_PRECREATION_ADVANCE_PERIOD": "3h",
			}}, testbed.InfluxOptions{})
			h.prod.Query(t, "", `CREATE RETENTION POLICY "main" ON "sensu_db" DURATION INF REPLICATION 1 SHARD DURATION 1h DEFAULT`)
			h.prod.Write(t, database, "main", fmt.Sprintf("cpu v=1 %d", time.Now().Add(-time.Minute).UnixNano()))
			testbed.Eventually(t, patience, "a shard to be made ahead", func() bool { return len(records(t, h.prod, "SHOW SHARDS")) > 2 })
			backup, _, _ := h.startAll("NIGHTSHARD_RETRY_WAIT=100ms")
			for range 2 {
				b, r, _ := h.night(&pb.BackupRequested{}, 1)
				m := h.manifest(b.GetDay())
				if len(m.Shards) < 3 || m.Shards[0].Unwritten || !m.Shards[1].Unwritten || r.GetVerdict().GetCompared() != 1 {
					t.Errorf("shards %+v, restore %v", m.Shards, r)
				}
			}
			tried(t, "InfluxDB", "a shard made ahead of its time", "backup, "+version, endedRight)

			lost := filepath.Join(h.prod.DataDir, database, "main", "1")
			h.prod.Stop()
			must(t, os.Rename(lost, lost+"-away"))
			must(t, os.WriteFile(lost, nil, 0o600))
			h.prod.Start()
			seq := h.publish(events.BackupRequested, &pb.BackupRequested{})
			testbed.Eventually(t, patience, "the lost shard to be missed", func() bool {
				return strings.Contains(backup.logged(), "has 1 files (production's log says why it is not open)") && strings.Contains(backup.logged(), "tried again")
			})
			h.prod.Stop()
			must(t, os.Remove(lost))
			must(t, os.Rename(lost+"-away", lost))
			h.prod.Start()
			b, _ := awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
			if m := h.manifest(b.GetDay()); m.Shards[0].Unwritten || len(m.Shards[0].Files) == 0 {
				t.Errorf("shard 1 is %+v", m.Shards[0])
			}
			tried(t, "InfluxDB", "a shard that could not be opened at the start", "backup, "+version, saidFailed)
		})
	}
}
