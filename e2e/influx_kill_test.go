package e2e_test

import (
	"strings"
	"sync"
	"testing"

	"nightshard/shared/testbed"
)

// blow is an InfluxDB that is killed at one request to it.
type blow struct {
	at    request
	after bool // when its answer has begun
}

func (o blow) name() string {
	if o.after {
		return "killed while it answers"
	}
	return "killed before it answers"
}

func (o blow) String() string { return o.name() + "/" + o.at.String() }

// blows are both, for each request to an InfluxDB. A connection to port 8088
// is killed at its beginning.
func blows(made []request) []blow {
	var out []blow
	for _, q := range made {
		switch {
		case strings.HasSuffix(q.side, "8088"):
			out = append(out, blow{at: q})
		case strings.HasSuffix(q.side, "InfluxDB"):
			out = append(out, blow{at: q}, blow{q, true})
		}
	}
	return out
}

// Each version is production once, and the intermediary once.
func TestNightSurvivesAKillOfInfluxDBAtEachRequest(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{testbed.Influx18, testbed.Influx16}, {testbed.Influx16, testbed.Influx18}} {
		t.Run(c[0]+" to "+c[1], func(t *testing.T) {
			t.Parallel()
			m := newMillIn(t, build(t, testbed.InfluxOptions{Version: c[0]}, testbed.InfluxOptions{Version: c[1]}), "NIGHTSHARD_WORK_TIMEOUT=3s", "NIGHTSHARD_PARALLEL=1")
			made, _ := m.trial(t, nil)
			for _, w := range choose(t, m.wires(t), 3, wire.label) {
				t.Run("killed in the middle/"+w.label(), func(t *testing.T) {
					m.reportTo(t)
					m.cutDown(t, w)
				})
			}
			for _, o := range choose(t, blows(made), 4, blow.String) {
				t.Run(o.String(), func(t *testing.T) {
					m.reportTo(t)
					m.struck(t, o)
				})
			}
		})
	}
}

// struck runs one night in which an InfluxDB is killed. It is started again at
// once, but what is asked of it until it is up is refused.
func (m *mill) struck(t *testing.T, o blow) {
	part, kill, up := m.strike(o.at.side)
	fault := testbed.HTTPFault{Before: kill}
	if o.after {
		fault = testbed.HTTPFault{Action: testbed.CutAnswer, After: kill}
	}
	plan, came := once(o.at, fault)
	_, failed := m.trial(t, plan)
	if !came() {
		return
	}
	<-up
	tried(t, "InfluxDB", part+" "+o.name(), o.at.String(), m.mastered(t, failed))
}

// strike gives what kills the server that a service talks to and starts it
// again, once, and what is closed when it is up.
func (m *mill) strike(side string) (part string, kill func(), up chan struct{}) {
	server, part := m.inter, "the intermediary"
	if strings.HasPrefix(side, "backup") {
		server, part = m.prod, "production"
	}
	up = make(chan struct{})
	return part, sync.OnceFunc(func() {
		server.Kill()
		go func() {
			defer close(up)
			server.Start()
		}()
	}), up
}

// cutDown runs one night in which an InfluxDB is killed in the middle of a
// connection to its port 8088.
func (m *mill) cutDown(t *testing.T, w wire) {
	part, kill, up := m.strike(w.side)
	socket := m.sockets[w.side]
	number := socket.Accepted() + w.n
	socket.OnConn(func(n int) []testbed.Fault {
		if n != number {
			return nil
		}
		if w.passed.FromServer > w.passed.FromClient {
			return []testbed.Fault{{Direction: testbed.FromServer, After: w.passed.FromServer / 2, Action: testbed.Call, Do: kill}}
		}
		return []testbed.Fault{{Direction: testbed.FromClient, After: w.passed.FromClient / 2, Action: testbed.Call, Do: kill}}
	})
	defer socket.OnConn(nil)
	_, failed := m.trial(t, nil)
	if socket.Accepted() < number {
		return // there were fewer connections this time: nothing was tried
	}
	<-up
	tried(t, "InfluxDB", part+" killed in the middle", w.side+": "+w.kind, m.mastered(t, failed))
}
