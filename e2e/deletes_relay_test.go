package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// shardRelay passes connections on to production's snapshot port. It keeps what
// production sent, and lets a test do something at a chosen moment of a stream.
type shardRelay struct {
	addr, target string

	mu       sync.Mutex
	streamed map[uint64][]byte // the last stream of each shard
	// ask is called before a request passes on, begun after the first part of a
	// shard's stream; the rest waits until it returns. Nil is nothing.
	ask, begun func(shardRequest)
	// answer gives the answer to a request in production's place; nil passes it
	// on.
	answer func(shardRequest) []byte
}

// shardRequest is a request of the snapshot protocol.
type shardRequest struct {
	kind    byte
	ShardID uint64
	Since   time.Time
}

// The kinds of requests that the tests tell apart.
const (
	askShard     = 0
	askMetastore = 1
)

// whole says that a shard's archive is asked for with all of its files.
func (q shardRequest) whole() bool { return q.kind == askShard && q.Since.IsZero() }

// newShardRelay starts a relay in front of target.
func newShardRelay(t *testing.T, target string) *shardRelay {
	t.Helper()
	r := &shardRelay{target: target, streamed: map[uint64][]byte{}}
	r.addr = relayed(t, r.pass)
	return r
}

// set changes what the relay does, between or during backups.
func (r *shardRelay) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func (r *shardRelay) hooks() (ask, begun func(shardRequest), answer func(shardRequest) []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ask, r.begun, r.answer
}

// pass relays one request and its answer.
func (r *shardRelay) pass(client net.Conn) {
	defer func() { _ = client.Close() }()
	line, err := bufio.NewReader(client).ReadBytes('\n')
	if err != nil || len(line) < 3 {
		return
	}
	q := shardRequest{kind: line[1]}
	if json.Unmarshal(line[2:], &q) != nil {
		return
	}
	ask, begun, answer := r.hooks()
	if ask != nil {
		ask(q)
	}
	if answer != nil {
		if a := answer(q); a != nil {
			_, _ = client.Write(a)
			return
		}
	}
	// A small window: production must not be far ahead of the client.
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 8<<10) })
	}}
	server, err := d.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	if _, err := server.Write(line); err != nil {
		return
	}
	var kept bytes.Buffer
	from := io.TeeReader(server, &kept)
	if n, _ := io.CopyN(client, from, 4096); n == 4096 && begun != nil && q.whole() {
		begun(q)
	}
	_, _ = io.Copy(client, from)
	if q.whole() {
		r.set(func() { r.streamed[q.ShardID] = kept.Bytes() })
	}
}

// last is what production sent when a shard was last asked for.
func (r *shardRelay) last(id uint64) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.streamed[id]
}
