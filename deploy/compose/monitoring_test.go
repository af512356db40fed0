package compose_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"nightshard/shared/testbed"
)

// checkPrometheus waits until the server has asked each service, and looks for
// rules: it starts without any where the configuration names no file.
func (p *project) checkPrometheus(t *testing.T) {
	t.Helper()
	at := p.url(t, "prometheus", "9090")
	var up struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	testbed.Eventually(t, 2*time.Minute, "Prometheus to have asked the three services", func() bool {
		if err := getJSON(t, at.JoinPath("api", "v1", "query"), url.Values{"query": {`up{job="nightshard"} == 1`}}, &up); err != nil {
			return false
		}
		return len(up.Data.Result) == 3
	})
	var rules struct {
		Data struct {
			Groups []struct {
				Name  string
				Rules []struct{ Name, LastError string }
			}
		}
	}
	if err := getJSON(t, at.JoinPath("api", "v1", "rules"), nil, &rules); err != nil {
		t.Fatal(err)
	}
	if len(rules.Data.Groups) == 0 {
		t.Fatal("Prometheus has no rules")
	}
	for _, group := range rules.Data.Groups {
		for _, rule := range group.Rules {
			if rule.LastError != "" {
				t.Errorf("rule %s of %s: %s", rule.Name, group.Name, rule.LastError)
			}
		}
	}
}

// checkGrafana looks for the files at the places where Grafana reads them. What
// is in them is checked without an engine (files_test.go).
func (p *project) checkGrafana(t *testing.T) {
	t.Helper()
	for source, place := range map[string]string{
		"grafana/datasources.yaml":     "/etc/grafana/provisioning/datasources/nightshard.yaml",
		"grafana/dashboards.yaml":      "/etc/grafana/provisioning/dashboards/nightshard.yaml",
		"../monitoring/dashboard.json": "/etc/grafana/dashboards/nightshard.json",
	} {
		if inside := p.must(t, "exec", "--no-TTY", "grafana", "cat", place); inside != string(read(t, source)) {
			t.Errorf("Grafana does not have %s at %s", source, place)
		}
	}
	if standIn(t, readCompose(t).Services["grafana"].Image) {
		t.Log("not run: Grafana itself, for its image cannot be had here: a stand-in had its files")
		return
	}
	at := p.url(t, "grafana", "3000")
	var board struct {
		Meta struct{ Provisioned bool }
	}
	testbed.Eventually(t, time.Minute, "Grafana to have the dashboard", func() bool {
		err := getJSON(t, at.JoinPath("api", "dashboards", "uid", dashboardUID(t)), nil, &board)
		return err == nil && board.Meta.Provisioned
	})
}

func dashboardUID(t *testing.T) string {
	t.Helper()
	var board struct{ UID string }
	if err := json.Unmarshal(read(t, "../monitoring/dashboard.json"), &board); err != nil {
		t.Fatal(err)
	}
	return board.UID
}

// standIn tells whether an image was made by the script stand-ins.
func standIn(t *testing.T, image string) bool {
	t.Helper()
	out, err := docker(t.Context(), nil, "image", "inspect", "--format", `{{index .Config.Labels "nightshard.stand-in"}}`, image)
	if err != nil {
		t.Fatal(err)
	}
	return out == "true\n"
}

// getJSON asks at once: a server that does not answer is asked again by the
// caller.
func getJSON(t *testing.T, at *url.URL, query url.Values, into any) error {
	t.Helper()
	at.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at.String(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s %s", at, resp.Status, body)
	}
	return json.Unmarshal(body, into)
}
