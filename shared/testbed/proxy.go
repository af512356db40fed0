package testbed

import (
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// Direction is the way that bytes take through a proxy.
type Direction int

const (
	// FromServer is the way from the target to the client: answers.
	FromServer Direction = iota
	// FromClient is the way from the client to the target: requests.
	FromClient
)

// Action is what a fault does when its byte is reached.
type Action int

const (
	// Cut ends both connections in good order (FIN), as a server does that is
	// killed: the reader sees an early but clean end.
	Cut Action = iota
	// Reset ends both connections with RST: "connection reset by peer".
	Reset
	// Stall passes nothing more in this direction, for Fault.For, or until the
	// proxy's Release or the end of the test.
	Stall
	// Flip changes the lowest bit of the byte and goes on.
	Flip
	// Call calls Fault.Do and goes on: something happens to the server.
	Call
)

// Fault is one thing that goes wrong on one connection.
type Fault struct {
	Direction Direction
	// After is how many bytes of this direction pass before the fault, counted
	// from the beginning of the connection.
	After int64
	// Action is what happens then.
	Action Action
	// For limits a Stall; zero is without end.
	For time.Duration
	// Do is what Call calls.
	Do func()
}

// Proxy passes TCP connections on to a target and breaks them on demand. It
// ends with the test.
type Proxy struct {
	// Addr is the host:port that clients connect to.
	Addr string

	listener net.Listener
	mu       sync.Mutex
	target   string
	plan     func(conn int) []Fault
	accepted int
	passed   []*Passed // of each connection
	open     map[*proxyConn]struct{}
	release  chan struct{} // closed to end all stalls so far
	held     bool          // nothing passes until then
	closed   bool
}

// TCPProxy starts a proxy in front of target (host:port). Without a plan it
// passes everything on unchanged.
func TCPProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener := listen(t)
	p := &Proxy{
		Addr: listener.Addr().String(), listener: listener, target: target,
		open: map[*proxyConn]struct{}{}, release: make(chan struct{}),
	}
	done := make(chan struct{})
	go func() { p.serve(); close(done) }()
	t.Cleanup(func() { p.close(); <-done })
	return p
}

// OnConn sets what goes wrong on the connections accepted from now on: plan is
// called with their number, 1 for the first one since the proxy started. Faults
// of one direction are worked off in the order given; nil is none.
func (p *Proxy) OnConn(plan func(conn int) []Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
}

// Retarget sends the connections accepted from now on to another target.
func (p *Proxy) Retarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Accepted is the number of connections so far.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Passed is what a connection has carried so far.
type Passed struct {
	// Head are the first bytes from the client, at most 16.
	Head []byte
	// FromClient and FromServer are how many bytes came.
	FromClient, FromServer int64
}

// Passed says what the connection with this number has carried so far, 1 for
// the first one since the proxy started.
func (p *Proxy) Passed(conn int) Passed {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *p.passed[conn-1]
}

// note counts what a connection carries.
func (p *Proxy) note(to *Passed, dir Direction, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if dir == FromServer {
		to.FromServer += int64(len(b))
		return
	}
	to.FromClient += int64(len(b))
	if room := 16 - len(to.Head); room > 0 {
		to.Head = append(slices.Clip(to.Head), b[:min(room, len(b))]...)
	}
}

// BreakAll resets all connections that are open now.
func (p *Proxy) BreakAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.reset()
	}
}

// Hold stalls every connection in both directions, the open ones and new ones,
// until Release.
func (p *Proxy) Hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = true
}

// holdGate is the channel that ends the present hold, nil when there is none.
func (p *Proxy) holdGate() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.held {
		return nil
	}
	return p.release
}

// Release lets all stalled and held connections go on.
func (p *Proxy) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = false
	close(p.release)
	p.release = make(chan struct{})
}

func (p *Proxy) serve() {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		wg.Go(func() { p.handle(client) })
	}
}

// close ends the proxy and everything that hangs on it.
func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for c := range p.open {
		c.close()
	}
}

func (p *Proxy) handle(client net.Conn) {
	c, err := p.connect(client)
	if err != nil {
		_ = client.Close() // as a target would that is down
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { c.pass(c.server, c.client, FromClient) })
	wg.Go(func() { c.pass(c.client, c.server, FromServer) })
	wg.Wait()
	c.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

func (p *Proxy) connect(client net.Conn) (*proxyConn, error) {
	p.mu.Lock()
	p.accepted++
	number, target, plan := p.accepted, p.target, p.plan
	c := &proxyConn{proxy: p, gone: make(chan struct{}), passed: &Passed{}}
	p.passed = append(p.passed, c.passed)
	p.mu.Unlock()
	if plan != nil {
		c.faults = plan(number)
	}
	server, err := net.DialTimeout("tcp", target, 10*time.Second)
	if err != nil {
		return nil, err
	}
	var ok1, ok2 bool
	c.client, ok1 = client.(*net.TCPConn)
	c.server, ok2 = server.(*net.TCPConn)
	if !ok1 || !ok2 {
		_ = server.Close()
		return nil, errors.New("proxy: not a TCP connection")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = server.Close()
		return nil, net.ErrClosed
	}
	p.open[c] = struct{}{}
	return c, nil
}

// stallGate is the channel that ends the stalls that begin now.
func (p *Proxy) stallGate() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.release
}
