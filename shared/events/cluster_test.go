package events_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	nightshardv1 "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

func threeCopies(c *events.Config) { c.Replicas = 3 }

func TestInAClusterOfThreeServers(t *testing.T) {
	t.Parallel()
	c := testbed.NewNATSCluster(t)
	bus := connect(t, c.Servers[0].URL, threeCopies)
	c.AwaitCopies(bus.StreamName())
	js := plainJS(t, c.Servers[0].URL)
	t.Run("a service without the setting takes no copies away", func(t *testing.T) {
		connect(t, c.Servers[1].URL)
		connect(t, c.Servers[1].URL, func(c *events.Config) { c.Replicas = 1 })
		if got := streamConfig(t, js, bus.StreamName()).Replicas; got != 3 {
			t.Errorf("the stream has %d replicas", got)
		}
	})
	t.Run("a durable without a leader is not left out", func(t *testing.T) { leaderless(t, c, bus, js) })
}

// leaderless freezes the only server that knows how far a dumper is. A list
// without it would say that no dumper is at work.
func leaderless(t *testing.T, c *testbed.NATSCluster, bus *events.Bus, js jetstream.JetStream) {
	name, at := "", 0
	for i := 0; at == 0; i++ { // the bus and js are connected to the first
		only := fmt.Sprintf("dumper-%d", i)
		name = only
		t.Cleanup(func() { _ = js.DeleteConsumer(context.WithoutCancel(t.Context()), bus.StreamName(), only) })
		_, err := js.CreateConsumer(t.Context(), bus.StreamName(), jetstream.ConsumerConfig{
			Durable: name, AckPolicy: jetstream.AckExplicitPolicy, Replicas: 1, FilterSubject: events.RestoreCompleted,
		})
		if err != nil {
			t.Fatal(err)
		}
		at = c.ConsumerLeader(bus.StreamName(), name)
	}
	_, err := js.CreateConsumer(t.Context(), bus.StreamName(), jetstream.ConsumerConfig{
		Durable: "subscriber", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: events.DumpCompleted,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Servers[at].Pause()
	defer c.Servers[at].Resume()
	eventually(t, "the list to say that it is not whole", func() bool {
		states, err := bus.Consumers(t.Context())
		if err == nil && !slices.ContainsFunc(states, func(s events.ConsumerState) bool { return s.Name == name }) {
			t.Fatalf("%s was left out: %v", name, states)
		}
		return errors.Is(err, events.ErrUnanswered) && strings.Contains(err.Error(), name)
	})
	c.Servers[at].Resume()
	eventually(t, "the list to be whole again", func() bool {
		states, err := bus.Consumers(t.Context())
		return err == nil && slices.ContainsFunc(states, func(s events.ConsumerState) bool { return s.Name == name })
	})
}

// Services are started together with the cluster, and one server is late.
func TestAServiceWaitsForTheClusterToBeWhole(t *testing.T) {
	t.Parallel()
	c := testbed.NATSClusterWith(t, 2)
	connected := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	go func() {
		bus, err := events.Connect(ctx, events.Config{URL: c.Servers[0].URL, Replicas: 3})
		if err == nil {
			err = bus.Close(ctx)
		}
		connected <- err
	}()
	select {
	case err := <-connected:
		t.Fatalf("with two servers of three: %v", err)
	case <-time.After(7 * time.Second): // longer than a call of the bus
	}
	c.Servers[2].Start()
	if err := <-connected; err != nil {
		t.Error(err)
	}
	if got := streamConfig(t, plainJS(t, c.Servers[0].URL), "NIGHTSHARD").Replicas; got != 3 {
		t.Errorf("the stream has %d replicas", got)
	}
}

// The leader has the event, and says "in process" to whoever sends it again.
func TestAnEventIsStoredOnceWhenTheQuorumIsBack(t *testing.T) {
	t.Parallel()
	c := testbed.NewNATSCluster(t)
	bus := connect(t, c.URL, threeCopies, func(c *events.Config) { c.AckWait = 2 * time.Minute })
	c.AwaitCopies(bus.StreamName())
	leader := c.StreamLeader(bus.StreamName())
	var lost []*testbed.NATSServer
	for i, s := range c.Servers {
		if i != leader {
			lost = append(lost, s)
			s.Kill()
		}
	}
	stored := make(chan error, 1)
	go func() {
		_, err := bus.Publish(t.Context(), events.BackupRequested, &nightshardv1.BackupRequested{}, "nightly/2016-06-01")
		stored <- err
	}()
	select {
	case err := <-stored:
		t.Fatalf("without a quorum: %v", err)
	case <-time.After(12 * time.Second): // two calls of the bus, and more
	}
	for _, s := range lost {
		s.Start()
	}
	if err := <-stored; err != nil {
		t.Fatal(err)
	}
	c.AwaitCopies(bus.StreamName())
	if got := history(t, bus); len(got) != 1 {
		t.Errorf("%d events: %v", len(got), got)
	}
}
