package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// cacheDir is the folder of ours below the user's cache. The built influxd stays
// there, the programs of a run only as long as it runs: unlike the folder for
// temporary files, nobody mounts it so that programs cannot run.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache folder: %w: set HOME", err)
	}
	dir := filepath.Join(base, "nightshard")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("make cache folder: %w", err)
	}
	return dir, nil
}

// folder holds what one run writes. Its lock says that the run is alive.
type folder struct {
	path string
	lock *os.File
}

const folderPrefix = "nightshard-local-"

// newFolder makes a folder of this run in parent, the folder for temporary
// files when that is empty, and removes what killed runs have left beside it.
func newFolder(parent string) (*folder, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	sweep(parent)
	path, err := os.MkdirTemp(parent, folderPrefix)
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	f := &folder{path: path}
	if f.lock, err = flock(filepath.Join(path, "LOCK")); err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return f, nil
}

// sub makes a folder inside.
func (f *folder) sub(name string) (string, error) {
	dir := filepath.Join(f.path, name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}
	return dir, nil
}

// remove deletes the folder with all that is in it.
func (f *folder) remove() error {
	defer func() { _ = f.lock.Close() }()
	if err := os.RemoveAll(f.path); err != nil {
		return fmt.Errorf("remove folder: %w", err)
	}
	return nil
}

// sweep removes the folders of runs that were killed: nobody holds their lock.
// A young folder is left alone, its run may not have locked it yet.
func sweep(parent string) {
	left, err := filepath.Glob(filepath.Join(parent, folderPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range left {
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		lock, err := flock(filepath.Join(dir, "LOCK"))
		if err != nil {
			continue
		}
		_ = os.RemoveAll(dir)
		_ = lock.Close()
	}
}

// flock opens a file and locks it, at once or not at all: EWOULDBLOCK. The lock
// ends with Close, and with the process.
func flock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // a path of ours
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// Room that the work needs, in bytes.
const (
	roomForData     = 500 << 20  // the sample data twice, the events
	roomForPrograms = 200 << 20  // four of them
	roomToBuild     = 1500 << 20 // Go's caches of influxd's modules and packages
)

// needRoom makes sure that the disk has room before anything fails half-way.
func needRoom(dir string, need uint64, what, setting string) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("ask for the free space of %s: %w", dir, err)
	}
	free := fs.Bavail * uint64(fs.Bsize) //nolint:gosec,unconvert // a block size is positive, its type differs by system
	if free < need {
		return fmt.Errorf("look for room in %s: %s free, %s needs %s; free some, or set %s to a folder on a larger disk",
			dir, size(int64(free)), what, size(int64(need)), setting) //nolint:gosec // disks are smaller than 2^63
	}
	return nil
}

// Ports for servers lie below 32768, where Linux begins to take ports for
// outgoing connections.
const (
	firstPort = 11000
	lastPort  = 20999
)

// freePort is the preferred loopback port if it is free, else another one.
func freePort(preferred int) (int, error) {
	if preferred > 0 && portIsFree(preferred) {
		return preferred, nil
	}
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort+1) //nolint:gosec // any port will do
		if portIsFree(port) {
			return port, nil
		}
	}
	return 0, errors.New("find a free port: 200 tries were not enough")
}

func portIsFree(port int) bool {
	l, err := net.Listen("tcp", loopback(port)) //nolint:noctx // it does not wait
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
