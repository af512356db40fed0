package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/objstore"
	"nightshard/shared/objstore/swift"
	"nightshard/shared/testbed"
	"nightshard/shared/trust"
)

func testSwift(t *testing.T) *smallSwift {
	t.Helper()
	s, err := newSwift()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.stop() })
	return s
}

// TestManyFirstUploadsAtOnceAllArrive is what the front is for: without it two
// uploads may each make the container, and one of them takes its objects along.
func TestManyFirstUploadsAtOnceAllArrive(t *testing.T) {
	t.Parallel()
	cfg, err := swift.ConfigFromEnv(testSwift(t).login)
	if err != nil {
		t.Fatal(err)
	}
	store, err := swift.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			name := fmt.Sprintf("object-%02d", i)
			if _, err := store.Put(t.Context(), "day", name, objstore.NewSource([]byte(name)), objstore.PutOptions{}); err != nil {
				t.Errorf("put %s: %v", name, err)
			}
			err := store.Get(t.Context(), "day", name, func(o objstore.Object, r io.Reader) error {
				if data, err := io.ReadAll(r); err != nil || string(data) != name {
					t.Errorf("get %s: %q, %v", name, data, err)
				}
				return nil
			})
			if err != nil {
				t.Errorf("get %s: %v", name, err)
			}
		})
	}
	wg.Wait()
	n := 0
	if err := store.List(t.Context(), "day", "", func(objstore.Object) error { n++; return nil }); err != nil || n != 50 {
		t.Errorf("%d objects of 50, %v", n, err)
	}
}

func TestSwiftSurvivesRequestsWithoutALogin(t *testing.T) {
	t.Parallel()
	s := testSwift(t)
	base := strings.TrimSuffix(s.login["ST_AUTH"], "/v1.0")
	for path, want := range map[string]int{
		"/v1/AUTH_swifttest/day": http.StatusUnauthorized, "/v1/AUTH_other/day": http.StatusNotFound,
		"/v1/AUTH_swifttestx": http.StatusNotFound, "/": http.StatusNotFound, "/v1.0": http.StatusUnauthorized, "/info": http.StatusOK,
	} {
		for range 2 { // the first one must not have left a lock behind
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s: %s", path, resp.Status)
			}
		}
	}
}

func TestATakenPortIsToldApartFromAnotherProblem(t *testing.T) {
	t.Parallel()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	n := &natsServer{}
	if err := n.start(t.Context(), t.TempDir(), ln.Addr().(*net.TCPAddr).Port); !errors.Is(err, errPortTaken) {
		t.Errorf("NATS on a taken port: %v", err)
	}
	blocked := filepath.Join(t.TempDir(), "store")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newNATS(t.Context(), blocked); err == nil {
		t.Error("NATS starts where a file stands in place of its folder")
	}
	tries := 0
	err = withPorts("it", func(func(int) (int, error)) error { tries++; return errPortTaken })
	if tries != 5 || !errors.Is(err, errPortTaken) {
		t.Errorf("%d tries, %v", tries, err)
	}
}

