package testbed

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Sesame is the password that tests of messages give to whatever takes a secret.
// No message may hold it.
const Sesame = "sesame"

// Message fails the test unless an operator can act on the text: it is one line
// that holds each of parts (the input, the reason and what to do), no secret, and
// nothing that only a programmer knows.
func Message(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
	if strings.TrimSpace(text) == "" || strings.Contains(text, "\n") {
		t.Errorf("%q is not one line", text)
	}
	if strings.Contains(text, Sesame) {
		t.Errorf("%q tells a secret", text)
	}
	if noise := regexp.MustCompile(`\b0x[0-9a-f]+|%!|&?\{\w+:|strconv\.|time\.Duration|\bint64\b|\bmain\.|<nil>|goroutine|\*\w+\.\w+`).FindString(text); noise != "" {
		t.Errorf("%q has a programmer's %q in it", text, noise)
	}
}

// ClearSettings takes the settings of whoever runs the tests out of the environment
// for the time of a test, which cannot be parallel.
func ClearSettings(t *testing.T) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "NIGHTSHARD_") || strings.HasPrefix(name, "NATS_") {
			t.Setenv(name, "")
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}
