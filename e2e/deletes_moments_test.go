package e2e_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/influx"
	"nightshard/shared/testbed"
)

// comings is a house in which shards come and go while a backup runs. Each
// trial has a day and a retention policy of its own.
type comings struct {
	*house
	relay  *shardRelay
	lists  *testbed.HTTPProxy
	backup *proc
	trials int
}

func newComings(t *testing.T, opts testbed.InfluxOptions) *comings {
	t.Helper()
	opts.Config = map[string]string{"INFLUXDB_RETENTION_CHECK_INTERVAL": "100ms"}
	c := &comings{house: build(t, opts, testbed.InfluxOptions{})}
	c.fillWeek(2)
	c.relay = newShardRelay(t, c.prod.Snapshot)
	c.lists = testbed.NewHTTPProxy(t, strings.TrimPrefix(c.prod.URL, "http://"))
	c.backup = c.start("backup", "NIGHTSHARD_PARALLEL=1", "NIGHTSHARD_RETRY_WAIT=100ms",
		"NIGHTSHARD_PRODUCTION_SNAPSHOT="+c.relay.addr, "NIGHTSHARD_PRODUCTION_URL=http://"+c.lists.Addr)
	return c
}

// victim writes a shard of two files, the first of the given size in KB, into a
// retention policy of its own, and gives its id.
func (c *comings) victim(t *testing.T, size int) (id uint64, policy string) {
	t.Helper()
	c.trials++
	policy = fmt.Sprint("policy", c.trials)
	c.prod.Query(t, "", fmt.Sprintf(`CREATE RETENTION POLICY %q ON "sensu_db" DURATION INF REPLICATION 1 SHARD DURATION 1d`, policy))
	for range 2 {
		c.prod.Write(t, database, policy, noise(size))
		id = slices.Max(c.shardIDs(t))
		snap := influx.NewSnapshot(influx.SnapshotConfig{Addr: c.prod.Snapshot})
		testbed.Eventually(t, patience, "the shard to be flushed", func() bool { return snap.Flush(t.Context(), id) == nil })
		size = 1
	}
	return id, policy
}