// TestAnotherInfluxOnThePortIsNotTakenForOurs: the restore would drop the
// database of whatever answers there.
func TestAnotherInfluxOnThePortIsNotTakenForOurs(t *testing.T) {
	t.Parallel()
	other := testbed.Influx(t, testbed.InfluxOptions{})
	p, err := start(spec{name: "ours", path: "/bin/sleep", args: []string{"60"}, log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.stop(time.Second) }()
	if err := awaitInflux(t.Context(), p, server{URL: other.URL}); !errors.Is(err, errPortTaken) {
		t.Errorf("await: %v", err)
	}
	_, err = tryInflux(t.Context(), other.Binary, "ours", t.TempDir(), server{URL: other.URL, Snapshot: loopback(testbed.FreePort(t))})
	if !errors.Is(err, errPortTaken) {
		t.Errorf("start on a taken port: %v", err)
	}
}

func TestAChildThatWillNotEndIsKilled(t *testing.T) {
	t.Parallel()
	said := make(chan string, 1)
	p, err := start(spec{
		name: "stubborn", path: "/bin/sh", args: []string{"-c", "trap '' TERM; echo ready; while :; do sleep 1; done"},
		env: map[string]string{"PATH": "/usr/bin:/bin"}, log: filepath.Join(t.TempDir(), "log"), line: func(s string) { said <- s },
	})
	if err != nil {
		t.Fatal(err)
	}
	if line := <-said; line != "ready" {
		t.Errorf("it said %q", line)
	}
	if err := p.stop(50 * time.Millisecond); err == nil || p.alive() {
		t.Errorf("stop: %v", err)
	}
}

func TestOnlyDeadRunsAreSwept(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	alive, err := newFolder(parent)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := newFolder(parent)
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.lock.Close() // as the end of its process does
	old := time.Now().Add(-time.Hour)
	for _, dir := range []string{alive.path, dead.path} {
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
	}
	fresh, err := newFolder(parent)
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{alive.path: true, dead.path: false, fresh.path: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if err := errors.Join(alive.remove(), fresh.remove()); err != nil {
		t.Error(err)
	}
}

func TestAFullDiskIsSaid(t *testing.T) {
	t.Parallel()
	if err := needRoom(t.TempDir(), 1<<62, "the demonstration", "TMPDIR"); err == nil || !strings.Contains(err.Error(), "set TMPDIR to a folder on a larger disk") {
		t.Errorf("the error is %v", err)
	}
	h := &house{}
	if err := h.explain(fmt.Errorf("write sample data: %w", syscall.ENOSPC)); !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("the error is %v", err)
	}
	if err := h.explain(io.EOF); strings.Contains(err.Error(), "full") {
		t.Errorf("the error is %v", err)
	}
}

// event is one event of the stream that answers a delivery.
func event(seq uint64, msg proto.Message, answers string) events.Event {
	subject, _ := events.SubjectOf(msg)
	return events.Event{Seq: seq, Time: time.Unix(int64(seq), 0), Subject: subject, Message: msg, ID: subject + "/2016-06-01/" + answers}
}

func TestOtherPeoplesRequestsAreNoneOfTheNight(t *testing.T) {
	t.Parallel()
	n := &outcome{wanted: 2, asked: 2, answered: map[string]bool{}}
	ours := event(2, &pb.BackupRequested{}, "")
	backup := event(4, &pb.BackupCompleted{Day: "2016-06-01"}, ours.DeliveryID())
	restore := event(6, &pb.RestoreCompleted{Day: "2016-06-01"}, backup.DeliveryID())
	dump := func(seq uint64, day, measurement string) events.Event {
		return event(seq, &pb.DumpCompleted{Day: day, Measurement: measurement}, restore.DeliveryID())
	}
	for _, step := range []struct {
		e          events.Event
		mine, over bool
	}{
		{ours, true, false},
		{event(3, &pb.BackupRequested{}, ""), false, false},
		{event(3, &pb.RestoreFailed{Error: "no such day"}, "1@1"), false, false},
		{backup, true, false},
		{event(5, &pb.BackupCompleted{Day: "2016-05-31"}, "3@3"), false, false},
		{restore, true, false},
		{dump(7, "2016-05-31", "cpu"), true, false}, // completes the day before
		{dump(8, "2016-06-01", "cpu"), true, false},
		{event(9, &pb.DumpFailed{Measurement: "disk", Error: "broken", Step: "dump"}, restore.DeliveryID()), true, true},
	} {
		if mine := n.take(step.e); mine != step.mine || n.done() != step.over {
			t.Errorf("event %d %s: ours %t, over %t", step.e.Seq, step.e.Subject, mine, n.done())
		}
	}
	if !n.failed() || n.failures[0] != "dump.failed: step dump: broken" {
		t.Errorf("failures: %v", n.failures)
	}
	failed := &outcome{wanted: 2, asked: 2, answered: map[string]bool{}}
	failed.take(ours)
	if failed.take(event(3, &pb.BackupFailed{Error: "no"}, ours.DeliveryID())); !failed.done() || !failed.failed() {
		t.Error("a failed backup is not the end of the night")
	}
}

func TestTheTableTellsAFailure(t *testing.T) {
	t.Parallel()
	out := newOutput()
	n := &outcome{failures: []string{"restore.failed: step drill: 2 counts differ"}}
	newScreen(out, "", func(error) {}).table(n)
	if !strings.Contains(out.String(), "FAILED") || !strings.Contains(out.String(), "2 counts differ") {
		t.Errorf("the table is\n%s", out)
	}
}

// closedPipe is an output that nobody reads.
type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestNobodyReadingEndsTheRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	newScreen(closedPipe{}, "xterm", cancel).line("hello")
	if !errors.Is(context.Cause(ctx), syscall.EPIPE) {
		t.Errorf("cause: %v", context.Cause(ctx))
	}
}

