package e2e_test

import (
	"strings"
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
			m := newMillIn(t, build(t, testbed.InfluxOptions{Version: c[0]}, testbed.InfluxOptions{Version: c[1]}), "NIGHTSHARD_WORK_TIMEOUT=3s")
			made, _ := m.trial(t, nil)
			for _, o := range choose(t, blows(made), 8, blow.String) {
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
	server, part := m.inter, "the intermediary"
	if strings.HasPrefix(o.at.side, "backup") {
		server, part = m.prod, "production"
	}
	hit, up := make(chan struct{}, 1), make(chan struct{})
	kill := func() {
		server.Kill()
		go func() {
			defer close(up)
			server.Start()
		}()
	}
	_, failed := m.trial(t, func(q request) testbed.HTTPFault {
		if q != o.at || len(hit) > 0 {
			return testbed.HTTPFault{}
		}
		hit <- struct{}{}
		if o.after {
			return testbed.HTTPFault{Action: testbed.CutAnswer, After: kill}
		}
		return testbed.HTTPFault{Before: kill}
	})
	if len(hit) == 0 {
		return // there were fewer requests of the kind this time: nothing was tried
	}
	<-up
	tried(t, "InfluxDB", part+" "+o.name(), o.at.String(), m.mastered(t, failed))
}
