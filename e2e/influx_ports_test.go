package e2e_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"nightshard/shared/testbed"
)

// wire is one connection of a night to a snapshot port.
type wire struct {
	side   string // such as "backup to port 8088"
	n      int    // which of the night's, from 1
	kind   string
	passed testbed.Passed
}

func (w wire) label() string { return w.side + ": " + w.kind }

// dialogue names what a connection is for, by its first bytes.
func dialogue(p testbed.Passed) string {
	if len(p.Head) < 2 {
		return "connection"
	}
	return map[byte]string{0: "reading a shard", 1: "reading the metastore", 6: "making the database", 7: "writing a shard"}[p.Head[1]]
}

// wires gives the connections that a good night makes.
func (m *mill) wires(t *testing.T) []wire {
	t.Helper()
	before := map[string]int{}
	for side, s := range m.sockets {
		before[side] = s.Accepted()
	}
	m.trial(t, nil)
	m.right(t, 1)
	var out []wire
	for side, s := range m.sockets {
		for n := 1; before[side]+n <= s.Accepted(); n++ {
			p := s.Passed(before[side] + n)
			out = append(out, wire{side, n, dialogue(p), p})
		}
	}
	return out
}

// snag is one thing that goes wrong on one connection.
type snag struct {
	wire
	name  string
	fault testbed.Fault
}

func (s snag) where() string {
	way := "answer"
	if s.fault.Direction == testbed.FromClient {
		way = "request"
	}
	return fmt.Sprintf("%s: %s, the %s", s.side, s.kind, way)
}

// endMarker is the length of what ends an archive: two blocks of zeros.
const endMarker = 1024

// silence is how long a stall lasts: longer than the services wait. Without an
// end the server would hold an upload for ever that the service has given up.
const silence = 2500 * time.Millisecond

// snags puts every action at the beginning, in the first block, in the middle
// and at the end of both ways of each connection.
func snags(wires []wire) []snag {
	var out []snag
	for _, w := range wires {
		for dir, size := range map[testbed.Direction]int64{testbed.FromServer: w.passed.FromServer, testbed.FromClient: w.passed.FromClient} {
			ends := []int64{size - 1}
			if size > 2*endMarker {
				ends = []int64{size - endMarker, size - 1}
			}
			for _, at := range append([]int64{0, 1, min(300, size/3), size / 2}, ends...) {
				for action, name := range map[testbed.Action]string{
					testbed.Cut: "ended (FIN)", testbed.Reset: "reset", testbed.Stall: "stalled", testbed.Flip: "bit flipped",
				} {
					s := snag{w, name, testbed.Fault{Direction: dir, Action: action, After: max(0, at), For: silence}}
					if at == size-endMarker && action == testbed.Cut {
						s.name = "end marker missing"
					}
					out = append(out, s)
				}
			}
		}
	}
	// Maps have no order, and -seed must mean the same each time.
	slices.SortFunc(out, func(a, b snag) int { return compareText(fmt.Sprintf("%+v", a), fmt.Sprintf("%+v", b)) })
	return slices.CompactFunc(out, func(a, b snag) bool { return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b) })
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestNightSurvivesInfluxDBsSnapshotPortAtItsWorst(t *testing.T) {
	t.Parallel()
	m := newMill(t, "NIGHTSHARD_WORK_TIMEOUT=3s", "NIGHTSHARD_PARALLEL=1")
	t.Run("a tag that changed on the way", m.changedTag)
	for _, s := range choose(t, snags(m.wires(t)), 24, func(s snag) string { return s.name + " " + s.where() }) {
		t.Run(fmt.Sprintf("%s/%s/%d at %d", s.where(), s.name, s.n, s.fault.After), func(t *testing.T) {
			m.reportTo(t)
			m.snagged(t, s)
		})
	}
}

// snagged runs one night in which one connection goes wrong.
func (m *mill) snagged(t *testing.T, s snag) {
	socket := m.sockets[s.side]
	number := socket.Accepted() + s.n
	socket.OnConn(func(n int) []testbed.Fault {
		if n == number {
			return []testbed.Fault{s.fault}
		}
		return nil
	})
	defer socket.OnConn(nil)
	_, failed := m.trial(t, nil)
	if socket.Accepted() < number {
		return // there were fewer connections this time: nothing was tried
	}
	tried(t, "InfluxDB", s.name, s.where(), m.mastered(t, failed))
}