func TestWarningsOfAServiceAreShown(t *testing.T) {
	t.Parallel()
	out := newOutput()
	h := &house{show: newScreen(out, "", func(error) {})}
	log := &bytes.Buffer{}
	w := &tee{file: log, line: h.listen("restore")}
	for _, part := range []string{`{"level":"info","message":"fine"}` + "\n" + `{"level":"warn","err`, `or":"no such day","message":"event failed"}` + "\nno json\n"} {
		if _, err := io.WriteString(w, part); err != nil {
			t.Fatal(err)
		}
	}
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "restore warns: event failed: no such day") {
		t.Errorf("shown: %q", got)
	}
	if strings.Count(log.String(), "\n") != 3 {
		t.Errorf("logged: %q", log)
	}
}

func TestAPasswordReachesOnlyTheBackup(t *testing.T) {
	t.Parallel()
	h := &house{
		set: settings{
			env:      map[string]string{"PATH": "/bin", "NATS_URL": "nats://elsewhere", "OS_TOKEN": "x", "NIGHTSHARD_PRODUCTION_PASSWORD": "secret"},
			services: map[string]string{"NIGHTSHARD_TIMEZONE": "Europe/Berlin"}, measurements: []string{"a,b"},
		},
		production: server{Password: "secret", TLS: trust.Settings{CA: "ca.pem", Key: "key.pem"}}, natsURL: "nats://here",
	}
	for name, want := range map[string]string{"backup": "secret", "restore": "", "dumper": ""} {
		env, err := h.serviceEnv(name, "127.0.0.1:1")
		if err != nil || env["NIGHTSHARD_PRODUCTION_PASSWORD"] != want || env["NATS_URL"] != "nats://here" || env["OS_TOKEN"] != "" ||
			env["PATH"] != "/bin" || env["NIGHTSHARD_TIMEZONE"] != "Europe/Berlin" {
			t.Errorf("%s: %v, %v", name, env, err)
		}
		if got := env["NIGHTSHARD_PRODUCTION_CA"] + env["NIGHTSHARD_PRODUCTION_KEY"]; got != map[string]string{"backup": "ca.pemkey.pem"}[name] {
			t.Errorf("%s: certificates %s", name, got)
		}
		if name == "dumper" && env["NIGHTSHARD_MEASUREMENTS"] != `["a,b"]` {
			t.Errorf("measurements: %s", env["NIGHTSHARD_MEASUREMENTS"])
		}
	}
}

func TestShellQuotesWhatItMust(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{"sensu_db": "sensu_db", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "http://h:1/v1.0": "http://h:1/v1.0", "$x": "'$x'"} {
		if got := shell(word); got != want {
			t.Errorf("%q: %s", word, got)
		}
	}
}
