package testbed_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nightshard/shared/testbed"
)

func TestTheClusterKeepsAStreamWithoutItsLeader(t *testing.T) {
	t.Parallel()
	c := testbed.NewNATSCluster(t)
	nc, err := nats.Connect(c.URL, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, time.Minute, "the stream to be made", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"a"}, Replicas: 3})
		return err == nil
	})
	c.AwaitCopies("S")
	if _, err := js.Publish(t.Context(), "a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	first := c.StreamLeader("S")
	c.Servers[first].Kill()
	testbed.Eventually(t, time.Minute, "another leader, which has the message", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		s, err := js.Stream(ctx, "S")
		return err == nil && s.CachedInfo().State.Msgs == 1 && c.StreamLeader("S") != first
	})
	c.Servers[first].Start()
	c.AwaitCopies("S")
}
