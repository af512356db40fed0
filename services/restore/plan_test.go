package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"nightshard/shared/influx"
	"nightshard/shared/intermediary"
	"nightshard/shared/night"
)

// midnight is the start of a shard, n days on.
func midnight(n int) time.Time { return time.Date(2016, 6, 1+n, 0, 0, 0, 0, time.UTC) }

// threeDays are three shards of production with ids 11 to 13, in the places 21 to
// 23 of the intermediary, restored and read back.
func threeDays() (shards []night.Shard, live *influx.Metastore, held []intermediary.Held) {
	rp := influx.RetentionPolicyMeta{Name: "main", ShardGroupDuration: 24 * time.Hour}
	for n := range 3 {
		shards = append(shards, night.Shard{
			Stored: night.Stored{MD5: "a", Bytes: 5}, ID: uint64(11 + n), RetentionPolicy: "main", Start: midnight(n), End: midnight(n + 1),
		})
		rp.Groups = append(rp.Groups, influx.ShardGroupMeta{Start: midnight(n), End: midnight(n + 1), Shards: []uint64{uint64(21 + n)}})
		held = append(held, intermediary.Held{Shard: uint64(11 + n), Place: uint64(21 + n), MD5: "a", Archive: 5, Clock: midnight(9)})
	}
	live = &influx.Metastore{Databases: []influx.DatabaseMeta{{Name: "d", RetentionPolicies: []influx.RetentionPolicyMeta{rp}}}}
	return shards, live, held
}

func TestOnlyWhatWasRestoredFromTheSameArchiveMayBeKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(shards []night.Shard, held []intermediary.Held)
		keep  int
	}{
		"the same":                {func([]night.Shard, []intermediary.Held) {}, 3},
		"another archive":         {func(s []night.Shard, _ []intermediary.Held) { s[1].MD5 = "b" }, 2},
		"another size":            {func(s []night.Shard, _ []intermediary.Held) { s[1].Bytes = 6 }, 2},
		"another policy":          {func(s []night.Shard, _ []intermediary.Held) { s[1].RetentionPolicy = "other" }, 2},
		"other bounds":            {func(s []night.Shard, _ []intermediary.Held) { s[1].End = midnight(9) }, 2},
		"another shard":           {func(s []night.Shard, _ []intermediary.Held) { s[1].ID = 99 }, 2},
		"read back by counts":     {func(_ []night.Shard, h []intermediary.Held) { h[1].Clock = time.Time{} }, 2},
		"the place is of another": {func(_ []night.Shard, h []intermediary.Held) { h[1].Place, h[0].Place = h[0].Place, h[1].Place }, 1},
	} {
		shards, live, held := threeDays()
		c.spoil(shards, held)
		p, err := newPlan(shards, live.Shards("d"), held)
		if err != nil || len(p.keep) != c.keep {
			t.Errorf("%s: %+v, %v; want %d kept", name, p, err, c.keep)
		}
	}
	shards, live, held := threeDays()
	if p, err := newPlan(shards, live.Shards("d"), held[:2]); err == nil {
		t.Errorf("a shard that nobody restored: %+v", p)
	}
}

func TestWhatIsNotKeptIsDroppedAndFilled(t *testing.T) {
	t.Parallel()
	shards, live, held := threeDays()
	p := &plan{keep: map[uint64]intermediary.Held{11: held[0]}}
	if err := p.replace(shards[:2], live, "d"); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.drop, []uint64{22, 23}) || len(p.fill) != 1 || p.fill[0].ID != 12 {
		t.Errorf("%+v", p)
	}
}

func TestAPlaceThatTheServerWouldNotMakeLeadsToAFullRestore(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(s *night.Shard){
		"is not one of":   func(s *night.Shard) { s.End = s.End.Add(time.Hour) },
		"to 2016-06-02":   func(s *night.Shard) { s.Start = s.Start.Add(time.Hour) },
		"of 0s":           func(s *night.Shard) { s.RetentionPolicy = "gone" },
		"overlap":         func(s *night.Shard) { s.Start, s.End = midnight(1), midnight(2) },
		"has a measureme": func(s *night.Shard) { s.Counts = night.Fingerprint{seed: {}} },
	} {
		shards, live, held := threeDays()
		spoil(&shards[0])
		p := &plan{keep: map[uint64]intermediary.Held{12: held[1], 13: held[2]}}
		if err := p.replace(shards, live, "d"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
