package service

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// fileSuffix makes the name of a secret's file of the secret's name.
const fileSuffix = "_FILE"

// maxSecret bounds a secret's file, in bytes.
const maxSecret = 64 << 10

// secrets are the settings that must not be read by everybody who may look at a
// process's environment. Each may be given as a file: its name with _FILE.
func secrets() []string {
	return []string{
		"NATS_PASSWORD", "NATS_TOKEN",
		"NIGHTSHARD_HEARTBEAT_URL", "NIGHTSHARD_INTERMEDIARY_PASSWORD", "NIGHTSHARD_PRODUCTION_PASSWORD", "NIGHTSHARD_WEBHOOK_URL",
		"OS_APPLICATION_CREDENTIAL_SECRET", "OS_PASSWORD", "ST_KEY",
	}
}

// Secrets gives the environment with each secret in it whose file is named. A
// line break at the file's end is not part of it. An empty one among systemd's
// credentials is no secret: a unit has to name each that there may be, with
// something to stand for those that are missing. problems say what is wrong.
func Secrets(env map[string]string) (resolved map[string]string, problems []string) {
	resolved = maps.Clone(env)
	for _, name := range secrets() {
		file := env[name+fileSuffix]
		switch {
		case file == "":
			continue
		case env[name] != "" && !credential(env, file):
			problems = append(problems, fmt.Sprintf("%s and %s%s are both set: unset one of them", name, name, fileSuffix))
			continue
		}
		text, err := secret(file)
		switch {
		case errors.Is(err, errEmptySecret) && credential(env, file):
		case err != nil:
			problems = append(problems, fmt.Sprintf("%s%s is %q: %v; want a file that holds the secret", name, fileSuffix, file, err))
		case env[name] != "":
			problems = append(problems, fmt.Sprintf("%s and the credential %s are both given: remove one of them", name, filepath.Base(file)))
		default:
			resolved[name] = text
		}
	}
	return resolved, problems
}

var errEmptySecret = errors.New("it is empty")

// credential says that a file is one of those that systemd has laid out for this
// service.
func credential(env map[string]string, file string) bool {
	dir := env["CREDENTIALS_DIRECTORY"]
	return dir != "" && filepath.Dir(file) == filepath.Clean(dir)
}

// secret reads a file. Its content is never part of an error.
func secret(file string) (string, error) {
	f, err := os.Open(file) //nolint:gosec // the operator's own setting
	if err != nil {
		return "", reason(err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case err != nil:
		return "", reason(err)
	case len(data) > maxSecret:
		return "", fmt.Errorf("it has more than %d bytes", maxSecret)
	case text == "":
		return "", errEmptySecret
	case strings.ContainsAny(text, "\r\n"):
		return "", fmt.Errorf("it has more than one line")
	}
	return text, nil
}

// isSecret says that a setting may be given as a file.
func isSecret(name string) bool { return slices.Contains(secrets(), name) }
