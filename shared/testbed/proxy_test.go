package testbed_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"nightshard/shared/testbed"
)

// echo is a target that sends back what it gets and then ends.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}()
	return l.Addr().String()
}

// exchange sends body through the proxy, half-closes, and reads all there is.
func exchange(t *testing.T, p *testbed.Proxy, body []byte) ([]byte, error) {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		_, _ = c.Write(body)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	return io.ReadAll(c)
}

func always(faults ...testbed.Fault) func(int) []testbed.Fault {
	return func(int) []testbed.Fault { return faults }
}

func TestProxyWithoutFaultsChangesNothing(t *testing.T) {
	t.Parallel()
	p := testbed.TCPProxy(t, echo(t))
	body := bytes.Repeat([]byte("0123456789"), 100_000)
	got, err := exchange(t, p, body)
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("got %d bytes, %v; want the same %d", len(got), err, len(body))
	}
	if p.Accepted() != 1 {
		t.Errorf("accepted: %d", p.Accepted())
	}
	if n := int64(len(body)); string(p.Passed(1).Head) != "0123456789012345" || p.Passed(1).FromClient != n || p.Passed(1).FromServer != n {
		t.Errorf("%d bytes each way passed as %+v", n, p.Passed(1))
	}
}

func TestProxyCutsAfterExactlySoManyBytes(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("0123456789"), 100_000)
	for _, dir := range []testbed.Direction{testbed.FromServer, testbed.FromClient} {
		p := testbed.TCPProxy(t, echo(t))
		p.OnConn(always(testbed.Fault{Direction: dir, After: 12_345, Action: testbed.Cut}))
		got, err := exchange(t, p, body)
		if err != nil {
			t.Errorf("direction %d: a cut is a clean end, got %v", dir, err)
		}
		if dir == testbed.FromServer && len(got) != 12_345 || len(got) > 12_345 {
			t.Errorf("direction %d: %d bytes came through", dir, len(got))
		}
	}
}

func TestProxyResetIsAnErrorForTheClient(t *testing.T) {
	t.Parallel()
	p := testbed.TCPProxy(t, echo(t))
	p.OnConn(always(testbed.Fault{After: 5, Action: testbed.Reset}))
	_, err := exchange(t, p, []byte("0123456789"))
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestProxyFlipsOneBitOfEachChosenByte(t *testing.T) {
	t.Parallel()
	p := testbed.TCPProxy(t, echo(t))
	p.OnConn(always(
		testbed.Fault{After: 2, Action: testbed.Flip},
		testbed.Fault{After: 4, Action: testbed.Flip},
		testbed.Fault{Direction: testbed.FromClient, After: 9, Action: testbed.Flip},
	))
	got, err := exchange(t, p, []byte("0000000000"))
	if err != nil || string(got) != "0010100001" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestProxyStallEndsWithItsTimeOrWithRelease(t *testing.T) {
	t.Parallel()
	p := testbed.TCPProxy(t, echo(t))
	p.OnConn(always(testbed.Fault{After: 3, Action: testbed.Stall, For: 200 * time.Millisecond}))
	begin := time.Now()
	got, err := exchange(t, p, []byte("0123456789"))
	if err != nil || len(got) != 10 || time.Since(begin) < 200*time.Millisecond {
		t.Errorf("timed: %q, %v after %s", got, err, time.Since(begin))
	}
	p.OnConn(always(testbed.Fault{After: 3, Action: testbed.Stall}))
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte("0123456789"))
	buf := make([]byte, 10)
	_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	n, err := io.ReadFull(c, buf)
	if n != 3 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("stalled: read %d, %v; want 3 and silence", n, err)
	}
	p.Release()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(c, buf[n:]); err != nil || string(buf) != "0123456789" {
		t.Errorf("after Release: %q, %v", buf, err)
	}
}

func TestProxyFaultsConnectionsOneByOneAndMovesToAnotherTarget(t *testing.T) {
	t.Parallel()
	p := testbed.TCPProxy(t, "127.0.0.1:1") // nobody listens there
	p.OnConn(func(conn int) []testbed.Fault {
		if conn == 2 {
			return []testbed.Fault{{Action: testbed.Cut}}
		}
		return nil
	})
	if got, _ := exchange(t, p, []byte("x")); len(got) != 0 {
		t.Errorf("from a dead target: %q", got)
	}
	p.Retarget(echo(t))
	if got, _ := exchange(t, p, []byte("x")); string(got) != "" {
		t.Errorf("second connection: %q, want nothing", got)
	}
	if got, err := exchange(t, p, []byte("x")); string(got) != "x" {
		t.Errorf("third connection: %q, %v", got, err)
	}
}

func TestProxyBreakAllResetsWhatIsOpen(t *testing.T) {
	t.Parallel()
	p := testbed.TCPProxy(t, echo(t))
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 1)
	_, _ = c.Write([]byte("x"))
	if _, err := io.ReadFull(c, buf); err != nil {
		t.Fatal(err)
	}
	p.BreakAll()
	if _, err := c.Read(buf); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestHeldProxyPassesNothingUntilReleased(t *testing.T) {
	t.Parallel()
	p := testbed.TCPProxy(t, echo(t))
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, text := range []string{"before", "after"} {
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		got := make([]byte, len(text))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
			t.Fatalf("%q, %v", got, err)
		}
		if text == "after" {
			return
		}
		p.Hold()
		if _, err := c.Write([]byte("held")); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Error("a held connection passed something")
		}
		p.Release()
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
	}
}
