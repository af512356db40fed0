package testbed_test

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nightshard/shared/testbed"
)

// oneMessage stores a message in a stream S.
func oneMessage(t *testing.T, n *testbed.NATSServer) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc := n.Connect(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func TestNATSKeepsItsStreamsOverARestart(t *testing.T) {
	t.Parallel()
	n := testbed.NATS(t, testbed.NATSOptions{SyncAlways: true})
	nc, js := oneMessage(t, n)
	url := n.URL
	n.Restart()
	if n.URL != url {
		t.Errorf("URL changed from %s to %s", url, n.URL)
	}
	testbed.Eventually(t, 10*time.Second, "the client to reconnect", nc.IsConnected)
	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().State.Msgs; got != 1 {
		t.Errorf("messages after the restart: %d, want 1", got)
	}
}

func TestNATSAsksForTheCredentialsItWasGiven(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]testbed.NATSOptions{
		"user":  {User: "u", Password: "p"},
		"token": {Token: "t"},
		"configured": {Configure: func(o *server.Options) {
			o.Users = []*server.User{{Username: "only", Password: "me"}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := testbed.NATS(t, opts)
			if nc, err := nats.Connect(n.URL); err == nil {
				nc.Close()
				t.Error("a stranger got in")
			}
			if name != "configured" {
				n.Connect(t)
			}
		})
	}
}

func TestShutNATSRefusesConnectionsAndLeavesALog(t *testing.T) {
	t.Parallel()
	n := testbed.NATS(t, testbed.NATSOptions{})
	n.Shutdown()
	n.Shutdown()
	if n.Server() != nil {
		t.Error("Server() is still there")
	}
	if c, err := net.Dial("tcp", strings.TrimPrefix(n.URL, "nats://")); err == nil {
		c.Close()
		t.Error("the port still answers")
	}
	log, err := os.ReadFile(n.LogFile)
	if err != nil || !strings.Contains(string(log), "Server is ready") {
		t.Errorf("log: %v: %s", err, log)
	}
}

func TestKilledNATSKeepsWhatItHasAcknowledged(t *testing.T) {
	t.Parallel()
	n := testbed.NATS(t, testbed.NATSOptions{Process: true})
	nc, js := oneMessage(t, n)
	n.Kill()
	if c, err := net.Dial("tcp", strings.TrimPrefix(n.URL, "nats://")); err == nil {
		c.Close()
		t.Error("the port still answers")
	}
	n.Start()
	testbed.Eventually(t, 10*time.Second, "the client to reconnect", nc.IsConnected)
	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().State.Msgs; got != 1 {
		t.Errorf("messages after the kill: %d, want 1", got)
	}
}
