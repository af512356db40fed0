package extending_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

// patience bounds every wait: the nats CLI may have to be built first.
const patience = 3 * time.Minute

// built makes the example and the nats CLI once for all tests.
var built = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "extending"); err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"build", "-o", dir, "./subscriber"},
		{"build", "-modfile=../../tools/go.mod", "-o", dir, "github.com/nats-io/natscli/nats"},
	} {
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			return string(out), err
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := built(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// tools is the folder of the programs that are built for the tests.
func tools(t *testing.T) string {
	t.Helper()
	dir, err := built()
	switch {
	case err == nil:
	case os.Getenv("TESTBED_REQUIRED") == "1":
		t.Fatalf("build the examples: %v: %s", err, dir)
	default:
		t.Skipf("the examples cannot be built here: %v: %s", err, dir)
	}
	return dir
}

// site is a NATS server with Nightshard's stream, and a bus to it.
type site struct {
	url string
	bus *events.Bus
}

func newSite(t *testing.T, prefix string) *site {
	t.Helper()
	url := testbed.NATS(t, testbed.NATSOptions{}).URL
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	bus, err := events.Connect(ctx, events.Config{URL: url, Prefix: prefix, Log: zerolog.New(zerolog.NewTestWriter(t))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bus.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &site{url: url, bus: bus}
}

// dumped publishes what the dumper publishes after a dump.
func (s *site) dumped(t *testing.T, day, measurement string, records int64) {
	t.Helper()
	msg := &pb.DumpCompleted{Day: day, Measurement: measurement, Object: day + "/influxdb/" + measurement + ".json", Records: records, Complete: true}
	if _, err := s.bus.Publish(t.Context(), events.DumpCompleted, msg, ""); err != nil {
		t.Fatal(err)
	}
}

// start runs a program until the test stops it; its end by a signal is no error.
func (s *site) start(t *testing.T, env []string, name string, args ...string) (stop func()) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Env = append(append(os.Environ(), "NATS_URL="+s.url, "PATH="+tools(t)+":"+os.Getenv("PATH")), env...)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = patience
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil {
			t.Errorf("%s ended by itself: %v", name, err)
		}
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, said.String())
		}
	})
	t.Cleanup(stop)
	return stop
}

// state is that of a durable, nil if it is not there.
func (s *site) state(t *testing.T, name string) *events.ConsumerState {
	t.Helper()
	all, err := s.bus.Consumers(t.Context())
	if err != nil {
		return nil
	}
	for _, c := range all {
		if c.Name == name {
			return &c
		}
	}
	return nil
}

// awaitDone waits until a durable has no event left.
func (s *site) awaitDone(t *testing.T, name string) {
	t.Helper()
	testbed.Eventually(t, patience, name+" to have done all", func() bool {
		c := s.state(t, name)
		return c != nil && c.Pending == 0 && c.AckPending == 0
	})
}

// awaitLines waits until a file has so many lines, and gives it.
func awaitLines(t *testing.T, path string, lines int) string {
	t.Helper()
	var data []byte
	testbed.Eventually(t, patience, path+" to grow", func() bool {
		data, _ = os.ReadFile(path)
		return bytes.Count(data, []byte{'\n'}) == lines
	})
	return string(data)
}

func TestTheSubscriberGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.dumped(t, "2016-06-01", "cpu", 288000)
	file := filepath.Join(t.TempDir(), "catalogue.tsv")
	program := filepath.Join(tools(t), "subscriber")
	stop := s.start(t, nil, program, file)
	awaitLines(t, file, 1)
	s.awaitDone(t, "catalogue")
	stop()
	s.dumped(t, "2016-06-02", "disk free", 9007199254740993)
	s.start(t, nil, program, file)
	got := awaitLines(t, file, 2)
	s.awaitDone(t, "catalogue")
	want := "1\t2016-06-01\t\"cpu\"\t288000\ttrue\t2016-06-01/influxdb/cpu.json\n" +
		"2\t2016-06-02\t\"disk free\"\t9007199254740993\ttrue\t2016-06-02/influxdb/disk free.json\n"
	if got != want {
		t.Errorf("catalogue\n%s\nwant\n%s", got, want)
	}
}

