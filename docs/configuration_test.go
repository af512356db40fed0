// Package docs_test holds the pages that are made from the programs against them.
package docs_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nightshard/shared/testbed"
)

var update = flag.Bool("update", false, "write configuration.md anew")

// page is the one that this test makes.
const page = "configuration.md"

// setting is one line of a service's --help.
type setting struct{ name, standard, meaning string }

var helpLine = regexp.MustCompile(`^  ([A-Z][A-Z0-9_]+) {2,}(.+?) {2,}(.+)$`)

// settings are those that a service prints.
func settings(t *testing.T, service string) []setting {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), testbed.Command(t, "./services/"+service), "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []setting
	for line := range strings.SplitSeq(string(out), "\n") {
		if m := helpLine.FindStringSubmatch(line); m != nil {
			found = append(found, setting{m[1], m[2], m[3]})
		}
	}
	if len(found) < 10 {
		t.Fatalf("%s --help shows %d settings:\n%s", service, len(found), out)
	}
	return found
}

// table writes settings as Markdown.
func table(settings []setting) string {
	var b strings.Builder
	b.WriteString("| name | default | meaning |\n| --- | --- | --- |\n")
	for _, s := range settings {
		standard := s.standard
		if standard != "required" && standard != "-" {
			standard = "`" + standard + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.name, standard, strings.ReplaceAll(s.meaning, "|", `\|`))
	}
	return b.String()
}

// The page of the settings is what the services themselves say.
func TestTheSettingsPageIsCurrent(t *testing.T) {
	services := []string{"backup", "restore", "dumper"}
	all := map[string][]setting{}
	for _, s := range services {
		all[s] = settings(t, s)
	}
	common := all[services[0]]
	for _, s := range services[1:] {
		common = slices.DeleteFunc(slices.Clone(common), func(c setting) bool { return !slices.Contains(all[s], c) })
	}
	var b strings.Builder
	b.WriteString(head)
	b.WriteString("\n## All three services\n\n" + table(common))
	for _, s := range services {
		own := slices.DeleteFunc(slices.Clone(all[s]), func(c setting) bool { return slices.Contains(common, c) })
		b.WriteString("\n## " + s + "\n\n" + table(own))
	}
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil || string(have) != b.String() {
		t.Errorf("%s is not what the services say (%v): go test ./docs -update", page, err)
	}
}

const head = `# Configuration

Each service takes its settings from the environment and lists them with ` + "`--help`" + `; this
page is made from that (` + "`go test ./docs -update`" + `). A missing or wrong setting, or a
` + "`NIGHTSHARD_`" + ` name that no service knows, ends the service at once with every problem
listed and exit code 2. Durations are written as ` + "`90s`, `5m`, `1h`" + `. A secret may stand in a
file, named by the setting's name and ` + "`_FILE`" + `.

Swift's settings have the names of the swift client: ` + "`ST_AUTH`, `ST_USER`, `ST_KEY`" + `, or
` + "`OS_AUTH_URL`" + ` and the other ` + "`OS_*`" + ` names. The command ` + "`nightshard`" + ` takes the settings for
NATS and Swift, and ` + "`NIGHTSHARD_DATABASE`, `NIGHTSHARD_TIMEZONE`, `NIGHTSHARD_SUBJECT_PREFIX`" + `.
`
