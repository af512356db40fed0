package service_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshard/shared/service"
)

func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestASecretMayBeAFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ content, want string }{
		{"word", "word"}, {"word\n", "word"}, {"word\r\n", "word"}, {" with spaces \n", " with spaces "},
	} {
		env := map[string]string{"ST_KEY_FILE": secretFile(t, c.content), "OTHER": "x"}
		got, problems := service.Secrets(env)
		if got["ST_KEY"] != c.want || got["OTHER"] != "x" || len(problems) > 0 {
			t.Errorf("%q gives %v, %q", c.content, got, problems)
		}
		if _, changed := env["ST_KEY"]; changed {
			t.Error("the environment that was given is changed")
		}
	}
}

func TestASecretsFileThatCannotBeUsedIsNamed(t *testing.T) {
	t.Parallel()
	for want, env := range map[string]map[string]string{
		"NATS_TOKEN and NATS_TOKEN_FILE are both set": {"NATS_TOKEN": "a", "NATS_TOKEN_FILE": secretFile(t, "b")},
		"no such file":       {"OS_PASSWORD_FILE": "/nowhere/at/all"},
		"is empty":           {"OS_PASSWORD_FILE": secretFile(t, "\n")},
		"more than one line": {"OS_PASSWORD_FILE": secretFile(t, "hush\nhush\n")},
		"more than 65536":    {"OS_PASSWORD_FILE": secretFile(t, strings.Repeat("hush", 20_000))},
		"is a directory":     {"OS_PASSWORD_FILE": t.TempDir()},
	} {
		_, problems := service.Secrets(env)
		text := strings.Join(problems, "\n")
		if len(problems) != 1 || !strings.Contains(text, want) || !strings.Contains(text, "_FILE") || strings.Contains(text, "hush") {
			t.Errorf("want %s, got %q", want, problems)
		}
	}
}

func TestSettingsAreReadFromSecretsFiles(t *testing.T) {
	clean(t)
	t.Setenv("NIGHTSHARD_DATABASE", "db")
	t.Setenv("NATS_PASSWORD_FILE", secretFile(t, "hush\n"))
	var s settings
	if err := service.Load(&s); err != nil || s.Password != "hush" {
		t.Errorf("password %q, %v", s.Password, err)
	}
	t.Setenv("NATS_PASSWORD", "other")
	if err := service.Load(&settings{}); err == nil || !strings.Contains(err.Error(), "both set") {
		t.Errorf("two passwords: %v", err)
	}
}

// The unit has an empty line stand for each credential that nobody gave.
func TestACredentialThatNobodyGaveIsNoSecret(t *testing.T) {
	t.Parallel()
	file := secretFile(t, "\n")
	env := map[string]string{"CREDENTIALS_DIRECTORY": filepath.Dir(file), "ST_KEY_FILE": file, "ST_KEY": "typed"}
	if got, problems := service.Secrets(env); got["ST_KEY"] != "typed" || len(problems) > 0 {
		t.Errorf("gives %v, %q", got, problems)
	}
	given := secretFile(t, "word")
	for what, env := range map[string]map[string]string{
		"elsewhere":   {"CREDENTIALS_DIRECTORY": t.TempDir(), "ST_KEY_FILE": file},
		"both":        {"CREDENTIALS_DIRECTORY": filepath.Dir(given), "ST_KEY_FILE": given, "ST_KEY": "typed"},
		"missing":     {"CREDENTIALS_DIRECTORY": filepath.Dir(file), "ST_KEY_FILE": filepath.Join(filepath.Dir(file), "other")},
		"not systemd": {"ST_KEY_FILE": file},
	} {
		if _, problems := service.Secrets(env); len(problems) != 1 {
			t.Errorf("%s: %q", what, problems)
		}
	}
}