// noise makes lines of 1 KB each that cannot be compressed much.
func noise(lines int) string {
	var b strings.Builder
	text := make([]byte, 1024)
	for i := range lines {
		for k := range text {
			text[k] = byte('0' + rand.IntN(75))
		}
		fmt.Fprintf(&b, "noise text=\"%s\" %d\n", strings.NewReplacer(`\`, "x", `"`, "x").Replace(string(text)), weekday0().Add(time.Duration(i)*time.Second).UnixNano())
	}
	return b.String()
}

// shardIDs are the shards that production lists.
func (c *comings) shardIDs(t *testing.T) (ids []uint64) {
	t.Helper()
	for _, series := range ask(t, c.prod, "SHOW SHARDS").Results[0].Series {
		if series.Name != database {
			continue
		}
		for _, row := range series.Values {
			id, err := strconv.ParseUint(fmt.Sprint(row[0]), 10, 64)
			must(t, err)
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// day is that of the present trial.
func (c *comings) day() string { return dayName(c.trials) }

// reset takes what was done to the last backup away.
func (c *comings) reset(t *testing.T) {
	c.t = t
	c.relay.set(func() {
		c.relay.ask, c.relay.begun, c.relay.answer, c.relay.streamed = nil, nil, nil, map[uint64][]byte{}
	})
	c.lists.OnRequest(nil)
}

// run backs the day up and holds the manifest against what production lists.
func (c *comings) run(t *testing.T) (deleted []uint64) {
	t.Helper()
	seq := c.publish(events.BackupRequested, &pb.BackupRequested{Day: c.day()})
	awaitOn[*pb.BackupCompleted](c.house, seq, events.BackupCompleted, events.BackupFailed)
	return c.right(t)
}

// right holds the day against what production lists: every shard, whole.
func (c *comings) right(t *testing.T) (deleted []uint64) {
	t.Helper()
	m := c.manifest(c.day())
	var ids []uint64
	for _, s := range m.Shards {
		ids = append(ids, s.ID)
		if sent := c.relay.last(s.ID); s.ID%10 != 0 && !bytes.Equal(sent, c.read(c.day(), s.Object)) {
			t.Errorf("shard %d is not stored as it was sent", s.ID)
		}
	}
	slices.Sort(ids)
	if listed := c.shardIDs(t); !slices.Equal(ids, listed) {
		t.Errorf("stored are %v, production lists %v", ids, listed)
	}
	if n := len(c.list(c.day())); n != len(ids)+2 { // the metastore and the manifest
		t.Errorf("%d objects for %d shards", n, len(ids))
	}
	return m.Deleted
}

// goes has the shard deleted, by hand or by retention, and returns when its
// files are gone and production lists it no more.
func (c *comings) goes(t *testing.T, how string, id uint64, policy string) {
	if how == "DROP SHARD" {
		c.prod.Query(t, database, fmt.Sprint("DROP SHARD ", id))
	} else {
		c.prod.Query(t, database, fmt.Sprintf(`ALTER RETENTION POLICY %q ON "sensu_db" DURATION 24h`, policy))
	}
	snap := influx.NewSnapshot(influx.SnapshotConfig{Addr: c.prod.Snapshot})
	testbed.Eventually(t, patience, "the shard to be gone", func() bool {
		return !slices.Contains(c.shardIDs(t), id) && errors.Is(snap.Answers(t.Context(), id), influx.ErrNoData)
	})
}

func TestShardsComeAndGoWhileABackupRuns(t *testing.T) {
	t.Parallel()
	c := newComings(t, testbed.InfluxOptions{})
	t.Run("appears", func(t *testing.T) {
		c.reset(t)
		_, policy := c.victim(t, 1)
		var once sync.Once
		c.relay.set(func() {
			c.relay.begun = func(shardRequest) {
				once.Do(func() {
					c.prod.Write(t, database, policy, fmt.Sprintf("late v=1 %d", weekday0().AddDate(0, 0, 99).UnixNano()))
				})
			}
		})
		had := len(c.shardIDs(t))
		if deleted := c.run(t); len(deleted) > 0 || len(c.manifest(c.day()).Shards) != had+1 {
			t.Errorf("%v deleted, %d shards, there were %d", deleted, len(c.manifest(c.day()).Shards), had)
		}
		tried(t, "InfluxDB", "a shard appears while others are streamed", "backup", endedRight)
	})
	for _, how := range []string{"DROP SHARD", "retention"} {
		for _, when := range []string{"before", "in the middle of", "after"} {
			t.Run(how+" "+when, func(t *testing.T) {
				c.reset(t)
				id, policy := c.victim(t, 4000)
				var once sync.Once
				go1 := func() { once.Do(func() { c.goes(t, how, id, policy) }) }
				c.relay.set(func() { c.relay.ask, c.relay.begun = c.moment(when, id, go1) })
				deleted := c.run(t)
				if !slices.Equal(deleted, []uint64{id}) {
					t.Errorf("named as deleted are %v, want %d", deleted, id)
				}
				if log := c.backup.logged(); !strings.Contains(log, fmt.Sprintf(`"shard":%d,"time"`, id)) || !strings.Contains(log, "production deleted the shard") {
					t.Error("the log does not name the shard")
				}
				if when == "in the middle of" {
					halfButValid(t, c.relay.last(id))
				}
				tried(t, "InfluxDB", "a shard deleted by "+how, "backup, "+when+" its stream", endedRight)
			})
		}
	}
	c.reset(t)
	c.restored(t)
}

// moment gives the hooks of a relay that do something once: before a shard's
// stream is asked for, in the middle of it, or after it was accepted.
func (c *comings) moment(when string, id uint64, do func()) (ask, begun func(shardRequest)) {
	switch when {
	case "before":
		return func(q shardRequest) {
			if q.whole() && q.ShardID != id {
				do()
			}
		}, nil
	case "in the middle of":
		return nil, func(q shardRequest) {
			if q.ShardID == id {
				do()
			}
		}
	default:
		return func(q shardRequest) {
			if q.kind == askMetastore && c.relay.last(id) != nil {
				do()
			}
		}, nil
	}
}

// halfButValid checks that the trial was what it was meant to be: an archive
// that any reader of tar takes for whole, with one of two files.
func halfButValid(t *testing.T, archive []byte) {
	t.Helper()
	n := 0
	for r := tar.NewReader(bytes.NewReader(archive)); ; n++ {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("production's stream was not whole: %v: the test proves nothing", err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatalf("production's stream was not whole: %v: the test proves nothing", err)
		}
	}
	if n != 1 || !bytes.HasSuffix(archive, make([]byte, 1024)) {
		t.Fatalf("production's stream had %d files: the test proves nothing", n)
	}
}

// restored restores the last day and compares it with production.
func (c *comings) restored(t *testing.T) {
	t.Helper()
	c.start("restore")
	seq := c.publish(events.RestoreRequested, &pb.RestoreRequested{Day: c.day()})
	awaitOn[*pb.RestoreCompleted](c.house, seq, events.RestoreCompleted, events.RestoreFailed)
	policies := []string{"main", "two_weeks", "policy1"}
	if p, i := counts(t, c.prod, policies...), counts(t, c.inter, policies...); !reflect.DeepEqual(p, i) {
		t.Errorf("production has %v, the intermediary %v", p, i)
	}
}

// An answer that lacks a shard, or still has one that is gone, must not decide
// what a backup holds.
func TestAShardMissingFromOneAnswerFailsTheNight(t *testing.T) {
	t.Parallel()
	c := newComings(t, testbed.InfluxOptions{})
	snap := influx.NewSnapshot(influx.SnapshotConfig{Addr: c.prod.Snapshot})
	fails := func(t *testing.T, want string) {
		t.Helper()
		mark := len(c.backup.logged())
		seq := c.publish(events.BackupRequested, &pb.BackupRequested{Day: c.day()})
		testbed.Eventually(t, patience, "the night to be tried again", func() bool {
			log := c.backup.logged()[mark:]
			return strings.Contains(log, "tried again") && strings.Contains(log, want)
		})
		if _, ok := c.list(c.day())[c.day()+"/manifest.json"]; ok {
			t.Error("there is a manifest")
		}
		c.reset(t)
		awaitOn[*pb.BackupCompleted](c.house, seq, events.BackupCompleted, events.BackupFailed)
		c.right(t)
	}
	t.Run("SHOW SHARDS", func(t *testing.T) {
		c.reset(t)
		id, _ := c.victim(t, 1)
		c.editShards(func(page []byte) []byte { return without(t, page, id) })
		fails(t, fmt.Sprintf("the metastore has shard %d, SHOW SHARDS does not", id))
		tried(t, "InfluxDB", "a shard missing from SHOW SHARDS", "backup", saidFailed)
	})
	t.Run("metastore", func(t *testing.T) {
		c.reset(t)
		old, err := snap.Metastore(t.Context())
		must(t, err)
		id, _ := c.victim(t, 1)
		c.relay.set(func() { c.relay.answer = metastore(old) })
		fails(t, fmt.Sprintf("SHOW SHARDS has shard %d, the metastore does not", id))
		tried(t, "InfluxDB", "a shard missing from the metastore", "backup", saidFailed)
	})
	t.Run("both lists lag behind a DROP SHARD in mid-stream", func(t *testing.T) {
		c.reset(t)
		id, policy := c.victim(t, 4000)
		old, err := snap.Metastore(t.Context())
		must(t, err)
		var page []byte
		var mu sync.Mutex
		c.editShards(func(now []byte) []byte {
			mu.Lock()
			defer mu.Unlock()
			if page == nil {
				page = now
			}
			return page
		})
		var half []byte
		c.relay.set(func() {
			c.relay.answer = metastore(old)
			c.relay.begun = func(q shardRequest) {
				if q.ShardID == id {
					c.goes(t, "DROP SHARD", id, policy)
				}
			}
			c.relay.ask = func(q shardRequest) { // the shard's stream is over
				if last := c.relay.last(id); q.ShardID == id && last != nil {
					half = last
				}
			}
		})
		fails(t, fmt.Sprintf("look for shard %d, which had", id))
		halfButValid(t, half)
		tried(t, "InfluxDB", "a shard deleted in the middle of its stream, still listed", "backup", saidFailed)
	})
}

// editShards passes every answer to SHOW SHARDS through edit.
func (c *comings) editShards(edit func([]byte) []byte) {
	c.lists.OnRequest(func(r testbed.HTTPRequest) testbed.HTTPFault {
		if !strings.Contains(r.Query, "SHOW+SHARDS") && !strings.Contains(r.Query, "SHOW%20SHARDS") {
			return testbed.HTTPFault{}
		}
		return testbed.HTTPFault{Action: testbed.EditAnswer, Edit: edit}
	})
}

// metastore answers each question for the metastore with an old one.
func metastore(old []byte) func(shardRequest) []byte {
	return func(q shardRequest) []byte {
		if q.kind == askMetastore {
			return old
		}
		return nil
	}
}

// without leaves the row of a shard out of an answer to SHOW SHARDS.
func without(t *testing.T, page []byte, id uint64) []byte {
	var a map[string][]map[string]any
	dec := json.NewDecoder(bytes.NewReader(page))
	dec.UseNumber()
	if err := dec.Decode(&a); err != nil {
		t.Errorf("read SHOW SHARDS: %v", err)
		return page
	}
	for _, s := range a["results"][0]["series"].([]any) { //nolint:forcetypeassert // a panic says what is wrong
		series := s.(map[string]any)       //nolint:forcetypeassert // likewise
		values := series["values"].([]any) //nolint:forcetypeassert // likewise
		series["values"] = slices.DeleteFunc(values, func(row any) bool { return fmt.Sprint(row.([]any)[0]) == fmt.Sprint(id) })
	}
	edited, err := json.Marshal(a)
	if err != nil {
		t.Errorf("write SHOW SHARDS: %v", err)
	}
	return edited
}
