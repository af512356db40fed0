package monitoring_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"nightshard/shared/metrics"
)

// promtool runs Debian's promtool in this folder.
func promtool(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	switch {
	case err != nil && os.Getenv("TESTBED_REQUIRED") == "1":
		t.Fatal("promtool is not installed: apt-get install prometheus")
	case err != nil:
		t.Skip("promtool is not installed: apt-get install prometheus")
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestRulesAreValidAndRaiseWhatTheySay(t *testing.T) {
	t.Parallel()
	if out := promtool(t, "check", "rules", "rules.yml"); !strings.Contains(out, "17 rules found") {
		t.Errorf("rules: %s", out)
	}
	promtool(t, "test", "rules", "rules_test.yml")
}

// Every alert has a test in which it is raised, and one in which it is not.
func TestEachAlertIsTested(t *testing.T) {
	t.Parallel()
	tests := read(t, "rules_test.yml")
	for _, found := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(read(t, "rules.yml"), -1) {
		raised := strings.Contains(tests, "alertname: "+found[1]+"\n        exp_alerts:")
		quiet := strings.Contains(tests, "alertname: "+found[1]+"}")
		if !raised || !quiet {
			t.Errorf("%s: tested raised %t, quiet %t", found[1], raised, quiet)
		}
	}
}

// names are the metrics of ours that a text names.
func names(text string) []string {
	found := regexp.MustCompile(`nightshard_[a-z0-9_]+`).FindAllString(text, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// described are the names that the services register. That they export them with
// values is seen in e2e.
func described(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, service := range []string{metrics.Backup, metrics.Restore, metrics.Dumper} {
		reg := &recorder{}
		metrics.New(reg, metrics.Options{Service: service})
		all = append(all, reg.names...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// recorder keeps the names of what is registered.
type recorder struct{ names []string }

func (r *recorder) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 10)
	c.Describe(descs)
	close(descs)
	for d := range descs {
		r.names = append(r.names, regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1])
	}
	return nil
}

func (r *recorder) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		_ = r.Register(c)
	}
}

func (r *recorder) Unregister(prometheus.Collector) bool { return false }

func TestRulesAndDashboardNameMetricsThatExist(t *testing.T) {
	t.Parallel()
	have := described(t)
	for _, file := range []string{"rules.yml", "rules_test.yml", "dashboard.json", "../../docs/monitoring.md"} {
		named := names(read(t, file))
		if len(named) < 10 {
			t.Errorf("%s names %v only", file, named)
		}
		for _, name := range named {
			if !slices.Contains(have, name) {
				t.Errorf("%s names %s, which no service exports", file, name)
			}
		}
	}
	for _, file := range []string{"dashboard.json", "../../docs/monitoring.md"} {
		for _, name := range have {
			if !slices.Contains(names(read(t, file)), name) {
				t.Errorf("%s lacks %s", file, name)
			}
		}
	}
}

func TestDashboardIsValid(t *testing.T) {
	t.Parallel()
	var board struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ RefID, Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "dashboard.json")), &board); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	var queries []string
	for _, p := range board.Panels {
		if seen[p.ID] || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 {
			t.Errorf("panel %+v", p)
		}
		seen[p.ID] = true
		for _, q := range p.Targets {
			queries = append(queries, q.Expr)
		}
	}
	promtool(t, "check", "rules", asRules(t, queries))
	if board.Title != "Nightshard" || len(board.Panels) < 15 {
		t.Errorf("%q has %d panels", board.Title, len(board.Panels))
	}
}

// asRules writes expressions of the dashboard as rules that promtool can check.
func asRules(t *testing.T, queries []string) string {
	t.Helper()
	var rules []map[string]string
	for i, expr := range queries {
		expr = strings.NewReplacer("$__rate_interval", "5m", "$job", "nightshard").Replace(expr)
		rules = append(rules, map[string]string{"record": fmt.Sprintf("r%d", i), "expr": expr})
	}
	data, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "g", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := t.TempDir() + "/rules.json"
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
