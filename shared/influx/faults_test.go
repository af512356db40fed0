package influx_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"nightshard/shared/influx"
	"nightshard/shared/testbed"
)

// large gives a server with one shard that no socket buffer holds, and whose
// cache is on disk already: writing it may take longer than the idle time that
// the tests set.
func large(t *testing.T) (s *server, id uint64) {
	t.Helper()
	s = newServer(t, testbed.InfluxOptions{})
	s.create(t, "d")
	for i := range 4 {
		s.write(t, "d", "", noise("m", start().Add(time.Duration(i)*10*time.Hour), 8000))
	}
	m, _ := s.metastore(t)
	id = m.Shards("d")[0].ID
	eventually(t, func() error {
		all, err := s.read(t.Context(), id, time.Time{})
		if err == nil && len(all) < 16<<20 {
			err = fmt.Errorf("the shard has only %d bytes", len(all))
		}
		return err
	})
	s.snap = influx.NewSnapshot(influx.SnapshotConfig{Addr: s.Snapshot, IdleTimeout: 2 * time.Second})
	return s, id
}

func TestAServerThatStallsInMidStreamIsAnError(t *testing.T) {
	t.Parallel()
	s, id := large(t)
	body, err := s.snap.Shard(t.Context(), id, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	if _, err := io.CopyN(io.Discard, body, 64<<10); err != nil {
		t.Fatal(err)
	}
	s.Pause()
	begin := time.Now()
	n, err := io.Copy(io.Discard, body)
	if !errors.Is(err, influx.ErrStalled) || !strings.Contains(err.Error(), fmt.Sprintf("shard %d of %s", id, s.Snapshot)) {
		t.Errorf("after %d bytes: %v", n, err)
	}
	if d := time.Since(begin); d < 2*time.Second || d > 20*time.Second {
		t.Errorf("noticed after %s", d)
	}
	s.stalledCalls(t)
	s.Resume()
}

// stalledCalls makes every other call to a server that stands still.
func (s *server) stalledCalls(t *testing.T) {
	t.Helper()
	http := client(t, influx.ClientConfig{URL: s.URL, Timeout: time.Second, TotalTimeout: time.Second})
	for name, call := range map[string]func() error{
		"metastore": func() error { _, err := s.snap.Metastore(t.Context()); return err },
		"update":    func() error { _, err := s.snap.UpdateMetastore(t.Context(), make([]byte, 64<<20), "d"); return err },
		"upload":    func() error { return s.snap.UploadShard(t.Context(), 1, io.LimitReader(zeros{}, 64<<20)) },
		"ping":      func() error { _, _, err := http.Ping(t.Context()); return err },
		"query":     func() error { _, err := http.Databases(t.Context()); return err },
		"stream":    func() error { _, err := stream(t.Context(), http, "d", "SELECT * FROM m"); return err },
		"write":     func() error { return http.WritePoints(t.Context(), "d", "", []byte("m v=1")) },
	} {
		if err := call(); !errors.Is(err, influx.ErrStalled) || strings.Contains(err.Error(), "SELECT") {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(50*time.Millisecond, cancel).Stop()
	patient := influx.NewSnapshot(influx.SnapshotConfig{Addr: s.Snapshot})
	if _, err := patient.Metastore(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while it waits: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestACancelledContextEndsAStream(t *testing.T) {
	t.Parallel()
	s, id := large(t)
	ctx, cancel := context.WithCancel(t.Context())
	body, err := s.snap.Shard(ctx, id, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	if _, err := io.CopyN(io.Discard, body, 64<<10); err != nil {
		t.Fatal(err)
	}
	cancel()
	if n, err := io.Copy(io.Discard, body); !errors.Is(err, context.Canceled) || n > 0 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// A server that is killed ends a stream like one that is done. Only the archive
// itself shows it: whoever reads has to verify.
func TestAKilledServerLeavesACutArchive(t *testing.T) {
	t.Parallel()
	s, id := large(t)
	body, err := s.snap.Shard(t.Context(), id, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	r := tar.NewReader(body)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if _, err := io.Copy(io.Discard, r); err == nil {
		t.Error("the archive looks whole")
	}
}

// failing breaks after some of an archive.
type failing struct{ io.Reader }

func (f failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errors.New("source broke")
	}
	return n, err
}

func TestAnUploadWhoseSourceBreaksTakesNothingIn(t *testing.T) {
	t.Parallel()
	for _, version := range []string{testbed.Influx18, testbed.Influx16} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			from, to := newServer(t, testbed.InfluxOptions{Version: version}), newServer(t, testbed.InfluxOptions{Version: version})
			from.create(t, "d")
			from.write(t, "d", "", points("m", start(), time.Second, 100))
			m, raw := from.metastore(t)
			blob, err := influx.RestoreBlob(raw, "d")
			if err != nil {
				t.Fatal(err)
			}
			ids, err := to.snap.UpdateMetastore(t.Context(), blob, "d")
			if err != nil {
				t.Fatal(err)
			}
			old := m.Shards("d")[0].ID
			archive, err := from.read(t.Context(), old, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			// All of the file, not the archive's end.
			err = to.snap.UploadShard(t.Context(), ids[old], failing{bytes.NewReader(archive[:len(archive)-1024])})
			if err == nil || !strings.Contains(err.Error(), "source broke") {
				t.Errorf("%v", err)
			}
			eventually(t, func() error {
				counts, err := to.http.Count(t.Context(), "d", "autogen", start(), start().AddDate(1, 0, 0))
				if err == nil && len(counts) > 0 {
					t.Fatalf("half an archive was taken in: %v", counts)
				}
				return err
			})
		})
	}
}

// eventually asks until there is no error: a shard is closed while it is loaded.
func eventually(t *testing.T, ask func() error) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// fake is a server of one answer, for faults that a real one cannot be made to
// have.
func fake(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer func() { _ = c.Close() }(); answer(c) }()
		}
	}()
	return l.Addr().String()
}

func TestAnUploadsUnexpectedAnswerIsAnError(t *testing.T) {
	t.Parallel()
	addr := fake(t, func(c net.Conn) {
		_, _ = io.Copy(io.Discard, c)
		_, _ = io.WriteString(c, "what?")
	})
	err := influx.NewSnapshot(influx.SnapshotConfig{Addr: addr}).UploadShard(t.Context(), 7, strings.NewReader("x"))
	if err == nil || !strings.Contains(err.Error(), "what?") || !strings.Contains(err.Error(), "shard 7") {
		t.Errorf("%v", err)
	}
}

func TestAnUploadWaitsLongerForTheServerToFinish(t *testing.T) {
	t.Parallel()
	addr := fake(t, func(c net.Conn) {
		kind := make([]byte, 2)
		if _, err := io.ReadFull(c, kind); err != nil || kind[1] != 7 {
			return // a question whether the server is alive: it is
		}
		_, _ = io.Copy(io.Discard, c)
		<-time.After(300 * time.Millisecond)
	})
	for wait, ok := range map[time.Duration]bool{time.Minute: true, 50 * time.Millisecond: false} {
		s := influx.NewSnapshot(influx.SnapshotConfig{Addr: addr, IdleTimeout: 100 * time.Millisecond, UploadTimeout: wait})
		err := s.UploadShard(t.Context(), 7, strings.NewReader("x"))
		if ok != (err == nil) || !ok && !errors.Is(err, influx.ErrStalled) {
			t.Errorf("wait %s: %v", wait, err)
		}
	}
}

// A server that dies ends the metastore's stream anywhere.
func TestAMetastoreThatEndsEarlyIsAnError(t *testing.T) {
	t.Parallel()
	s := newServer(t, testbed.InfluxOptions{})
	_, raw := s.metastore(t)
	for n := range raw {
		addr := fake(t, func(c net.Conn) {
			_, _ = io.ReadFull(c, make([]byte, 2))
			_, _ = c.Write(raw[:n])
			_ = c.(*net.TCPConn).CloseWrite() //nolint:forcetypeassert // it is one
			_, _ = io.Copy(io.Discard, c)
		})
		if _, err := influx.NewSnapshot(influx.SnapshotConfig{Addr: addr}).Metastore(t.Context()); err == nil {
			t.Fatalf("%d of %d bytes passed", n, len(raw))
		}
	}
}
