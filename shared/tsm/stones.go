package tsm

import (
	"fmt"
	"strings"
)

// stones are the deletes that one tombstone file holds, by key. They concern
// the .tsm file of the same name only: points written later to the same range
// live in newer files and stay.
type stones struct {
	stem   string // the file's name without its ending
	ranges map[string][]timeRange
	memory int
	// kept holds them by stem for a rewriter, which is behind the verifier by
	// up to a buffer, in which there may be several files. Nil without one.
	kept map[string]map[string][]timeRange
}

// maxStones bounds what the records of one tombstone file may take in memory
// when they are applied: about 500,000 series with usual keys.
const maxStones = 64 << 20

// recordMemory is what a record takes beside its key, roughly.
const recordMemory = 64

// begin forgets the records of the file before. A nil receiver only checks.
func (s *stones) begin(file string) tombstoneFunc {
	if s == nil {
		return func([]byte, timeRange) error { return nil }
	}
	s.stem, s.ranges, s.memory = strings.TrimSuffix(file, extTombstone), map[string][]timeRange{}, 0
	if s.kept != nil {
		s.kept[s.stem] = s.ranges
	}
	return s.add
}

func (s *stones) add(key []byte, r timeRange) error {
	if s.memory += recordMemory + len(key); s.memory > maxStones {
		return fmt.Errorf("the records take more than %d bytes of memory", maxStones)
	}
	s.ranges[string(key)] = append(s.ranges[string(key)], r)
	return nil
}

// of gives the deletes for a .tsm file; nil when there are none.
func (s *stones) of(file string) map[string][]timeRange {
	if s == nil || s.stem != strings.TrimSuffix(file, extTSM) || len(s.ranges) == 0 {
		return nil
	}
	return s.ranges
}

// take gives the deletes for a .tsm file to the rewriter and forgets them.
func (s *stones) take(file string) map[string][]timeRange {
	stem := strings.TrimSuffix(file, extTSM)
	ranges := s.kept[stem]
	delete(s.kept, stem)
	if len(ranges) == 0 {
		return nil
	}
	return ranges
}

// cover says how ranges cover the times from min to max.
type cover int

const (
	coverNone cover = iota
	coverPart
	coverWhole
)

func covers(ranges []timeRange, minTime, maxTime int64) cover {
	result := coverNone
	for _, r := range ranges {
		if r.min <= minTime && r.max >= maxTime {
			return coverWhole
		}
		if r.min <= maxTime && r.max >= minTime {
			result = coverPart
		}
	}
	return result
}

// covered says whether a single time is deleted.
func covered(ranges []timeRange, t int64) bool {
	return covers(ranges, t, t) == coverWhole
}
