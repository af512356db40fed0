package e2e_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

// crash is a service killed at one of its requests.
type crash struct {
	at    request
	after bool // when the server has done its work, and the service does not know
}

func (c crash) name() string {
	if c.after {
		return "killed when the server had answered"
	}
	return "killed before the request was sent"
}

// crashes are both, for each request. What happens on the snapshot port is one
// long answer: there is no moment after it.
func crashes(made []request) []crash {
	var out []crash
	for _, q := range made {
		out = append(out, crash{at: q})
		if !strings.HasSuffix(q.side, "8088") {
			out = append(out, crash{q, true})
		}
	}
	return out
}

func TestNightSurvivesAKillAtEachRequest(t *testing.T) {
	t.Parallel()
	name := func(c crash) string { return c.name() + "/" + c.at.String() }
	eachScene(t, 5, crashes, name, (*mill).crashed)
}

// crashed runs one night in which a service is killed and started again.
func (m *mill) crashed(t *testing.T, c crash, s scene) {
	m.warm(t, s.second)
	service, _, _ := strings.Cut(c.at.side, " ")
	killed := make(chan struct{}, 1)
	kill := func() {
		m.killer(service)()
		killed <- struct{}{}
	}
	fault := testbed.HTTPFault{Action: testbed.Drop, Before: kill}
	if c.after {
		fault = testbed.HTTPFault{Action: testbed.LoseAnswer, After: kill}
	}
	plan, _ := once(c.at, fault)
	_, failed := m.run(t, s.second, plan)
	if len(killed) == 0 {
		return // the request did not come this time, or got no answer
	}
	if failed {
		t.Fatalf("a killed service is no reason for a night to fail:\n%s", m.story())
	}
	tried(t, "Chain", service+" "+c.name(), c.at.String(), endedRight)
	m.right(t, m.runs(s.second))
}

// A restore that came to its end is not done again because its process died
// before the bus knew: dumpers may read it already.
func TestARestoreThatIsDoneIsNotDoneAgain(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	for name, fault := range map[string]testbed.HTTPFault{
		"killed before the event was sent": {Action: testbed.Drop, Before: m.killer("restore")},
		"killed when the event was stored": {Action: testbed.LoseAnswer, After: m.killer("restore")},
	} {
		t.Run(name, func(t *testing.T) {
			m.reportTo(t)
			plan, came := once(request{side: "restore to NATS", kind: "publish restore.completed", n: 1}, fault)
			if _, failed := m.trial(t, plan); failed || !came() {
				t.Fatalf("failed: %v, killed: %v\n%s", failed, came(), m.story())
			}
			m.idle("restore")
			m.mu.Lock()
			drops := m.seen[request{side: "restore to InfluxDB", kind: "DROP DATABASE"}]
			m.mu.Unlock()
			if drops != 1 {
				t.Errorf("the database was dropped %d times", drops)
			}
			m.right(t, 1)
		})
	}
}

// killer kills a service and starts it again.
func (m *mill) killer(service string) func() {
	return func() {
		_ = m.procs[service].stop(syscall.SIGKILL)
		m.launch(service)
	}
}

// idle waits until a durable has nothing to do.
func (m *mill) idle(durable string) {
	m.t.Helper()
	testbed.Eventually(m.t, patience, durable+" to be idle", func() bool {
		states, err := m.bus.Consumers(m.t.Context())
		return err == nil && slices.ContainsFunc(states, func(s events.ConsumerState) bool {
			return s.Name == durable && s.AckPending == 0 && s.Pending == 0
		})
	})
}
