package testbed

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// clusterSize is how many servers a cluster has: the least that can lose one.
const clusterSize = 3

// clusterPatience bounds the wait for servers that find each other. An election
// of NATS takes four to nine seconds.
const clusterPatience = 90 * time.Second

// NATSCluster is three nats-servers that keep streams of three replicas
// together, each a process of its own, which its Kill ends. It ends with the
// test.
type NATSCluster struct {
	// URL names all servers, with commas between.
	URL string
	// Servers are its members. After Kill and Start a member has its port, its
	// store and its name again.
	Servers []*NATSServer

	t     testing.TB
	names []string
	conn  *nats.Conn
	js    jetstream.JetStream
}

// NewNATSCluster starts the servers and waits until they have a leader.
func NewNATSCluster(t testing.TB) *NATSCluster {
	t.Helper()
	return NATSClusterWith(t, clusterSize)
}

// NATSClusterWith is NewNATSCluster with only so many of the three servers
// started. With fewer than three they have no leader: NATS waits for all at the
// first start.
func NATSClusterWith(t testing.TB, started int) *NATSCluster {
	t.Helper()
	c := &NATSCluster{t: t}
	var ports, routes, urls []string
	for range clusterSize {
		port := FreePort(t)
		ports, routes = append(ports, strconv.Itoa(port)), append(routes, "nats://"+loopback(port))
	}
	for i := range clusterSize {
		name := fmt.Sprintf("n%d", i+1)
		c.names = append(c.names, name)
		c.Servers = append(c.Servers, newNATS(t, NATSOptions{Process: true, member: []string{name, ports[i], strings.Join(routes, ",")}}))
		urls = append(urls, c.Servers[i].URL)
	}
	c.URL = strings.Join(urls, ",")
	for _, s := range c.Servers[:started] {
		s.Start()
	}
	c.connect()
	if started < clusterSize {
		return c
	}
	Eventually(t, clusterPatience, "the NATS cluster to have a leader", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		info, err := c.js.AccountInfo(ctx)
		return err == nil && info != nil
	})
	return c
}

// connect opens the testbed's own way into the cluster.
func (c *NATSCluster) connect() {
	c.t.Helper()
	var err error
	c.conn, err = nats.Connect(c.URL, nats.Name("testbed"), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		c.t.Fatalf("connect to the NATS cluster: %v", err)
	}
	c.t.Cleanup(c.conn.Close)
	if c.js, err = jetstream.New(c.conn); err != nil {
		c.t.Fatalf("use JetStream of the cluster: %v", err)
	}
}

// StreamLeader is the member that leads a stream, by its place in Servers.
func (c *NATSCluster) StreamLeader(stream string) int {
	c.t.Helper()
	return c.leader("stream "+stream, func(ctx context.Context) (*jetstream.ClusterInfo, error) {
		s, err := c.js.Stream(ctx, stream)
		if err != nil {
			return nil, err
		}
		return s.CachedInfo().Cluster, nil
	})
}

// ConsumerLeader is the member that leads a consumer of a stream, by its place
// in Servers.
func (c *NATSCluster) ConsumerLeader(stream, consumer string) int {
	c.t.Helper()
	return c.leader("consumer "+consumer, func(ctx context.Context) (*jetstream.ClusterInfo, error) {
		s, err := c.js.Consumer(ctx, stream, consumer)
		if err != nil {
			return nil, err
		}
		return s.CachedInfo().Cluster, nil
	})
}

func (c *NATSCluster) leader(of string, ask func(context.Context) (*jetstream.ClusterInfo, error)) int {
	c.t.Helper()
	at := -1
	Eventually(c.t, clusterPatience, of+" to have a leader", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if info, err := ask(ctx); err == nil && info != nil {
			at = slices.Index(c.names, info.Leader)
		}
		return at >= 0
	})
	return at
}

// AwaitCopies waits until each of the three members has all of a stream and of
// its durable consumers, so that any one of them can be lost.
func (c *NATSCluster) AwaitCopies(stream string) {
	c.t.Helper()
	Eventually(c.t, clusterPatience, "each member to have a copy of "+stream, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s, err := c.js.Stream(ctx, stream)
		if err != nil || !whole(s.CachedInfo().Cluster) {
			return false
		}
		consumers := s.ListConsumers(ctx)
		for info := range consumers.Info() {
			if info.Config.Durable != "" && !whole(info.Cluster) {
				return false
			}
		}
		return consumers.Err() == nil
	})
}

// whole says that a leader and two current followers are there.
func whole(info *jetstream.ClusterInfo) bool {
	if info == nil || info.Leader == "" || len(info.Replicas) != clusterSize-1 {
		return false
	}
	return !slices.ContainsFunc(info.Replicas, func(p *jetstream.PeerInfo) bool { return !p.Current || p.Offline })
}
