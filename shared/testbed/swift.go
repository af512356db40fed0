package testbed

import (
	"fmt"
	"net"
	"os/exec"
	"testing"
	"time"
)

// SwiftAccount is an empty account of a real Swift.
type SwiftAccount struct {
	// Env holds ST_AUTH, ST_USER and ST_KEY, as the plain swift client and the
	// services read them.
	Env map[string]string
	// AuthURL, User and Key are the same values. Swift derives the address of
	// the storage from the address that the login was sent to, so a client
	// that logs in through a proxy (see TCPProxy) also works through it.
	AuthURL, User, Key string
	// Addr is the host:port of Swift's proxy server.
	Addr string
}

// Swift returns an account of its own for this test on a Swift that all test
// processes of the machine share. The first one starts it (about 4 s); it
// stops by itself when no process has used it for 30 s.
func Swift(t testing.TB) *SwiftAccount {
	t.Helper()
	if err := swiftInstalled(); err != nil {
		unavailable(t, "OpenStack Swift", err)
	}
	lease, err := sharedSwift()
	if err != nil {
		t.Fatalf("get Swift: %v", err)
	}
	account, err := lease.account()
	if err != nil {
		t.Fatalf("get a Swift account: %v", err)
	}
	return account
}

// SwiftClient returns the path of the plain `swift` client.
func SwiftClient(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("swift")
	if err != nil {
		unavailable(t, "the swift client", err)
	}
	return path
}

// Environ returns Env as KEY=VALUE, for a command.
func (a *SwiftAccount) Environ() []string {
	env := make([]string, 0, len(a.Env))
	for key, value := range a.Env {
		env = append(env, key+"="+value)
	}
	return env
}

// Via returns the same account behind another host:port, such as a proxy that
// injects faults.
func (a *SwiftAccount) Via(addr string) *SwiftAccount {
	return newSwiftAccount(addr, a.User, a.Key)
}

func newSwiftAccount(addr, user, key string) *SwiftAccount {
	auth := "http://" + addr + "/auth/v1.0"
	return &SwiftAccount{
		Env:     map[string]string{"ST_AUTH": auth, "ST_USER": user, "ST_KEY": key},
		AuthURL: auth, User: user, Key: key, Addr: addr,
	}
}

// OpenSwift is Swift without a test: for a demo or by hand. The instance stays
// as long as this process lives.
func OpenSwift() (*SwiftAccount, error) {
	if err := swiftInstalled(); err != nil {
		return nil, err
	}
	lease, err := sharedSwift()
	if err != nil {
		return nil, err
	}
	return lease.account()
}

func (l *swiftLease) account() (*SwiftAccount, error) {
	name, err := l.nextAccount()
	if err != nil {
		return nil, err
	}
	return newSwiftAccount("127.0.0.1:"+l.Ports["proxy"], name+":tester", swiftKey), nil
}

// swiftInstalled names the first program that is missing.
func swiftInstalled() error {
	for _, program := range []string{
		"swift-proxy-server", "swift-account-server", "swift-container-server",
		"swift-object-server", "memcached",
	} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("find Debian's Swift: %w", err)
		}
	}
	return nil
}

func dialLoopback(port string) (net.Conn, error) {
	return net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", port), 2*time.Second)
}
