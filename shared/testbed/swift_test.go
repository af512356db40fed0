package testbed_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nightshard/shared/testbed"
)

// swift runs the plain swift client.
func swift(t *testing.T, a *testbed.SwiftAccount, args ...string) string {
	t.Helper()
	cmd := exec.Command(testbed.SwiftClient(t), args...)
	cmd.Env = append(os.Environ(), a.Environ()...)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("swift %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSwiftStoresAndListsAtOnce(t *testing.T) {
	t.Parallel()
	a := testbed.Swift(t)
	file := writeFile(t, "f", "hello")
	for _, name := range []string{"a/1", "a/2", "b"} {
		swift(t, a, "upload", "2016-06-01", file, "--object-name", name)
	}
	if got := swift(t, a, "list", "2016-06-01"); got != "a/1\na/2\nb\n" {
		t.Errorf("list: %q", got)
	}
	if got := swift(t, a, "download", "2016-06-01", "a/2", "-o", "-"); got != "hello" {
		t.Errorf("download: %q", got)
	}
}

func TestSwiftHasLargeObjectsAndServerSideCopy(t *testing.T) {
	t.Parallel()
	a := testbed.Swift(t)
	file := writeFile(t, "f", strings.Repeat("0123456789", 300))
	swift(t, a, "upload", "c", file, "--object-name", "big", "--use-slo", "-S", "100")
	if got := swift(t, a, "download", "c", "big", "-o", "-"); len(got) != 3000 {
		t.Errorf("download of 30 segments: %d bytes", len(got))
	}
	swift(t, a, "copy", "c", "big", "-d", "/c/copied")
	if got := swift(t, a, "list", "c"); got != "big\ncopied\n" {
		t.Errorf("list: %q", got)
	}
}

func TestEachSwiftAccountIsEmptyAndItsOwn(t *testing.T) {
	t.Parallel()
	a, b := testbed.Swift(t), testbed.Swift(t)
	swift(t, a, "post", "2016-06-01")
	if got := swift(t, b, "list"); got != "" {
		t.Errorf("the other account sees %q", got)
	}
}

func TestSwiftWorksThroughAProxy(t *testing.T) {
	t.Parallel()
	a := testbed.Swift(t)
	p := testbed.TCPProxy(t, a.Addr)
	swift(t, a.Via(p.Addr), "post", "c")
	if got := swift(t, a, "list"); got != "c\n" {
		t.Errorf("list: %q", got)
	}
	if p.Accepted() < 2 {
		t.Errorf("%d connections through the proxy, want login and request", p.Accepted())
	}
}

// tenantVar makes TestSwiftTenant one of two processes: it prints its account
// and stays until its input ends.
const tenantVar = "TESTBED_TEST_TENANT"

func TestSwiftTenant(t *testing.T) {
	if os.Getenv(tenantVar) == "" {
		t.Skip("runs only as a child of other tests")
	}
	a := testbed.Swift(t)
	fmt.Printf("TENANT %s %s\n", a.Addr, a.User)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// tenant is a second test process that uses Swift.
type tenant struct {
	cmd        *exec.Cmd
	addr, user string
}

// startTenant starts it with a Swift of its own, found by the folder tmp.
func startTenant(t *testing.T, tmp string) *tenant {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestSwiftTenant$")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, tenantVar+"=1", "TESTBED_SWIFT_LINGER=1")
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tn := &tenant{cmd: cmd}
	t.Cleanup(tn.crash)
	for scan := bufio.NewScanner(out); scan.Scan(); {
		if _, err := fmt.Sscanf(scan.Text(), "TENANT %s %s", &tn.addr, &tn.user); err == nil {
			return tn
		}
		t.Log(scan.Text())
	}
	t.Fatal("the second process got no Swift")
	return nil
}

// crash ends the process without a chance to clean up.
func (tn *tenant) crash() {
	_ = tn.cmd.Process.Kill()
	_ = tn.cmd.Wait()
}

func answers(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

func instances(t *testing.T, tmp string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(tmp, "nightshard-testbed-*", "swift", "instance-*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// supervisors finds the processes that hold the lock of the living instance.
func supervisors(t *testing.T, tmp string) []int {
	t.Helper()
	var pids []int
	paths, _ := filepath.Glob("/proc/[0-9]*/fd/3")
	for _, path := range paths {
		if file, err := os.Readlink(path); err == nil && strings.HasPrefix(file, tmp) && filepath.Base(file) == "alive" {
			pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestSwiftIsSharedByProcessesAndGoneAfterTheLastOneCrashed(t *testing.T) {
	t.Parallel()
	testbed.Swift(t) // skips where there is none
	tmp := t.TempDir()
	first := startTenant(t, tmp)
	second := startTenant(t, tmp)
	if first.addr != second.addr || first.user == second.user {
		t.Errorf("got %s at %s and %s at %s", first.user, first.addr, second.user, second.addr)
	}
	first.crash()
	time.Sleep(2 * time.Second) // longer than an unused Swift stays
	if !answers(second.addr) {
		t.Fatal("Swift went away under the second process")
	}
	second.crash()
	testbed.Eventually(t, 20*time.Second, "the last user's Swift to go", func() bool {
		return len(instances(t, tmp)) == 0 && !answers(second.addr) && len(supervisors(t, tmp)) == 0
	})
}

func TestNextProcessStartsAnewAfterTheSwiftCrashed(t *testing.T) {
	t.Parallel()
	testbed.Swift(t)
	tmp := t.TempDir()
	first := startTenant(t, tmp)
	pids := supervisors(t, tmp)
	if len(pids) != 1 {
		t.Fatalf("supervisors: %v, want one", pids)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, 10*time.Second, "the servers to die with it", func() bool { return !answers(first.addr) })
	second := startTenant(t, tmp)
	if second.addr == first.addr || !answers(second.addr) {
		t.Errorf("second Swift at %s, first was at %s", second.addr, first.addr)
	}
	if found := instances(t, tmp); len(found) != 1 {
		t.Errorf("left behind: %v", found)
	}
	first.crash()
	second.crash()
	testbed.Eventually(t, 20*time.Second, "Swift to go", func() bool { return len(instances(t, tmp)) == 0 })
}
