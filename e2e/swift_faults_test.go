package e2e_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

// glitch is one thing that goes wrong with one request to Swift.
type glitch struct {
	name  string
	fault testbed.HTTPFault
	// at says which requests can have it.
	at func(method, what string) bool
}

func anyRequest(string, string) bool { return true }

func glitches() []glitch {
	var all []glitch
	for _, code := range []int{401, 408, 409, 500, 502, 503, 504} {
		all = append(all, glitch{fmt.Sprint("answered ", code), testbed.HTTPFault{Action: testbed.Answer, Status: code}, loggedIn})
	}
	download := func(method, what string) bool { return method == "GET" && what != "/auth/v1.0" }
	upload := func(method, what string) bool {
		return method == "PUT" && what != "container" && what != "container of segments"
	}
	object := func(method, what string) bool { return download(method, what) && what != "container" }
	list := func(method, what string) bool { return method == "GET" && what == "container" }
	return append(all,
		glitch{"answered 429 with Retry-After", testbed.HTTPFault{Action: testbed.Answer, Status: 429, Header: map[string]string{"Retry-After": "1"}}, anyRequest},
		glitch{"connection reset", testbed.HTTPFault{Action: testbed.ResetRequest}, anyRequest},
		glitch{"done, the answer lost", testbed.HTTPFault{Action: testbed.LoseAnswer}, anyRequest},
		glitch{"stalled", testbed.HTTPFault{Action: testbed.StallRequest}, anyRequest},
		glitch{"answer cut off", testbed.HTTPFault{Action: testbed.CutAnswer}, download},
		glitch{"answer reset", testbed.HTTPFault{Action: testbed.ResetAnswer}, download},
		glitch{"answer stalled", testbed.HTTPFault{Action: testbed.StallAnswer}, download},
		glitch{"answer slow", testbed.HTTPFault{Action: testbed.SlowAnswer, Pause: 100 * time.Millisecond}, download},
		glitch{"download damaged", testbed.HTTPFault{Action: testbed.FlipAnswer}, download},
		glitch{"download short", testbed.HTTPFault{Action: testbed.ShortAnswer}, download},
		glitch{"object not found", testbed.HTTPFault{Action: testbed.Answer, Status: 404}, object},
		glitch{"listing short", testbed.HTTPFault{Action: testbed.EditAnswer, Edit: shortened}, list},
		glitch{"stored damaged", testbed.HTTPFault{Action: testbed.FlipRequest}, upload},
		glitch{"stored damaged, the server says as sent", testbed.HTTPFault{Action: testbed.FlipRequestHidden}, upload},
	)
}

// loggedIn: 401 at the login itself means that the credentials are wrong.
func loggedIn(_, what string) bool { return what != "/auth/v1.0" }

// shortened leaves every second entry out of a listing.
func shortened(page []byte) []byte {
	var entries, kept []json.RawMessage
	if json.Unmarshal(page, &entries) != nil {
		return page
	}
	for i, e := range entries {
		if i%2 == 1 {
			kept = append(kept, e)
		}
	}
	if len(kept) == 0 {
		return []byte("[]")
	}
	edited, err := json.Marshal(kept)
	if err != nil {
		return page
	}
	return edited
}

// try is one glitch at one request.
type try struct {
	glitch
	at request
}

// tries are all the pairs of a fault and a request to a server that fit.
func tries(server string, faults []glitch, made []request) []try {
	var out []try
	for _, q := range made {
		if !strings.HasSuffix(q.side, " to "+server) {
			continue
		}
		method, what, _ := strings.Cut(q.kind, " ")
		for _, g := range faults {
			if g.at(method, what) {
				out = append(out, try{g, q})
			}
		}
	}
	return out
}

func TestNightSurvivesSwiftAtItsWorst(t *testing.T) {
	t.Parallel()
	name := func(x try) string { return x.name + "/" + x.at.String() }
	list := func(made []request) []try { return tries("Swift", glitches(), made) }
	eachScene(t, 12, list, name, (*mill).glitched)
}

// glitched runs one night with one glitch.
func (m *mill) glitched(t *testing.T, x try, s scene) {
	m.warm(t, s.second)
	plan, came := once(x.at, x.fault)
	_, failed := m.run(t, s.second, plan)
	if !came() {
		return
	}
	end := endedRight
	if failed {
		end = saidFailed
		if _, failed = m.run(t, true, nil); failed {
			t.Fatalf("the next run failed as well:\n%s", m.story())
		}
	}
	tried(t, "Swift", x.name, x.at.String(), end)
	m.right(t, m.runs(s.second))
}

// A server that refuses for good must not be hidden by retries: the step says
// so, with the server's own words, and once the reason is gone the next run
// ends right.
func TestNightThatSwiftRefusesSaysSo(t *testing.T) {
	t.Parallel()
	m := newMill(t, "NIGHTSHARD_RETRY_WAIT=10ms")
	for _, c := range []struct {
		side, method, failed string
		status               int
		restores             int // beside the one of the run that ends right
	}{
		{"backup to Swift", "", events.BackupFailed, 403, 0},
		{"backup to Swift", "PUT", events.BackupFailed, 413, 0},
		{"backup to Swift", "PUT", events.BackupFailed, 507, 0},
		{"restore to Swift", "GET", events.RestoreFailed, 403, 0},
		{"restore to Swift", "PUT", events.RestoreFailed, 507, 0},
		{"dumper to Swift", "GET", events.DumpFailed, 403, 1},
		{"dumper to Swift", "PUT", events.DumpFailed, 413, 1},
	} {
		t.Run(fmt.Sprintf("%s %s %d", c.side, c.method, c.status), func(t *testing.T) {
			m.reportTo(t)
			if _, failed := m.trial(t, func(q request) testbed.HTTPFault {
				if q.side != c.side || !strings.HasPrefix(q.kind, c.method) {
					return testbed.HTTPFault{}
				}
				return testbed.HTTPFault{Action: testbed.Answer, Status: c.status}
			}); !failed {
				t.Fatal("the night ended as if nothing had been refused")
			}
			m.saidWhy(t, c.failed, c.status)
			if _, failed := m.run(t, true, nil); failed {
				t.Fatalf("the next run failed as well:\n%s", m.story())
			}
			tried(t, "Swift", fmt.Sprintf("answered %d for good", c.status), fmt.Sprintf("%s: every %s", c.side, cmp.Or(c.method, "request")), saidFailed)
			backups := 1
			if c.failed != events.BackupFailed {
				backups = 2
			}
			m.rightAfter(t, backups, 1+c.restores, 1)
		})
	}
}

// saidWhy checks the event of a step that failed for good.
func (m *mill) saidWhy(t *testing.T, subject string, status int) {
	t.Helper()
	of := m.of(subject, m.today())
	if len(of) != 1 {
		t.Fatalf("%d events on %s:\n%s", len(of), subject, m.story())
	}
	f, ok := of[0].Message.(interface {
		GetError() string
		GetStep() string
		GetAttempts() int32
		GetFinal() bool
	})
	if !ok || !f.GetFinal() || f.GetAttempts() != 5 || f.GetStep() == "" || !strings.Contains(f.GetError(), fmt.Sprint(status)) {
		t.Errorf("%s says %s", subject, of[0].Data)
	}
}
