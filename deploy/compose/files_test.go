package compose_test

import (
	"encoding/json"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// composeFile is what the tests read of compose.yaml.
type composeFile struct {
	Services map[string]struct {
		Image       string
		Build       any
		Profiles    []string
		Ports       []string
		Volumes     []string
		Environment map[string]string
		Healthcheck any
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
	}
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	var file composeFile
	readYAML(t, "compose.yaml", &file)
	if len(file.Services) == 0 {
		t.Fatal("compose.yaml has no services")
	}
	return file
}

func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	if err := yaml.Unmarshal(read(t, name), into); err != nil {
		t.Fatalf("parse %s: %v", name, err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A tag that moves would start another server tomorrow.
func TestForeignImagesHaveExactVersions(t *testing.T) {
	t.Parallel()
	exact := regexp.MustCompile(`^[a-z/]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?(@sha256:[0-9a-f]{64})?$`)
	var images []string
	for _, service := range readCompose(t).Services {
		if service.Build == nil {
			images = append(images, service.Image)
		}
	}
	for name, pattern := range map[string]string{
		"Dockerfile":       `(?m)^ARG GO_IMAGE=(\S+)`,
		"swift/Dockerfile": `(?m)^FROM (\S+)`,
	} {
		found := regexp.MustCompile(pattern).FindSubmatch(read(t, name))
		if found == nil {
			t.Fatalf("no base in %s", name)
		}
		images = append(images, string(found[1]))
	}
	for _, image := range images {
		if !exact.MatchString(image) {
			t.Errorf("image %q has no exact version", image)
		}
	}
}

func TestOurContainersMayNothing(t *testing.T) {
	t.Parallel()
	services := readCompose(t).Services
	for _, name := range []string{"backup", "restore", "dumper", "nightshard"} {
		s := services[name]
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: read only %t, dropped capabilities %v, security %v", name, s.ReadOnly, s.CapDrop, s.SecurityOpt)
		}
	}
}

// Our images have their health check inside; TestNightOfACluster sees them
// healthy.
func TestEveryForeignServerHasAHealthCheck(t *testing.T) {
	t.Parallel()
	for name, service := range readCompose(t).Services {
		if service.Build == nil && service.Healthcheck == nil {
			t.Errorf("%s has no health check", name)
		}
	}
}

// The servers have no logins, and the README names the ports.
func TestPortsAreOnLoopbackAndInTheReadme(t *testing.T) {
	t.Parallel()
	readme := string(read(t, "README.md"))
	port := regexp.MustCompile(`^127\.0\.0\.1:\$\{([A-Z]+_PORT):-(\d+)\}:\d+$`)
	for name, service := range readCompose(t).Services {
		for _, published := range service.Ports {
			found := port.FindStringSubmatch(published)
			if found == nil {
				t.Errorf("%s: port %q is not on loopback, or cannot be chosen", name, published)
			} else if !strings.Contains(readme, "`"+found[1]+"`") || !strings.Contains(readme, found[2]) {
				t.Errorf("%s: README.md does not name port %s and %s", name, found[2], found[1])
			}
		}
	}
}

// An engine makes an empty folder of a file that is not there.
func TestEveryMountedFileIsThere(t *testing.T) {
	t.Parallel()
	mounts, choice := 0, regexp.MustCompile(`\$\{\w+:-([^}]*)\}`)
	for name, service := range readCompose(t).Services {
		for _, mount := range service.Volumes {
			source, _, _ := strings.Cut(choice.ReplaceAllString(mount, "$1"), ":")
			if !strings.HasPrefix(source, ".") {
				continue
			}
			mounts++
			if _, err := os.Stat(source); err != nil {
				t.Errorf("%s mounts %s: %v", name, source, err)
			}
			if !strings.HasSuffix(mount, ":ro") {
				t.Errorf("%s may write to %s", name, source)
			}
		}
	}
	if mounts == 0 {
		t.Fatal("compose.yaml mounts no file")
	}
}

// Prometheus asks each service at the port of its image.
func TestPrometheusKnowsTheServices(t *testing.T) {
	t.Parallel()
	var config struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	readYAML(t, "prometheus.yml", &config)
	if len(config.ScrapeConfigs) == 0 || len(config.ScrapeConfigs[0].StaticConfigs) == 0 {
		t.Fatalf("prometheus.yml asks nobody: %+v", config)
	}
	targets := config.ScrapeConfigs[0].StaticConfigs[0].Targets
	image := regexp.MustCompile(`(?m)^FROM base AS (\w+)(?:\n.*)*?\nEXPOSE (\d+)`)
	found := image.FindAllSubmatch(read(t, "Dockerfile"), -1)
	if len(found) != 3 {
		t.Fatalf("%d images with a port, want 3", len(found))
	}
	for _, service := range found {
		if at := string(service[1]) + ":" + string(service[2]); !slices.Contains(targets, at) {
			t.Errorf("Prometheus does not ask %s: %v", at, targets)
		}
	}
	mounted(t, "prometheus", "../monitoring/rules.yml", path.Join("/etc/prometheus", config.RuleFiles[0]))
}

// Grafana itself is in no image that can be made here: its files are held
// against each other instead.
func TestGrafanaFindsDashboardAndDataSource(t *testing.T) {
	t.Parallel()
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct{ UID, Type, URL string }
	}
	readYAML(t, "grafana/datasources.yaml", &sources)
	if sources.APIVersion != 1 || len(sources.Datasources) != 1 || sources.Datasources[0].Type != "prometheus" ||
		sources.Datasources[0].URL != "http://prometheus:9090" {
		t.Fatalf("data sources: %+v", sources)
	}
	var dashboards struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	readYAML(t, "grafana/dashboards.yaml", &dashboards)
	if dashboards.APIVersion != 1 || len(dashboards.Providers) != 1 || dashboards.Providers[0].Type != "file" {
		t.Fatalf("dashboards: %+v", dashboards)
	}
	const provisioning = "/etc/grafana/provisioning"
	mounted(t, "grafana", "./grafana/datasources.yaml", provisioning+"/datasources/nightshard.yaml")
	mounted(t, "grafana", "./grafana/dashboards.yaml", provisioning+"/dashboards/nightshard.yaml")
	place := dashboards.Providers[0].Options.Path + "/nightshard.json"
	mounted(t, "grafana", "../monitoring/dashboard.json", place)
	if home := readCompose(t).Services["grafana"].Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]; home != place {
		t.Errorf("Grafana begins with %q, want %q", home, place)
	}
	checkDashboard(t, sources.Datasources[0].UID)
}

