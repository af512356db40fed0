package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nightshard/shared/service"
)

// names are the services, and whom each logs in to.
func names() map[string]string {
	return map[string]string{"backup": "production", "restore": "intermediary", "dumper": "intermediary"}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func found(t *testing.T, text, pattern string) []string {
	t.Helper()
	var all []string
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all = append(all, match[1])
	}
	if len(all) == 0 {
		t.Fatalf("nothing like %s", pattern)
	}
	return all
}

// What protects one service protects them all: whoever tightens one unit
// tightens the others.
func TestUnitsDifferOnlyInWhatIsTheirOwn(t *testing.T) {
	t.Parallel()
	common := func(name string) []string {
		var lines []string
		for line := range strings.Lines(read(t, "nightshard-"+name+".service")) {
			line = strings.ReplaceAll(strings.TrimSpace(line), name, "NAME")
			line = strings.ReplaceAll(line, names()[name], "PEER")
			line = strings.ReplaceAll(line, strings.ToUpper(names()[name]), "PEER")
			own := strings.HasPrefix(line, "#") || strings.HasPrefix(line, "Description=") ||
				strings.Contains(line, "heartbeat_url") || strings.HasPrefix(line, "CacheDirectory=") || strings.HasPrefix(line, "Environment=NIGHTSHARD_SPOOL_DIR=")
			if line != "" && !own {
				lines = append(lines, line)
			}
		}
		return lines
	}
	want := common("backup")
	for name := range names() {
		if got := common(name); !slices.Equal(got, want) {
			t.Errorf("%s differs from backup:\n%s\nand\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// Each setting that a service reads has its place in the files that its unit
// reads, and each secret is a credential.
func TestSettingsFilesHaveEverySettingAndNoOther(t *testing.T) {
	t.Parallel()
	const setting = `(?m)^#([A-Z][A-Z_]+)=`
	secrets := found(t, read(t, "../../shared/service/secrets.go"), `"((?:NATS|NIGHTSHARD|OS|ST)_[A-Z_]+)"`)
	shared := found(t, read(t, "nightshard.env"), setting)
	// Files of certificates and keys, which a drop-in names: see the README.
	elsewhere := []string{"NATS_CREDS", "NATS_NKEY", "NATS_CA", "NATS_CERT", "NATS_KEY"}
	for name := range names() {
		listed := slices.Concat(shared, found(t, read(t, name+".env"), setting))
		for _, s := range listed {
			if strings.HasPrefix(s, "NIGHTSHARD_") && !service.Known(s) || slices.Contains(secrets, s) {
				t.Errorf("%s is in the settings files of %s, where it does not belong", s, name)
			}
		}
		unit := read(t, "nightshard-"+name+".service")
		const structs = `envconfig:"([A-Z_]+)"`
		for _, s := range slices.Concat(found(t, read(t, "../../services/"+name+"/config.go"), structs), found(t, read(t, "../../shared/service/config.go"), structs)) {
			switch {
			case slices.Contains(secrets, s):
				if !strings.Contains(unit, "Environment="+s+"_FILE=%d/") {
					t.Errorf("%s of %s is no credential of its unit", s, name)
				}
			case !slices.Contains(listed, s) && !slices.Contains(elsewhere, s):
				t.Errorf("%s is in no settings file of %s", s, name)
			}
		}
	}
}

// A credential that is not there has something to stand for it, or the unit
// would not start.
func TestEveryCredentialMayBeMissing(t *testing.T) {
	t.Parallel()
	for name := range names() {
		unit := read(t, "nightshard-"+name+".service")
		for _, id := range found(t, unit, `(?m)^Environment=[A-Z_]+_FILE=%d/(.*)$`) {
			if !strings.Contains(unit, "\nSetCredential="+id+`:\n`+"\n") ||
				!strings.Contains(unit, "\nLoadCredential="+id+":/etc/nightshard/secrets/"+id+"\n") {
				t.Errorf("credential %s of %s is not loaded, or may not be missing", id, name)
			}
		}
	}
}

// exposure is the most that systemd may find exposed, in tenths: 1.2 is what a
// service has that needs the network and shows the time of its start.
const exposure = "12"

func TestSystemdFindsNoFaultAndLittleExposure(t *testing.T) {
	t.Parallel()
	analyze := systemdAnalyze(t)
	for name := range names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The program is not installed here.
			text := strings.Replace(read(t, "nightshard-"+name+".service"), "/usr/lib/nightshard/"+name, "/bin/true", 1)
			file := filepath.Join(t.TempDir(), "nightshard-"+name+".service")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{
				{"verify", "--man=no", "--recursive-errors=one", file},
				{"security", "--offline=yes", "--no-pager", "--threshold=" + exposure, file},
			} {
				out, err := exec.CommandContext(t.Context(), analyze, args...).CombinedOutput()
				if err != nil || strings.Contains(string(out), file+":") {
					t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
				}
			}
		})
	}
}

func systemdAnalyze(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("systemd-analyze")
	switch {
	case err != nil && os.Getenv("TESTBED_REQUIRED") == "1":
		t.Fatalf("systemd is not available, and TESTBED_REQUIRED=1: %v; install the Debian package systemd", err)
	case err != nil:
		t.Skipf("not run: systemd is not available: %v", err)
	}
	return path
}
