//go:build !race

package e2e_test

import (
	"testing"

	"nightshard/shared/testbed"
)

// size is a database on which both ways are run, alternating.
type size struct {
	name    string
	dataset dataset
	rounds  int
	pages   int  // rounds in which the old way dumps in pages, too
	ours    bool // ours alone: the size only shows how ours grows
	warm    bool // a round of both goes before, which does not count
	counts  bool // each round has a backup of ours without its count queries, too
}

// sized is what was measured on a size.
type sized struct {
	size
	rounds  rounds
	bytes   int64 // of the backup
	records int64 // of the dump
	dumped  int64 // bytes of the dump
	peaks   []peak
}

// peak is the most memory that a service had resident.
type peak struct {
	service string
	bytes   int64
}

// measure runs both ways on the database.
func (s *sized) measure(t *testing.T) {
	h := measured(t, s.dataset)
	old := newOldWay(t, h)
	// What is in production's memory is on its disk from now on.
	old.backup(t, round{}, dayName(0))
	var counts memories
	if s.counts {
		counts = memories{newMemory(t, h.prod.URL), newMemory(t, h.inter.URL)}
	}
	procs := []*proc{
		h.start("backup", counts.before("NIGHTSHARD_PRODUCTION_URL", 0)...).ready(),
		h.start("restore", counts.before("NIGHTSHARD_INTERMEDIARY_URL", 1)...).ready(), h.start("dumper").ready(),
	}
	days := rowDays(s.dataset.days)
	if s.warm {
		s.round(t, h, old, days(), false)
	}
	for n := range s.size.rounds {
		r := s.round(t, h, old, days(), n < s.pages)
		if s.counts {
			merge(r, h.uncounted(t, counts, days()))
		}
		t.Logf("%s, round %d: %v", s.name, n+1, r)
		s.rounds = append(s.rounds, r)
	}
	for _, p := range procs {
		s.peaks = append(s.peaks, peak{p.name, p.peak()})
	}
}

// round runs both ways once; the one that begins changes from day to day.
func (s *sized) round(t *testing.T, h *house, old *oldWay, day string, pages bool) round {
	r := round{}
	ours := func() {
		n := h.timedNight(t, day, 1)
		s.bytes, s.records, s.dumped = n.backup.GetBytes(), n.dumps[0].GetRecords(), n.dumps[0].GetBytes()
		merge(r, n.round)
		h.forget(t, day)
	}
	theirs := func() {
		if !s.ours {
			merge(r, old.night(t, day, pages))
		}
	}
	if len(s.rounds)%2 == 0 {
		ours()
		theirs()
	} else {
		theirs()
		ours()
	}
	return r
}

// uncounted is what a backup and a restore take whose counts cost the servers
// nothing.
func (h *house) uncounted(t *testing.T, counts memories, day string) round {
	counts.turn(true)
	defer counts.turn(false)
	n := h.timedNight(t, day, 1)
	h.forget(t, day)
	return round{newUncounted: n.round[newBackup], newUndrilled: n.round[newRestore]}
}

// forget removes a day from Swift, so that the next night is a first one.
func (h *house) forget(t *testing.T, day string) {
	t.Helper()
	run(t, t.TempDir(), h.swift, testbed.SwiftClient(t), "delete", day)
}

// merge adds the steps of another round.
func merge(r, other round) {
	for step, seconds := range other {
		r[step] += seconds
	}
}

// rowDays gives the days of a dataset again and again. The old way loses the
// shards whose ids end in 0, and those that they fall upon: a dump of such a
// day would be an easy one.
func rowDays(days int) func() string {
	n := 0
	return func() string {
		for {
			n++
			if day := n % days; day != 0 && (day+1)%10 != 0 {
				return dayName(day)
			}
		}
	}
}
