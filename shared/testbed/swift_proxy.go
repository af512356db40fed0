package testbed

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// SwiftHTTPS returns an account of the machine's Swift whose proxy server says
// that its address is https: it stands behind what ends TLS (see NewTLSProxy),
// to which Env is to be directed with Behind. It ends with the test.
func SwiftHTTPS(t testing.TB) *SwiftAccount {
	t.Helper()
	account := Swift(t)
	tenant, _, _ := strings.Cut(account.User, ":")
	auth := fmt.Sprintf("storage_url_scheme = https\nuser_%s_tester = %s .admin\n", tenant, account.Key)
	return account.Via(swiftProxy(t, "tempauth", auth))
}

// Behind returns the account as it is reached through what ends TLS at addr
// (host:port).
func (a *SwiftAccount) Behind(addr string) *SwiftAccount {
	behind := a.Via(addr)
	behind.AuthURL = strings.Replace(behind.AuthURL, "http://", "https://", 1)
	behind.Env["ST_AUTH"] = behind.AuthURL
	return behind
}

// swiftProxy starts one more proxy server before the machine's Swift, with other
// ways to log in: auth replaces tempauth in its pipeline, filter in its section.
// It gives its host:port.
func swiftProxy(t testing.TB, auth, filter string) string {
	t.Helper()
	if err := swiftInstalled(); err != nil {
		unavailable(t, "OpenStack Swift", err)
	}
	lease, err := sharedSwift()
	if err != nil {
		t.Fatalf("get Swift: %v", err)
	}
	dir, port := t.TempDir(), FreePort(t)
	conf := fmt.Sprintf(proxyConf, strconv.Itoa(port), userName(), lease.Dir, lease.Ports["memcached"])
	conf = strings.Replace(conf, " tempauth ", " "+auth+" ", 1) + filter
	file := filepath.Join(dir, "proxy.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatalf("write configuration of Swift: %v", err)
	}
	log := filepath.Join(dir, "proxy.log")
	proc, err := startProcess(log, nil, "swift-proxy-server", file, "-v")
	if err != nil {
		t.Fatalf("start Swift's proxy: %v", err)
	}
	t.Cleanup(func() {
		proc.kill()
		logOnFailure(t, "Swift's proxy", log)
	})
	health := lease.swiftState
	health.Ports = swiftPorts{"proxy": strconv.Itoa(port)}
	for _, server := range []string{"account", "container", "object"} {
		health.Ports[server] = lease.Ports[server]
	}
	err = poll(2*time.Minute, func() error {
		if !proc.alive() {
			return finalError{fmt.Errorf("it ended: %w", proc.err)}
		}
		return swiftHealthy(health)
	})
	if err != nil {
		logOnFailure(t, "Swift's proxy", log)
		t.Fatalf("start Swift's proxy: %v", err)
	}
	return loopback(port)
}
