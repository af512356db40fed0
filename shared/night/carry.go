package night

import (
	"strings"
	"time"
)

// Reading says when an archive was read from production.
type Reading struct {
	// Day is that of the backup that read it.
	Day string `json:"day"`
	// Clock is production's clock before it was read.
	Clock time.Time `json:"clock"`
}

// Reading says when the archive of one of the manifest's shards was last read in
// full.
func (m *Manifest) Reading(s *Shard) Reading {
	if s.Carried != nil {
		return *s.Carried
	}
	return Reading{Day: m.Day, Clock: m.Cutoff}
}

// CarriedForward counts the shards that were copied from an earlier day.
func (m *Manifest) CarriedForward() int {
	n := 0
	for i := range m.Shards {
		if m.Shards[i].Carried != nil {
			n++
		}
	}
	return n
}

// Carry gives the shard of an earlier, proved backup that may stand for
// production's on day, if production's files are still the same. ok is false if
// it must be read in full: it is not the same shard, its counts were not final or
// changed while it was read, points in it are deleted and not yet compacted, or
// its turn has come, at least once in every nights.
func (m *Manifest) Carry(key ShardKey, day Day, every int) (s Shard, ok bool) {
	for i := range m.Shards {
		s = m.Shards[i]
		same := s.ID == key.ID && s.RetentionPolicy == key.RetentionPolicy && s.Start.Equal(key.Start) && s.End.Equal(key.End)
		if !same {
			continue
		}
		read := m.Reading(&s)
		s.Carried = &read
		final := !s.End.After(read.Clock) && s.Counts.exact()
		return s, final && s.plain() && !due(s.ID, read.Day, day, every)
	}
	return Shard{}, false
}

// plain says that the archive has files, and that all of them hold blocks.
func (s *Shard) plain() bool {
	for _, f := range s.Files {
		if !strings.HasSuffix(f.Name, ".tsm") {
			return false
		}
	}
	return len(s.Files) > 0
}

// Size is the size of the shard's files, in bytes.
func (s *Shard) Size() int64 {
	var sum int64
	for _, f := range s.Files {
		sum += f.Bytes
	}
	return sum
}

// exact says that nothing changed while it was counted.
func (f Fingerprint) exact() bool {
	for _, fields := range f {
		for _, r := range fields {
			if r.Min != r.Max {
				return false
			}
		}
	}
	return true
}

// due says that a shard is to be read in full. The turns are spread evenly over
// the nights by the shards' ids; a turn that was missed is due until it is done.
func due(id uint64, read string, day Day, every int) bool {
	last, err := ParseDay(read)
	if err != nil || every <= 1 || !last.Before(day) {
		return err != nil || every <= 1 || day.Before(last)
	}
	for turn, n := last.Add(1), 0; !day.Before(turn); turn, n = turn.Add(1), n+1 {
		if n+1 >= every || (id+turn.number())%uint64(every) == 0 {
			return true
		}
	}
	return false
}

// number counts days.
func (d Day) number() uint64 {
	return uint64(d.noon().Unix() / int64((24 * time.Hour).Seconds())) //nolint:gosec // days since 1970
}
