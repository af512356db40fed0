package night_test

import (
	"testing"
	"time"

	"nightshard/shared/night"
)

// carrySource is a backup of one shard that may be carried forward.
func carrySource() (*night.Manifest, night.ShardKey) {
	start := time.Date(2016, 6, 1, 0, 0, 0, 0, time.UTC)
	m := &night.Manifest{Day: "2016-06-10", Cutoff: start.AddDate(0, 0, 9), Shards: []night.Shard{{
		ID: 7, RetentionPolicy: "main", Start: start, End: start.AddDate(0, 0, 1),
		Files:  []night.File{{Name: "000000001-000000001.tsm", Bytes: 100}, {Name: "000000002-000000001.tsm", Bytes: 20}},
		Counts: night.Fingerprint{"cpu": {"idle": {Min: 5, Max: 5}}},
	}}}
	return m, night.ShardKey{ID: 7, RetentionPolicy: "main", Start: start, End: start.AddDate(0, 0, 1)}
}

func TestAnUnchangedShardMayBeCarriedForward(t *testing.T) {
	t.Parallel()
	m, key := carrySource()
	s, ok := m.Carry(key, day(t, "2016-06-11"), 1000)
	if !ok || s.Carried == nil || s.Carried.Day != "2016-06-10" || !s.Carried.Clock.Equal(m.Cutoff) || s.Size() != 120 {
		t.Errorf("carried %+v, %v", s, ok)
	}
	if m.Shards[0].Carried != nil || m.CarriedForward() != 0 {
		t.Error("the earlier manifest was changed")
	}
	// From the second night on the first reading counts.
	m.Shards[0].Carried = &night.Reading{Day: "2016-06-05", Clock: m.Cutoff.AddDate(0, 0, -5)}
	if s, ok := m.Carry(key, day(t, "2016-06-11"), 1000); !ok || s.Carried.Day != "2016-06-05" || m.CarriedForward() != 1 {
		t.Errorf("carried %+v, %v", s, ok)
	}
}

func TestAShardThatIsNotSurelyTheSameIsRead(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(m *night.Manifest, key *night.ShardKey){
		"another id":               func(_ *night.Manifest, key *night.ShardKey) { key.ID++ },
		"another retention policy": func(_ *night.Manifest, key *night.ShardKey) { key.RetentionPolicy = "other" },
		"another start":            func(_ *night.Manifest, key *night.ShardKey) { key.Start = key.Start.Add(time.Hour) },
		"another end":              func(_ *night.Manifest, key *night.ShardKey) { key.End = key.End.Add(time.Hour) },
		"cut-off within its time":  func(m *night.Manifest, key *night.ShardKey) { m.Cutoff = key.End.Add(-time.Second) },
		"counts that changed": func(m *night.Manifest, _ *night.ShardKey) {
			m.Shards[0].Counts["cpu"]["idle"] = night.Range{Min: 4, Max: 5}
		},
		"deleted points": func(m *night.Manifest, _ *night.ShardKey) {
			m.Shards[0].Files[1].Name = "000000001-000000001.tombstone"
		},
		"no file":                  func(m *night.Manifest, _ *night.ShardKey) { m.Shards[0].Files = nil },
		"a reading on no day":      func(m *night.Manifest, _ *night.ShardKey) { m.Day = "" },
		"a reading on a later day": func(m *night.Manifest, _ *night.ShardKey) { m.Day = "2016-06-12" },
		"a reading long ago":       func(m *night.Manifest, _ *night.ShardKey) { m.Day = "2012-06-12" },
		"a first reading too early": func(m *night.Manifest, key *night.ShardKey) {
			m.Shards[0].Carried = &night.Reading{Day: "2016-06-09", Clock: key.End.Add(-time.Second)}
		},
	} {
		m, key := carrySource()
		change(m, &key)
		if s, ok := m.Carry(key, day(t, "2016-06-11"), 1000); ok {
			t.Errorf("%s: carried %+v", name, s)
		}
	}
	m, key := carrySource()
	if _, ok := m.Carry(key, day(t, "2016-06-11"), 1); ok {
		t.Error("carried on a full night")
	}
}

// Whatever nights are missed, no archive is carried for longer than it may be,
// and the readings are spread over the nights.
func TestEachShardIsReadInFullInItsTurn(t *testing.T) {
	t.Parallel()
	const every = 30
	for _, step := range []int{1, 2, 7, 45} { // nights between two backups
		m, key := carrySource()
		perNight := map[string]int{}
		for id := range uint64(120) {
			key.ID = id + 1
			m.Shards[0].ID, m.Shards[0].Carried, m.Day = key.ID, nil, "2016-06-10"
			last := day(t, m.Day)
			for n := 1; n*step < 150; n++ {
				today := day(t, "2016-06-10").Add(n * step)
				s, ok := m.Carry(key, today, every)
				if ok {
					if !today.Before(last.Add(every + 1)) {
						t.Fatalf("every %d nights: shard %d of %s is carried on %s", step, key.ID, last, today)
					}
					m.Shards[0].Carried = s.Carried
					continue
				}
				perNight[today.String()]++
				last = today
				m.Shards[0].Carried, m.Day = nil, today.String()
			}
		}
		if busiest := maxOf(perNight); step == 1 && busiest > 4 {
			t.Errorf("%d of 120 shards are read in one night", busiest)
		}
	}
}

func maxOf(m map[string]int) int {
	most := 0
	for _, n := range m {
		most = max(most, n)
	}
	return most
}
