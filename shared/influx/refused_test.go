package influx_test

import (
	"net"
	"testing"

	"nightshard/shared/influx"
	"nightshard/shared/testbed"
	"nightshard/shared/trust"
)

// deserted is an address where a server was and is no more.
func deserted(t *testing.T) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	return addr
}

func TestAServerThatIsNotThereIsNamedWithWhatToDo(t *testing.T) {
	t.Parallel()
	addr := deserted(t)
	c, err := influx.NewClient(influx.ClientConfig{
		URL: "http://" + addr, User: "u", Password: testbed.Sesame, TLS: trust.Settings{Names: trust.Prefixed("NIGHTSHARD_PRODUCTION")},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Query(t.Context(), "db", "SHOW SHARDS")
	if err == nil {
		t.Fatal("nobody answered a query")
	}
	testbed.Message(t, err.Error(), addr, "connection refused", "check that InfluxDB runs and that NIGHTSHARD_PRODUCTION_URL names it")
	s := influx.NewSnapshot(influx.SnapshotConfig{Addr: addr})
	if _, err = s.Metastore(t.Context()); err == nil {
		t.Fatal("nobody gave a metastore")
	}
	testbed.Message(t, err.Error(), "snapshot port "+addr, "connection refused", "check that InfluxDB runs", "bind-address")
}
