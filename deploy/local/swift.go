package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ncw/swift/v2/swifttest"
)

const swiftPort = 18080

// smallSwift is the Swift of the library's own tests, in memory, behind a front
// that makes it fit for several clients at once: its maps are not safe for
// concurrent use, two first uploads may each make the container, and a request
// without a login would end in a panic.
type smallSwift struct {
	login map[string]string // ST_AUTH, ST_USER, ST_KEY
	inner *swifttest.SwiftServer
	front *http.Server

	mu        sync.Mutex // one request at a time
	transport *http.Transport
}

// startSwift settles how to reach the Swift: the reader's own, or one in memory.
func (h *house) startSwift() error {
	if h.set.swift != nil {
		h.swift = h.set.swift
		h.show.line("Swift: your own at %s; it keeps what the night stores", h.swift["ST_AUTH"]+h.swift["OS_AUTH_URL"])
		return nil
	}
	s, err := newSwift()
	if err != nil {
		return fmt.Errorf("start Swift: %w", err)
	}
	h.swift = s.login
	h.add("Swift", s.stop)
	h.show.line("Swift, in memory, at %s", s.login["ST_AUTH"])
	return nil
}

func newSwift() (*smallSwift, error) {
	ln, err := listenSwift()
	if err != nil {
		return nil, err
	}
	inner, err := swifttest.NewSwiftServer("127.0.0.1")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make server: %w", err), ln.Close())
	}
	at := "http://" + ln.Addr().String()
	inner.URL = at + "/v1" // where a login sends its client
	s := &smallSwift{
		inner: inner, transport: &http.Transport{DisableCompression: true},
		login: map[string]string{"ST_AUTH": at + "/v1.0", "ST_USER": swifttest.TEST_ACCOUNT, "ST_KEY": swifttest.TEST_ACCOUNT},
	}
	s.front = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.front.Serve(ln) }() // it ends with stop
	return s, nil
}

func listenSwift() (net.Listener, error) {
	var ln net.Listener
	err := withPorts("Swift", func(port func(int) (int, error)) error {
		at, err := port(swiftPort)
		if err != nil {
			return err
		}
		ln, err = net.Listen("tcp", loopback(at)) //nolint:noctx // it does not wait
		if errors.Is(err, syscall.EADDRINUSE) {
			return errPortTaken
		}
		return err //nolint:wrapcheck // startSwift says what for
	})
	return ln, err
}

func (s *smallSwift) stop() error {
	err := s.front.Close()
	s.inner.Close()
	s.transport.CloseIdleConnections()
	return err //nolint:wrapcheck // tearDown names the part
}

// ServeHTTP takes the whole request in, asks the server and then answers: a
// slow client never keeps the others waiting.
func (s *smallSwift) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status := refusal(r); status != 0 {
		http.Error(w, http.StatusText(status), status)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "the upload ended early", http.StatusBadRequest)
		return
	}
	got, err := s.ask(r, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	maps.Copy(w.Header(), got.header)
	if r.Method == http.MethodHead && got.length >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(got.length, 10))
	}
	w.WriteHeader(got.status)
	_, _ = w.Write(got.body) // a client that went away needs no answer
}

// answer is a whole answer of the server.
type answer struct {
	status int
	header http.Header
	length int64 // of the content, also where HEAD leaves it out; -1 if unknown
	body   []byte
}

// refusal is the status for a request that the server would not survive, 0 for
// all others.
func refusal(r *http.Request) int {
	account := "/v1/AUTH_" + swifttest.TEST_ACCOUNT
	switch path := r.URL.Path; {
	case path == "/v1.0" || path == "/info":
		return 0
	case path != account && !strings.HasPrefix(path, account+"/"):
		return http.StatusNotFound
	case len(r.Header.Get("X-Auth-Token")) < len("AUTH_tk"):
		return http.StatusUnauthorized
	}
	return 0
}

// ask passes a request on, one at a time.
func (s *smallSwift) ask(r *http.Request, body []byte) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	url := "http://" + s.inner.Listener.Addr().String() + r.URL.RequestURI()
	req, err := http.NewRequestWithContext(ctx, r.Method, url, bytes.NewReader(body)) //nolint:gosec // the host is ours
	if err != nil {
		return answer{}, fmt.Errorf("pass request on: %w", err)
	}
	req.Header = r.Header.Clone()
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return answer{}, fmt.Errorf("pass request on: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("read answer: %w", err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, length: resp.ContentLength, body: content}, nil
}
