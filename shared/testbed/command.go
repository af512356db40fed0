package testbed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// commands are the binaries that this test process has built. They belong to
// the process because several tests run the same binary.
var commands commandCache

type commandCache struct {
	mu    sync.Mutex
	built map[string]func() (string, error)
	dir   string   // of this process; removed by the next one that comes by
	lock  *os.File // held while this process lives
}

// Command builds a main package of the module and returns the binary's path.
// pkg is relative to the module's root, such as "./services/backup". Each
// package is built once per test process, with the race detector when the test
// has it, so a race in a service is found by the test that runs it.
func Command(t testing.TB, pkg string) string {
	t.Helper()
	path, err := commands.build(pkg)
	if err != nil {
		t.Fatalf("build %s: %v", pkg, err)
	}
	return path
}

func (c *commandCache) build(pkg string) (string, error) {
	c.mu.Lock()
	if c.built == nil {
		c.built = map[string]func() (string, error){}
	}
	once, ok := c.built[pkg]
	if !ok {
		once = sync.OnceValues(func() (string, error) {
			if commit, pkg, ok := strings.Cut(pkg, ":"); ok {
				return c.compileAt(commit, pkg)
			}
			return c.compile(pkg)
		})
		c.built[pkg] = once
	}
	c.mu.Unlock()
	return once()
}

func (c *commandCache) compile(pkg string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	if err := lookAtSources(root); err != nil {
		return "", err
	}
	dir, err := c.folder()
	if err != nil {
		return "", err
	}
	return compileIn(dir, root, pkg)
}

// compileIn builds a package of the module in root.
func compileIn(dir, root, pkg string) (string, error) {
	// The name of the package alone would meet its namesakes elsewhere.
	sub, err := os.MkdirTemp(dir, "bin-")
	if err != nil {
		return "", fmt.Errorf("make folder for the binary: %w", err)
	}
	binary := filepath.Join(sub, filepath.Base(pkg))
	args := []string{"build", "-buildvcs=false", "-o", binary}
	if raceDetector {
		args = append(args, "-race")
	}
	return binary, runTool(10*time.Minute, root, nil, "go", append(args, pkg)...)
}

// lookAtSources looks at every source of the module. The go command takes the last
// result of a test for its next one while no file has changed that the test looked
// at, and it does not see what go build reads.
func lookAtSources(root string) error {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name := filepath.Base(path); {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "bin"):
			return filepath.SkipDir
		case strings.HasSuffix(name, ".go"):
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("look at the sources: %w", err)
	}
	return nil
}

// folder is the folder of this process. Folders of processes that have ended
// are removed on the way: a test process has no moment of its own to clean up.
func (c *commandCache) folder() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dir != "" {
		return c.dir, nil
	}
	home, err := sharedDir("commands")
	if err != nil {
		return "", err
	}
	all, err := lockFile(filepath.Join(home, "lock"), syscall.LOCK_EX)
	if err != nil {
		return "", err
	}
	defer all.Close()
	removeDeadFolders(home)
	dir, err := os.MkdirTemp(home, strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return "", fmt.Errorf("make folder for commands: %w", err)
	}
	c.lock, err = lockFile(filepath.Join(dir, "lock"), syscall.LOCK_EX)
	if err != nil {
		return "", err
	}
	c.dir = dir
	return dir, nil
}

// removeDeadFolders removes the folders whose lock nobody holds any more.
func removeDeadFolders(home string) {
	locks, _ := filepath.Glob(filepath.Join(home, "*-*", "lock"))
	for _, path := range locks {
		lock, err := lockFile(path, syscall.LOCK_EX|syscall.LOCK_NB)
		if err != nil {
			continue
		}
		_ = os.RemoveAll(filepath.Dir(path))
		_ = lock.Close()
	}
}

// moduleRoot is the folder of go.mod; tests run in their package's folder.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find go.mod: %w", err)
	}
	path := strings.TrimSpace(string(out))
	if path == "" || path == os.DevNull {
		return "", errors.New("find go.mod: not inside a module")
	}
	return filepath.Dir(path), nil
}
