package compose_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nightshard/shared/testbed"
)

// points is how many records each measurement gets.
const points = 100

// The cluster loses one of its three servers before the night, which Prometheus
// and Grafana watch. readme_test.go has the night with one server.
func TestNightOfACluster(t *testing.T) {
	needEngine(t)
	p := up(t, "--env-file", "cluster.env", "--profile", "cluster", "--profile", "demo", "--profile", "monitoring")
	p.checkHardening(t)
	p.fill(t)
	p.checkReplicas(t)
	p.must(t, "kill", "nats-2")
	// The image of the command may be an earlier one, hence --build. If the server
	// led the stream, the others elect a leader for some seconds.
	testbed.Eventually(t, time.Minute, "the cluster to answer again", func() bool {
		_, err := p.compose(t.Context(), "run", "--rm", "--build", "--no-TTY", "nightshard", "status")
		return err == nil
	})
	p.night(t)
	p.checkDump(t)
	p.checkPrometheus(t)
	p.checkGrafana(t)
}

// checkReplicas asks a server how many copies the event stream has: a server
// that ran alone would pass the night as well.
func (p *project) checkReplicas(t *testing.T) {
	t.Helper()
	var state struct {
		Accounts []struct {
			Streams []struct {
				Config struct {
					Name     string
					Replicas int `json:"num_replicas"`
				}
			} `json:"stream_detail"`
		} `json:"account_details"`
	}
	page := p.must(t, "exec", "--no-TTY", "nats", "wget", "-q", "-O", "-", "http://127.0.0.1:8222/jsz?accounts=1&streams=1&config=1")
	if err := json.Unmarshal([]byte(page), &state); err != nil {
		t.Fatal(err)
	}
	for _, account := range state.Accounts {
		for _, stream := range account.Streams {
			if stream.Config.Name == "NIGHTSHARD" && stream.Config.Replicas == 3 {
				return
			}
		}
	}
	t.Fatalf("no event stream of three copies: %+v", state)
}

// fill writes records of the last moments: they are of the day that is backed
// up, unless midnight comes in between.
func (p *project) fill(t *testing.T) {
	t.Helper()
	at := p.url(t, "production", "8086")
	post(t, at.JoinPath("query").String()+"?q="+url.QueryEscape("CREATE DATABASE sensu_db"), "")
	var lines strings.Builder
	now := time.Now()
	for n := range points {
		for _, measurement := range []string{"cpu", "memory"} {
			fmt.Fprintf(&lines, "%s,host=web-01 value=%di %d\n", measurement, n, now.Add(-time.Duration(n)*time.Millisecond).UnixNano())
		}
	}
	post(t, at.JoinPath("write").String()+"?db=sensu_db", lines.String())
}

func post(t *testing.T, to, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	// InfluxDB sends its headers before it has done the work.
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 || strings.Contains(string(answer), "error") {
		t.Fatalf("post to %s: %s %s: %v", to, resp.Status, answer, err)
	}
}

// night asks for a backup, as an operator does, and waits for the last dump.
func (p *project) night(t *testing.T) {
	t.Helper()
	begin := time.Now()
	p.must(t, "run", "--rm", "--no-TTY", "nightshard", "request", "backup", "--follow", "--timeout", "3m")
	t.Logf("a night took %s", time.Since(begin).Round(time.Millisecond))
}

// checkDump downloads the dumps with the plain swift client.
func (p *project) checkDump(t *testing.T) {
	t.Helper()
	days := strings.Fields(p.swift(t, t.TempDir(), "list"))
	if len(days) != 1 {
		t.Fatalf("containers in Swift: %v, want one day", days)
	}
	dir := t.TempDir()
	p.swift(t, dir, "download", days[0], "-p", days[0]+"/influxdb/")
	for _, measurement := range []string{"cpu", "memory"} {
		found, err := filepath.Glob(filepath.Join(dir, days[0], "influxdb", measurement+"_*.json"))
		if err != nil || len(found) != 1 {
			t.Fatalf("%d dumps of %s: %v", len(found), measurement, err)
		}
		data, err := os.ReadFile(found[0])
		if err != nil {
			t.Fatal(err)
		}
		var records []map[string]any
		if err := json.Unmarshal(data, &records); err != nil || len(records) != points {
			t.Errorf("the dump of %s has %d records, want %d: %v", measurement, len(records), points, err)
		}
	}
}

// swift runs the ordinary client in dir and returns what it printed.
func (p *project) swift(t *testing.T, dir string, args ...string) string {
	t.Helper()
	login := []string{"-A", p.url(t, "swift", "8080").JoinPath("auth", "v1.0").String(), "-U", "nightshard:backup", "-K", "demonstration"}
	cmd := exec.CommandContext(t.Context(), testbed.SwiftClient(t), append(login, args...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("swift %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// hardening is what the engine says of a container.
type hardening struct {
	State struct {
		Health struct{ Status string }
	}
	Config struct {
		User   string
		Labels map[string]string
	}
	HostConfig struct {
		ReadonlyRootfs bool
		CapDrop        []string
		SecurityOpt    []string
	}
}

// checkHardening looks at the containers of the services as they run.
func (p *project) checkHardening(t *testing.T) {
	t.Helper()
	for _, service := range []string{"backup", "restore", "dumper"} {
		id := strings.TrimSpace(p.must(t, "ps", "--quiet", service))
		out, err := docker(t.Context(), nil, "inspect", id)
		if err != nil {
			t.Fatal(err)
		}
		var found []hardening
		if err := json.Unmarshal([]byte(out), &found); err != nil || len(found) != 1 {
			t.Fatalf("inspect %s: %d containers: %v", service, len(found), err)
		}
		c := found[0]
		if c.State.Health.Status != "healthy" || c.Config.User != "65532:65532" || !c.HostConfig.ReadonlyRootfs ||
			len(c.HostConfig.CapDrop) != 1 || c.HostConfig.CapDrop[0] != "ALL" || len(c.HostConfig.SecurityOpt) != 1 {
			t.Errorf("%s: %+v", service, c)
		}
		if c.Config.Labels["org.opencontainers.image.licenses"] != "Apache-2.0" {
			t.Errorf("%s: labels %v", service, c.Config.Labels)
		}
	}
}
