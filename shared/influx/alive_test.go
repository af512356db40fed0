package influx_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"nightshard/shared/influx"
	"nightshard/shared/testbed"
)

// A server that hangs is given up after two short silences, not only when the
// long time is over that an answer may take.
func TestAServerThatHangsIsGivenUpSoon(t *testing.T) {
	t.Parallel()
	s := newServer(t, testbed.InfluxOptions{})
	http := client(t, influx.ClientConfig{URL: s.URL, Timeout: 500 * time.Millisecond, TotalTimeout: time.Hour})
	snap := influx.NewSnapshot(influx.SnapshotConfig{Addr: s.Snapshot, IdleTimeout: 500 * time.Millisecond, UploadTimeout: time.Hour})
	s.Pause()
	for name, call := range map[string]func() error{
		"query":  func() error { _, err := http.Databases(t.Context()); return err },
		"stream": func() error { _, err := stream(t.Context(), http, "d", "SELECT * FROM m"); return err },
		"write":  func() error { return http.WritePoints(t.Context(), "d", "", []byte("m v=1")) },
		"upload": func() error { return snap.UploadShard(t.Context(), 1, io.LimitReader(zeros{}, 1024)) },
	} {
		if err := call(); !errors.Is(err, influx.ErrStalled) || !strings.Contains(err.Error(), "simple question") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.Resume()
}

// A server that takes its time with one answer and gives others is waited for.
func TestAServerThatIsBusyIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newServer(t, testbed.InfluxOptions{})
	slow := func(conn int) []testbed.Fault {
		if conn > 1 {
			return nil
		}
		return []testbed.Fault{{Direction: testbed.FromServer, Action: testbed.Stall, For: 2 * time.Second}}
	}
	web, socket := testbed.TCPProxy(t, strings.TrimPrefix(s.URL, "http://")), testbed.TCPProxy(t, s.Snapshot)
	web.OnConn(slow)
	socket.OnConn(slow)
	http := client(t, influx.ClientConfig{URL: "http://" + web.Addr, Timeout: 300 * time.Millisecond, TotalTimeout: time.Minute})
	if names, err := http.Databases(t.Context()); err != nil || web.Accepted() < 2 {
		t.Errorf("query over %d connections: %v, %v", web.Accepted(), names, err)
	}
	snap := influx.NewSnapshot(influx.SnapshotConfig{Addr: socket.Addr, IdleTimeout: 300 * time.Millisecond, UploadTimeout: time.Minute})
	if err := snap.UploadShard(t.Context(), 1, strings.NewReader("")); err != nil || socket.Accepted() < 2 {
		t.Errorf("upload over %d connections: %v", socket.Accepted(), err)
	}
}
