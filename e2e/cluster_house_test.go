package e2e_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"nightshard/shared/events"
	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// clusterStream is the stream of the tests' services.
const clusterStream = "NIGHTSHARD"

// cluster is a chain whose NATS is three servers, each a process, with three
// copies of the stream.
type cluster struct {
	*chain
	servers *testbed.NATSCluster

	mu   sync.Mutex
	away []int // the servers that were killed and not started again
}

// newCluster starts it and runs one good night.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{chain: &chain{}, servers: testbed.NewNATSCluster(t)}
	h := buildAt(t, testbed.InfluxOptions{}, testbed.InfluxOptions{}, service.NATS{URL: c.servers.URL}, 3)
	// An election takes up to nine seconds. The acknowledgement time is shorter,
	// so that work is lost by it, and longer than a slow machine is silent. An
	// attempt without a leader fails within seconds: the waits between the five
	// attempts must be longer than an election.
	c.mill = newMillIn(t, h, "NIGHTSHARD_ACK_WAIT=5s", "NIGHTSHARD_RETRY_WAIT=1s")
	return c
}

// kill ends servers without a warning.
func (c *cluster) kill(which ...int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range which {
		c.servers.Servers[i].Kill()
		c.away = append(c.away, i)
	}
}

// back starts the servers again that were killed.
func (c *cluster) back() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range c.away {
		c.servers.Servers[i].Start()
	}
	c.away = nil
}

// durable is that of the service which is at work at a moment.
func durable(m moment) string {
	if m.service == "dumper" {
		return "dumper-" + events.Slug("cpu")
	}
	return m.service
}

// loss is one way for servers of the cluster to be lost.
type loss struct {
	name string
	// which servers are lost at a moment.
	which func(c *cluster, m moment) []int
	// back is when they return; zero is after the night, which must end without
	// them.
	back time.Duration
	// bare says that they return with an empty disk.
	bare bool
}

// quorumAway is longer than NATS takes to see that the quorum is lost (10 s).
const quorumAway = 15 * time.Second

func losses() []loss {
	stream := func(c *cluster, _ moment) []int { return []int{c.servers.StreamLeader(clusterStream)} }
	consumer := func(c *cluster, m moment) []int { return []int{c.servers.ConsumerLeader(clusterStream, durable(m))} }
	neither := func(c *cluster, m moment) []int {
		leads := append(stream(c, m), consumer(c, m)...)
		at := slices.IndexFunc([]int{0, 1, 2}, func(i int) bool { return !slices.Contains(leads, i) })
		return []int{at} // two can lead at most two of three
	}
	two := func(c *cluster, m moment) []int {
		first := stream(c, m)[0]
		return []int{first, (first + 1) % len(c.servers.Servers)}
	}
	return []loss{
		{name: "the NATS server killed that leads the stream, of three", which: stream},
		{name: "the NATS server killed that leads the consumer at work, of three", which: consumer},
		{name: "a NATS server killed that leads neither stream nor consumer, of three", which: neither},
		{name: "the NATS server that leads the stream lost with its disk, of three", which: stream, bare: true},
		{name: "two NATS servers of three killed, back after 15 s", which: two, back: quorumAway},
	}
}

// mishap is a loss at a moment.
type mishap struct {
	loss
	moment
}

func (m mishap) String() string { return m.loss.name + " " + m.moment.name }

// mishaps are all of them, or those of some losses.
func mishaps(all ...loss) []mishap {
	var out []mishap
	for _, l := range all {
		for _, m := range moments() {
			out = append(out, mishap{l, m})
		}
	}
	return out
}
