package testbed_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nightshard/shared/testbed"
)

func TestEachInfluxVersionKeepsItsDataOverARestart(t *testing.T) {
	t.Parallel()
	for _, opts := range []testbed.InfluxOptions{
		{},
		{Index: "tsi1"},
		{Version: testbed.Influx16},
		{Version: testbed.Influx16, Index: "tsi1"},
	} {
		t.Run(opts.Version+opts.Index, func(t *testing.T) {
			t.Parallel()
			s := testbed.Influx(t, opts)
			s.CreateDatabase(t, `odd "name`)
			s.Write(t, `odd "name`, "", "cpu,host=a value=42 1464739200000000000\n")
			s.Stop()
			if s.Running() {
				t.Fatal("still running after Stop")
			}
			s.Start()
			wantAnswer(t, s, `odd "name`, "SELECT value FROM cpu", `42]`)
		})
	}
}

func wantAnswer(t *testing.T, s *testbed.InfluxServer, db, statement, want string) {
	t.Helper()
	if got := string(s.Query(t, db, statement)); !strings.Contains(got, want) {
		t.Errorf("%s: got %s, want it to contain %s", statement, got, want)
	}
}

func TestInfluxUsesItsOwnFolders(t *testing.T) {
	t.Parallel()
	s := testbed.Influx(t, testbed.InfluxOptions{})
	s.CreateDatabase(t, "db")
	s.Write(t, "db", "autogen", "cpu value=1 1464739200000000000\n")
	for _, path := range []string{
		filepath.Join(s.MetaDir, "meta.db"),
		filepath.Join(s.DataDir, "db", "autogen"),
		filepath.Join(s.WALDir, "db", "autogen"),
	} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("missing: %v", err)
		}
	}
	if got := string(s.Query(t, "", "SHOW DATABASES")); strings.Contains(got, "_internal") {
		t.Errorf("the monitor is on: %s", got)
	}
}

func TestInfluxWithLoginRefusesStrangers(t *testing.T) {
	t.Parallel()
	for _, version := range []string{testbed.Influx18, testbed.Influx16} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := testbed.Influx(t, testbed.InfluxOptions{Version: version, Auth: true})
			s.CreateDatabase(t, "db")
			resp, err := http.Get(s.URL + "/query?q=SHOW+DATABASES")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("without a login: status %s", resp.Status)
			}
			s.Kill()
			s.Start()
			wantAnswer(t, s, "", "SHOW DATABASES", `["db"]`)
		})
	}
}

func TestExtraSettingsReachInflux(t *testing.T) {
	t.Parallel()
	s := testbed.Influx(t, testbed.InfluxOptions{
		Monitor: true,
		Config:  map[string]string{"INFLUXDB_MONITOR_STORE_DATABASE": "watch", "INFLUXDB_MONITOR_STORE_INTERVAL": "1s"},
	})
	testbed.Eventually(t, 20*time.Second, "the monitor's database", func() bool {
		return strings.Contains(string(s.Query(t, "", "SHOW DATABASES")), `["watch"]`)
	})
}

func TestPausedInfluxIsSilentUntilItResumes(t *testing.T) {
	t.Parallel()
	s := testbed.Influx(t, testbed.InfluxOptions{})
	s.Pause()
	client := http.Client{Timeout: 300 * time.Millisecond}
	if resp, err := client.Get(s.URL + "/ping"); err == nil {
		resp.Body.Close()
		t.Fatal("a paused server answered")
	}
	s.Resume()
	wantAnswer(t, s, "", "SHOW DATABASES", "results")
	s.Pause()
	s.Stop() // a paused server stops all the same
}

func TestInfluxIsGoneAfterItsTest(t *testing.T) {
	t.Parallel()
	var s *testbed.InfluxServer
	t.Run("short", func(t *testing.T) { s = testbed.Influx(t, testbed.InfluxOptions{}) })
	if s == nil {
		t.Skip("no server")
	}
	if resp, err := http.Get(s.URL + "/ping"); err == nil {
		resp.Body.Close()
		t.Error("the server still answers")
	}
	if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
		t.Errorf("its folder is still there: %v", err)
	}
}

// ownerVar makes TestInfluxOwner a process that owns a server and waits.
const ownerVar = "TESTBED_TEST_OWNER"

func TestInfluxOwner(t *testing.T) {
	if os.Getenv(ownerVar) == "" {
		t.Skip("runs only as a child of another test")
	}
	fmt.Println("OWNER", testbed.Influx(t, testbed.InfluxOptions{}).Snapshot)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

func TestInfluxDiesWithAKilledTestProcess(t *testing.T) {
	t.Parallel()
	testbed.Influx(t, testbed.InfluxOptions{}) // skips where there is none
	cmd := exec.Command(os.Args[0], "-test.run=^TestInfluxOwner$")
	cmd.Env = append(os.Environ(), ownerVar+"=1", "TMPDIR="+t.TempDir())
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	addr := strings.TrimSpace(strings.TrimPrefix(line, "OWNER "))
	if err != nil || !answers(addr) {
		t.Errorf("server at %q does not answer: %v", addr, err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	testbed.Eventually(t, 10*time.Second, "the server to die too", func() bool { return !answers(addr) })
}
