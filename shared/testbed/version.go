package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CommandAt is [Command] with the sources of an earlier commit of this
// repository. Where the checkout has no such history, as a shallow clone, the
// test is skipped, or fails if TESTBED_REQUIRED=1 is set.
func CommandAt(t testing.TB, commit, pkg string) string {
	t.Helper()
	path, err := commands.build(commit + ":" + pkg)
	switch {
	case errors.Is(err, errNoHistory):
		unavailable(t, "the version of commit "+commit, err)
	case err != nil:
		t.Fatalf("build %s of commit %s: %v", pkg, commit, err)
	}
	return path
}

// errNoHistory says that the checkout does not have a commit.
var errNoHistory = errors.New("the checkout does not have it; clone with its history (git fetch --unshallow)")

// compileAt builds a package from the sources of a commit.
func (c *commandCache) compileAt(commit, pkg string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir, err := c.folder()
	if err != nil {
		return "", err
	}
	sources, err := os.MkdirTemp(dir, "src-")
	if err != nil {
		return "", fmt.Errorf("make folder for the sources: %w", err)
	}
	defer os.RemoveAll(sources)
	archive := filepath.Join(sources, "sources.tar")
	// The checkout may belong to another user, which git refuses by itself.
	err = runTool(time.Minute, root, nil, "git", "-c", "safe.directory=*", "archive", "-o", archive, commit)
	if err == nil {
		err = runTool(time.Minute, sources, nil, "tar", "-xf", archive)
	}
	if err != nil {
		return "", fmt.Errorf("get the sources of %s: %w: %w", commit, errNoHistory, err)
	}
	return compileIn(dir, sources, pkg)
}