// mounted fails unless the service has the file at the place inside.
func mounted(t *testing.T, service, source, place string) {
	t.Helper()
	volumes := readCompose(t).Services[service].Volumes
	if want := source + ":" + place + ":ro"; !slices.Contains(volumes, want) {
		t.Errorf("%s does not mount %s: %v", service, want, volumes)
	}
}

// checkDashboard looks for panels, and for a data source that Grafana would not
// find: each is ours, Grafana's own, or a choice among Prometheus servers.
func checkDashboard(t *testing.T, ours string) {
	t.Helper()
	var board struct {
		UID, Title string
		Panels     []any
		Templating struct {
			List []struct {
				Name, Type string
				Query      any // a text, or more
			}
		}
	}
	text := read(t, "../monitoring/dashboard.json")
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	if board.UID == "" || board.Title == "" || len(board.Panels) == 0 {
		t.Errorf("the dashboard has uid %q, title %q and %d panels", board.UID, board.Title, len(board.Panels))
	}
	known := []string{ours, "-- Grafana --"}
	for _, variable := range board.Templating.List {
		if variable.Type == "datasource" && variable.Query == "prometheus" {
			known = append(known, "$"+variable.Name, "${"+variable.Name+"}")
		}
	}
	var whole any
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	named := dataSources(whole)
	if len(named) == 0 {
		t.Error("the dashboard names no data source")
	}
	for _, uid := range named {
		if !slices.Contains(known, uid) {
			t.Errorf("the dashboard asks data source %q, Grafana has %v", uid, known)
		}
	}
}

// dataSources collects the uid of every data source in a dashboard.
func dataSources(node any) []string {
	var found []string
	switch node := node.(type) {
	case []any:
		for _, each := range node {
			found = append(found, dataSources(each)...)
		}
	case map[string]any:
		for key, value := range node {
			source, isSource := value.(map[string]any)
			if uid, ok := source["uid"].(string); ok && isSource && key == "datasource" {
				found = append(found, uid)
				continue
			}
			found = append(found, dataSources(value)...)
		}
	}
	return found
}