// TestTheScriptRunsItsCommandUntilItEndsWell has a command that fails the second
// time that it is run.
func TestTheScriptRunsItsCommandUntilItEndsWell(t *testing.T) {
	t.Parallel()
	need(t, "jq")
	s := newSite(t, "site1")
	dir := t.TempDir()
	place, file := filepath.Join(dir, "place"), filepath.Join(dir, "events")
	s.dumped(t, "2016-05-31", "cpu", 1) // before the script was there
	command := `read -r event; echo "$event" >>"$0/events"; [ "$(wc -l <"$0/events")" -ne 2 ]`
	env := []string{"STREAM=NIGHTSHARD_SITE1", "PREFIX=site1", "PAUSE=0.1"}
	stop := s.start(t, env, "./on-dump.sh", place, "bash", "-c", command, dir)
	awaitText(t, place, "1\n")
	s.dumped(t, "2016-06-01", "cpu", 288000)
	awaitText(t, place, "2\n")
	if _, err := s.bus.Publish(t.Context(), events.BackupRequested, &pb.BackupRequested{}, ""); err != nil {
		t.Fatal(err)
	}
	s.dumped(t, "2016-06-02", "memory", 5) // the command fails once
	awaitText(t, place, "4\n")
	stop()
	s.dumped(t, "2016-06-03", "cpu", 6)
	s.start(t, env, "./on-dump.sh", place, "bash", "-c", command, dir)
	awaitText(t, place, "5\n")
	var days []string
	for text := range strings.SplitSeq(strings.TrimSpace(awaitLines(t, file, 4)), "\n") {
		e, err := events.Decode(events.DumpCompleted, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		d, _ := e.(*pb.DumpCompleted)
		days = append(days, d.GetDay())
	}
	if got := strings.Join(days, " "); got != "2016-06-01 2016-06-02 2016-06-02 2016-06-03" {
		t.Errorf("the command got %s", got)
	}
}

// need finds one of the machine's tools, or ends the test as the testbed does
// for a server.
func need(t *testing.T, name string) {
	t.Helper()
	_, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("TESTBED_REQUIRED") == "1":
		t.Fatalf("%s is not installed, and TESTBED_REQUIRED=1", name)
	default:
		t.Skipf("%s is not installed", name)
	}
}

// awaitText waits until a file holds a text.
func awaitText(t *testing.T, path, want string) {
	t.Helper()
	testbed.Eventually(t, patience, path+" to hold "+want, func() bool {
		data, _ := os.ReadFile(path)
		return string(data) == want
	})
}

// TestTheNATSCommandShowsTheServices runs the commands of docs/events.md.
func TestTheNATSCommandShowsTheServices(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	if err := s.bus.Announce(events.Announcement{Name: "dumper", Version: "v1.2.3", About: "dumps", Database: "sensu_db"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	at, goOn := make(chan struct{}), make(chan struct{})
	consumed := make(chan error, 1)
	go func() {
		consumed <- s.bus.Consume(ctx, events.Consumer{
			Durable: "dumper", Subjects: []string{events.DumpRequested}, Deliver: events.DeliverLast,
			Handler: func(context.Context, *events.Delivery) ([]proto.Message, error) {
				close(at)
				<-goOn
				return nil, nil
			},
		})
	}()
	if _, err := s.bus.Publish(t.Context(), events.DumpRequested, &pb.DumpRequested{Measurement: "cpu", From: "2016-06-01"}, ""); err != nil {
		t.Fatal(err)
	}
	<-at
	s.bus.Progress(&pb.Progress{Service: "dumper", Day: "2016-06-01", Step: "dump", Measurement: "cpu", Done: 7, Total: 16, Unit: "records"})
	for command, wants := range map[string][]string{
		"service ls":                      {"nightshard-dumper", "1.2.3"},
		"service info nightshard-dumper":  {"status.dumper", "sensu_db", "dumps"},
		"service stats nightshard-dumper": {"nightshard-dumper"},
		"req --raw status.dumper ":        {`"state":"working"`, `"day":"2016-06-01","measurement":"cpu","step":"dump","done":7,"total":16`},
	} {
		args := strings.Split(command, " ") // the last argument of req is empty: no body
		cmd := exec.CommandContext(t.Context(), filepath.Join(tools(t), "nats"), args...)
		cmd.Env = append(os.Environ(), "NATS_URL="+s.url)
		out, err := cmd.CombinedOutput()
		for _, want := range wants {
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("nats %s: %v, want %s:\n%s", command, err, want, out)
			}
		}
	}
	close(goOn)
	s.awaitDone(t, "dumper")
	cancel()
	if err := <-consumed; err != nil {
		t.Error(err)
	}
}
