package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// natsRelay passes a client's connections on to a NATS server and reads what it
// publishes: an event and its acknowledgement are the last steps of a work, and
// a crash can come between.
type natsRelay struct {
	target string
	// meet is told of each published message before it is passed on. It may
	// return a function that is called after, and false to drop the message and
	// the connection.
	meet func(kind string) (after func(), pass bool)
}

// serve starts the relay, and gives its URL.
func (r *natsRelay) serve(t *testing.T) string {
	t.Helper()
	return "nats://" + relayed(t, r.pass)
}

// relayed listens for connections until the test ends, and gives the address.
func relayed(t *testing.T, pass func(net.Conn)) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			open.Go(func() { pass(client) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); open.Wait() })
	return ln.Addr().String()
}

// pass relays one connection until either side ends it.
func (r *natsRelay) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer server.Close()
	answers := make(chan struct{})
	go func() {
		defer close(answers)
		_, _ = io.Copy(client, server)
		_ = client.Close()
	}()
	r.publishes(bufio.NewReaderSize(client, 1<<16), server)
	_ = server.Close()
	<-answers
}

// publishes passes the client's side on, line by line and message by message.
func (r *natsRelay) publishes(from *bufio.Reader, to io.Writer) {
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			return
		}
		message, kind, err := published(line, from)
		if err != nil {
			return
		}
		after, pass := func() {}, true
		if kind != "" {
			after, pass = r.meet(kind)
		}
		if !pass {
			return
		}
		if _, err := io.WriteString(to, line+message); err != nil {
			return
		}
		after()
	}
}

// published reads the content that follows a line, and names what is published:
// an event, or the acknowledgement of one. Other traffic has no name.
func published(line string, from io.Reader) (message, kind string, err error) {
	words := strings.Fields(line)
	if len(words) < 3 || words[0] != "PUB" && words[0] != "HPUB" {
		return "", "", nil
	}
	size, err := strconv.Atoi(words[len(words)-1])
	if err != nil {
		return "", "", fmt.Errorf("read %q: %w", line, err)
	}
	data := make([]byte, size+2) // the line's end follows
	if _, err := io.ReadFull(from, data); err != nil {
		return "", "", err
	}
	message, subject := string(data), words[1]
	switch {
	case strings.HasSuffix(subject, ".completed"), strings.HasSuffix(subject, ".failed"):
		kind = "publish " + subject
	case strings.HasPrefix(subject, "$JS.ACK.") && strings.HasPrefix(message, "+ACK"):
		kind = "acknowledge"
	}
	return message, kind, nil
}
