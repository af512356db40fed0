package testbed

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
)

// TLSProxyOptions choose how a TLSProxy behaves.
type TLSProxyOptions struct {
	// Cert is what it shows.
	Cert Cert
	// ClientCA is the file of an authority: it then wants a certificate of each
	// client, issued by it.
	ClientCA string
	// MaxVersion bounds the version of TLS, such as tls.VersionTLS12.
	MaxVersion uint16
	// Polite has it take the connection of a client without certificate, and
	// answer it in HTTP, as nginx does. Otherwise the handshake fails.
	Polite bool
}

// TLSProxy ends TLS in front of a server, as nginx or HAProxy do, and passes
// the bytes on as they are. It ends with the test.
type TLSProxy struct {
	// Addr is its host:port on loopback, URL the same with https://.
	Addr, URL string

	target  string
	wanting bool // it answers clients without certificate itself
	mu      sync.Mutex
	open    map[net.Conn]struct{} // nil once the proxy has ended
	working sync.WaitGroup
}

// NewTLSProxy starts a proxy in front of target (host:port).
func NewTLSProxy(t testing.TB, target string, opts TLSProxyOptions) *TLSProxy {
	t.Helper()
	conf := opts.Cert.serverTLS(t, opts.ClientCA)
	conf.MaxVersion = opts.MaxVersion
	p := &TLSProxy{target: target, open: map[net.Conn]struct{}{}}
	if opts.Polite && opts.ClientCA != "" {
		conf.ClientAuth, p.wanting = tls.VerifyClientCertIfGiven, true
	}
	listener := listen(t)
	p.Addr = listener.Addr().String()
	p.URL = "https://" + p.Addr
	p.working.Go(func() { p.serve(tls.NewListener(listener, conf)) })
	t.Cleanup(func() {
		_ = listener.Close()
		p.close()
		p.working.Wait()
	})
	return p
}

func (p *TLSProxy) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		p.working.Go(func() { p.pass(conn.(*tls.Conn)) })
	}
}

// pass works for one connection until both sides have ended it.
func (p *TLSProxy) pass(client *tls.Conn) {
	if !p.note(client) {
		return
	}
	defer p.end(client)
	if client.Handshake() != nil {
		return
	}
	if p.wanting && len(client.ConnectionState().PeerCertificates) == 0 {
		p.refuse(client)
		return
	}
	raw, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	server := raw.(*net.TCPConn)
	if !p.note(server) {
		return
	}
	defer p.end(server)
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(server, client); _ = server.CloseWrite() })
	both.Go(func() { _, _ = io.Copy(client, server); _ = client.CloseWrite() })
	both.Wait()
}

// refuse answers one request as nginx does.
func (p *TLSProxy) refuse(client net.Conn) {
	if _, err := http.ReadRequest(bufio.NewReader(client)); err != nil {
		return
	}
	_, _ = io.WriteString(client, "HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: 85\r\nConnection: close\r\n\r\n"+
		"<html>\r\n<head><title>400 No required SSL certificate was sent</title></head>\r\n</html>")
}

// note keeps a connection for close; after that it ends it at once.
func (p *TLSProxy) note(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		_ = c.Close()
		return false
	}
	p.open[c] = struct{}{}
	return true
}

func (p *TLSProxy) end(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	_ = c.Close()
}

// close ends every connection. A TLS connection may wait for its other side
// when it is closed, so the one below it goes first.
func (p *TLSProxy) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		if secure, ok := c.(*tls.Conn); ok {
			c = secure.NetConn()
		}
		_ = c.Close()
	}
	p.open = nil
}
