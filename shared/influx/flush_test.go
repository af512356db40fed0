package influx_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"nightshard/shared/influx"
	"nightshard/shared/testbed"
)

// holds says whether the archive of a shard has a series in it: a key stands in
// a file's index as it is.
func (s *server) holds(t *testing.T, id uint64, series string) (bool, error) {
	t.Helper()
	archive, err := s.read(t.Context(), id, time.Time{})
	return bytes.Contains(archive, []byte(series)), err
}

// A server that still writes an earlier part of its cache leaves the cache out
// of an archive, and says so only in its log.
func TestAFlushedShardLacksNothingWhileTheCacheIsBusy(t *testing.T) {
	t.Parallel()
	// A cache of 200 KB takes some five seconds to be written.
	s := newServer(t, testbed.InfluxOptions{Config: map[string]string{
		"INFLUXDB_DATA_COMPACT_THROUGHPUT": "30k", "INFLUXDB_DATA_COMPACT_THROUGHPUT_BURST": "30k",
	}})
	s.create(t, "d")
	s.write(t, "d", "", noise("much", start(), 200))
	m, _ := s.metastore(t)
	id := m.Shards("d")[0].ID
	writes := make(chan error, 1)
	go func() { writes <- s.snap.Answers(t.Context(), id) }()
	testbed.Eventually(t, time.Minute, "the cache to be written", func() bool { return bytes.Contains(readLog(t, s), []byte("Cache snapshot (start)")) })
	s.write(t, "d", "", points("late", start(), time.Second, 1))
	if found, err := s.holds(t, id, "late,host"); err != nil || found {
		t.Fatalf("the archive is whole (%v): the test proves nothing", err)
	}
	testbed.Eventually(t, time.Minute, "the shard to be flushed", func() bool {
		err := s.snap.Flush(t.Context(), id)
		if err != nil && !errors.Is(err, influx.ErrBusy) {
			t.Fatal(err)
		}
		return err == nil
	})
	if found, err := s.holds(t, id, "late,host"); err != nil || !found {
		t.Errorf("the archive of a flushed shard lacks what was written before: %v", err)
	}
	if err := <-writes; err != nil {
		t.Error(err)
	}
}

func readLog(t *testing.T, s *server) []byte {
	t.Helper()
	data, err := os.ReadFile(s.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// oneShard starts a server with a few points in one shard of the database d.
func oneShard(t *testing.T, version string) (s *server, id uint64) {
	t.Helper()
	s = newServer(t, testbed.InfluxOptions{Version: version})
	s.create(t, "d")
	s.write(t, "d", "", points("m", start(), time.Second, 10))
	m, _ := s.metastore(t)
	return s, m.Shards("d")[0].ID
}

// An idle shard that was deleted from and then written to cannot be flushed for
// a while. The first flush that succeeds writes what the failed one had taken,
// and no more.
func TestAFlushedShardLacksNothingAfterAFlushThatFailed(t *testing.T) {
	t.Parallel()
	for _, version := range []string{testbed.Influx18, testbed.Influx16} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s, id := oneShard(t, version)
			testbed.Eventually(t, time.Minute, "the shard to be idle", func() bool {
				if err := s.snap.Flush(t.Context(), id); err != nil {
					t.Log(err)
					return false
				}
				<-time.After(11 * time.Second) // nothing tells that the server took it for idle
				s.exec(t, "d", "DELETE FROM m WHERE time = "+start().Format("'2006-01-02T15:04:05Z'"))
				s.write(t, "d", "", points("first", start(), time.Second, 1))
				return errors.Is(s.snap.Answers(t.Context(), id), influx.ErrNoData)
			})
			s.write(t, "d", "", points("second", start(), time.Second, 1))
			var found bool
			testbed.Eventually(t, time.Minute, "the shard to be given again", func() bool {
				var err error
				found, err = s.holds(t, id, "second,host")
				return err == nil
			})
			if found {
				t.Fatal("the archive is whole: the test proves nothing")
			}
			if err := s.snap.Flush(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if found, err := s.holds(t, id, "second,host"); err != nil || !found {
				t.Errorf("the archive of a flushed shard lacks what was written before: %v", err)
			}
		})
	}
}

func TestASlowAnswerDoesNotProveAFlush(t *testing.T) {
	t.Parallel()
	addr := fake(t, func(c net.Conn) {
		if _, err := bufio.NewReader(c).ReadBytes('\n'); err != nil {
			return
		}
		<-time.After(1057 * time.Millisecond)
		_, _ = c.Write(make([]byte, 1024))
	})
	if err := influx.NewSnapshot(influx.SnapshotConfig{Addr: addr}).Flush(t.Context(), 1); !errors.Is(err, influx.ErrBusy) {
		t.Errorf("%v", err)
	}
}

func TestAShardThatWasNeverWrittenToIsNotLoaded(t *testing.T) {
	t.Parallel()
	s := newServer(t, testbed.InfluxOptions{Config: map[string]string{
		"INFLUXDB_SHARD_PRECREATION_CHECK_INTERVAL": "100ms", "INFLUXDB_SHARD_PRECREATION_ADVANCE_PERIOD": "200h",
	}})
	s.create(t, "d")
	s.write(t, "d", "", points("m", time.Now(), time.Second, 1))
	testbed.Eventually(t, time.Minute, "a shard to be made ahead", func() bool {
		m, _ := s.metastore(t)
		return len(m.Shards("d")) == 2
	})
	m, _ := s.metastore(t)
	loaded, err := s.snap.Loaded(t.Context(), "d")
	if first, second := m.Shards("d")[0].ID, m.Shards("d")[1].ID; err != nil || !loaded[first] || loaded[second] {
		t.Errorf("loaded are %v, %v", loaded, err)
	}
	if err := s.snap.Flush(t.Context(), m.Shards("d")[1].ID); !errors.Is(err, influx.ErrNoData) {
		t.Errorf("flush of a shard that was never written to: %v", err)
	}
	if _, err := s.snap.Loaded(t.Context(), "unknown"); !errors.Is(err, influx.ErrNoData) {
		t.Errorf("an unknown database: %v", err)
	}
}

func TestAListOfShardsThatIsNoneIsAnError(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{`{"Paths":["db/rp/x"]}`, `{"Paths":[""]}`, `{`, `[]`} {
		addr := fake(t, func(c net.Conn) {
			if _, err := bufio.NewReader(c).ReadBytes('\n'); err == nil {
				_, _ = io.WriteString(c, answer)
			}
		})
		if ids, err := influx.NewSnapshot(influx.SnapshotConfig{Addr: addr}).Loaded(t.Context(), "db"); err == nil {
			t.Errorf("%s gives %v", answer, ids)
		}
	}
}
