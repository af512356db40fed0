package e2e_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

// unseen says that nothing could show the fault: the answer was another one,
// and every part of it fitted.
const unseen outcome = "NOT SEEN: TCP's own checksum is all that guards these bytes"

// hiccups are what can go wrong with one request to InfluxDB's HTTP port.
func hiccups() []glitch {
	var all []glitch
	for _, code := range []int{401, 500, 502, 503} {
		all = append(all, glitch{fmt.Sprint("answered ", code), testbed.HTTPFault{Action: testbed.Answer, Status: code}, anyRequest})
	}
	said := func(_, what string) bool { return what != "/ping" && what != "/write" } // these answer without content
	counts := func(_, what string) bool { return strings.HasPrefix(what, "count") }
	return append(all,
		glitch{"answered \"shard is disabled\"", testbed.HTTPFault{Action: testbed.EditAnswer, Edit: disabled}, counts},
		glitch{"connection ended (FIN)", testbed.HTTPFault{Action: testbed.Drop}, anyRequest},
		glitch{"connection reset", testbed.HTTPFault{Action: testbed.ResetRequest}, anyRequest},
		glitch{"done, the answer lost", testbed.HTTPFault{Action: testbed.LoseAnswer}, anyRequest},
		glitch{"stalled", testbed.HTTPFault{Action: testbed.StallRequest}, anyRequest},
		glitch{"answer ended (FIN)", testbed.HTTPFault{Action: testbed.CutAnswer}, said},
		glitch{"answer reset", testbed.HTTPFault{Action: testbed.ResetAnswer}, said},
		glitch{"answer stalled", testbed.HTTPFault{Action: testbed.StallAnswer}, said},
		glitch{"answer slow", testbed.HTTPFault{Action: testbed.SlowAnswer, Pause: 100 * time.Millisecond}, said},
		glitch{"answer short", testbed.HTTPFault{Action: testbed.ShortAnswer}, said},
		glitch{"bit flipped in the answer", testbed.HTTPFault{Action: testbed.FlipAnswer}, said},
	)
}

// disabled is what a server says that has a shard and has not opened it yet, as
// 1.6.7 now and then does just after a restore.
func disabled([]byte) []byte {
	return []byte(`{"results":[{"statement_id":0,"error":"shard is disabled"}]}` + "\n")
}

func TestNightSurvivesInfluxDBsHTTPPortAtItsWorst(t *testing.T) {
	t.Parallel()
	m := newMill(t, "NIGHTSHARD_WORK_TIMEOUT=3s", "NIGHTSHARD_PARALLEL=1")
	made, _ := m.trial(t, nil)
	for _, x := range choose(t, tries("InfluxDB", hiccups(), made), 20, func(x try) string { return x.name + " " + x.at.String() }) {
		t.Run(x.name+"/"+x.at.String(), func(t *testing.T) { m.hiccup(t, x) })
	}
}

// hiccup runs one night in which one request goes wrong.
func (m *mill) hiccup(t *testing.T, x try) {
	m.reportTo(t)
	plan, came := once(x.at, x.fault)
	_, failed := m.trial(t, plan)
	if !came() {
		return
	}
	if x.fault.Action == testbed.FlipAnswer && x.at.kind == "SELECT *" && !failed && !m.dumpedRight(t) {
		tried(t, "InfluxDB", x.name, x.at.String(), unseen)
		return
	}
	tried(t, "InfluxDB", x.name, x.at.String(), m.mastered(t, failed))
}

// dumpedRight says whether the day's dump is what production has. A record has
// no checksum on its way from the intermediary; only https gives it one.
func (m *mill) dumpedRight(t *testing.T) bool {
	t.Helper()
	d, ok := m.of(events.DumpCompleted, m.today())[0].Message.(*pb.DumpCompleted)
	if !ok {
		t.Fatal("the event of the dump is none")
	}
	from := d.GetFrom().AsTime().UnixNano()
	want := records(t, m.prod, fmt.Sprintf(`SELECT * FROM "sensu_db"."main"."cpu" WHERE time >= %d AND time < %d`, from, d.GetTo().AsTime().UnixNano()))
	return slices.Equal(want, dumped(t, m.read(d.GetDay(), d.GetObject())))
}

// mastered runs the night again if it failed, and checks what it left. Of what
// had been said to be completed before, there are then two events.
func (m *mill) mastered(t *testing.T, failed bool) outcome {
	t.Helper()
	if !failed {
		m.right(t, 1)
		m.sameRecords(t)
		return endedRight
	}
	completed := func(subject string) int { return len(m.of(subject, m.today())) + 1 }
	backups, restores, dumps := completed(events.BackupCompleted), completed(events.RestoreCompleted), completed(events.DumpCompleted)
	if _, again := m.run(t, true, nil); again {
		t.Fatalf("the next run failed as well:\n%s", m.story())
	}
	m.rightAfter(t, backups, restores, dumps)
	m.sameRecords(t)
	return saidFailed
}

// sameRecords holds every record of the intermediary, and what it says of its
// shards, against production's. Counts alone say nothing of values and tags.
func (m *mill) sameRecords(t *testing.T) {
	t.Helper()
	for _, statement := range []string{
		`SELECT * FROM "sensu_db"."main"./.*/ GROUP BY *`, `SELECT * FROM "sensu_db"."two_weeks"./.*/ GROUP BY *`,
		`SHOW RETENTION POLICIES ON "sensu_db"`, `SHOW FIELD KEYS ON "sensu_db"`, `SHOW SERIES ON "sensu_db"`,
	} {
		want, got := m.prod.Query(t, database, statement), m.inter.Query(t, database, statement)
		if !bytes.Equal(want, got) {
			t.Errorf("%s: the intermediary answers otherwise than production", statement)
		}
	}
	if want, got := shardTimes(t, m.prod), shardTimes(t, m.inter); !slices.Equal(want, got) {
		t.Errorf("production has the shards %v, the intermediary %v", want, got)
	}
}

// shardTimes gives the policy and the bounds of each shard of the database.
func shardTimes(t *testing.T, s *testbed.InfluxServer) []string {
	t.Helper()
	var out []string
	for _, r := range ask(t, s, "SHOW SHARDS").Results {
		for _, series := range r.Series {
			if series.Name != database {
				continue
			}
			for _, row := range series.Values {
				out = append(out, fmt.Sprint(row[2], row[4], row[5]))
			}
		}
	}
	slices.Sort(out)
	return out
}
