package compose_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nightshard/shared/service"
)

// The settings file is what operators of containers read: it lags behind the
// services for no setting, and has none that would stop them.
func TestSettingsFileHasEverySettingAndNoOther(t *testing.T) {
	t.Parallel()
	listed := settingsIn(t, "settings.env", `(?m)^#?([A-Z][A-Z_]+)=`)
	for _, name := range listed {
		if strings.HasPrefix(name, "NIGHTSHARD_") && !service.Known(name) {
			t.Errorf("%s is in settings.env, but no service knows it", name)
		}
	}
	// The image and the profile set these.
	elsewhere := []string{"NATS_URL", "NATS_USER", "NATS_PASSWORD", "NIGHTSHARD_LISTEN", "NIGHTSHARD_STREAM_REPLICAS"}
	for _, name := range settingsOfServices(t) {
		if !slices.Contains(listed, name) && !slices.Contains(listed, name+"_FILE") && !slices.Contains(elsewhere, name) {
			t.Errorf("%s is not in settings.env", name)
		}
	}
}

// A value in the settings file is seen by everyone who may inspect a container.
func TestSecretsAreFiles(t *testing.T) {
	t.Parallel()
	secret := regexp.MustCompile(`(PASSWORD|SECRET|TOKEN|ST_KEY)$`)
	for _, name := range settingsIn(t, "settings.env", `(?m)^#?([A-Z][A-Z_]+)=`) {
		if secret.MatchString(name) {
			t.Errorf("%s holds a secret: name the file instead, with %s_FILE", name, name)
		}
	}
}

// settingsOfServices reads the names from the sources of the settings structs.
func settingsOfServices(t *testing.T) []string {
	t.Helper()
	sources, err := filepath.Glob("../../services/*/config.go")
	if err != nil || len(sources) != 3 {
		t.Fatalf("settings of %d services: %v", len(sources), err)
	}
	var names []string
	for _, source := range append(sources, "../../shared/service/config.go") {
		names = append(names, settingsIn(t, source, `envconfig:"([A-Z_]+)"`)...)
	}
	return names
}

func settingsIn(t *testing.T, file, pattern string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
		names = append(names, found[1])
	}
	if len(names) == 0 {
		t.Fatalf("no setting in %s", file)
	}
	return names
}
