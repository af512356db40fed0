package main

import (
	"errors"
	"reflect"
	"testing"

	"nightshard/shared/night"
	"nightshard/shared/tsm"
)

// bounds are what an archive holds of the only field: at most and at least.
type bounds struct{ most, least int64 }

func (b bounds) archive() *tsm.Archive {
	a := &tsm.Archive{Counts: map[tsm.FieldKey]int64{}, Least: map[tsm.FieldKey]int64{}}
	if b.most > 0 {
		k := tsm.FieldKey{Measurement: "m", Field: "f"}
		a.Counts[k], a.Least[k] = b.most, b.least
	}
	return a
}

func one(n int64) night.Counts {
	c := night.Counts{}
	if n > 0 {
		c.Add("m", "f", n)
	}
	return c
}

func TestAnArchiveIsHeldAgainstBothCounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after  int64
		archive        bounds
		want, restless error       // what is found, also when points come and go
		allowed        night.Range // what a restore may then count
	}{
		"as counted":                     {10, 10, bounds{10, 10}, nil, nil, night.Range{Min: 10, Max: 10}},
		"blocks overlap":                 {10, 10, bounds{14, 8}, nil, nil, night.Range{Min: 10, Max: 10}},
		"the cache was left out":         {10, 10, bounds{9, 9}, errTooFew, errTooFew, night.Range{}},
		"nothing came":                   {10, 10, bounds{}, errTooFew, errTooFew, night.Range{}},
		"written meanwhile":              {10, 20, bounds{15, 15}, nil, nil, night.Range{Min: 10, Max: 20}},
		"written, and left out":          {10, 20, bounds{9, 9}, errTooFew, nil, night.Range{Min: 9, Max: 20}},
		"deleted meanwhile":              {20, 10, bounds{15, 15}, nil, nil, night.Range{Min: 10, Max: 20}},
		"deleted and written":            {10, 20, bounds{30, 30}, errTooMany, nil, night.Range{Min: 10, Max: 30}},
		"deleted and written, overlap":   {10, 20, bounds{30, 5}, nil, nil, night.Range{Min: 5, Max: 30}},
		"deleted and written, unchanged": {10, 10, bounds{30, 30}, errTooMany, nil, night.Range{Min: 10, Max: 30}},
		"all deleted, and written":       {0, 20, bounds{}, nil, nil, night.Range{Min: 0, Max: 20}},
		"came and went":                  {0, 0, bounds{5, 5}, errTooMany, nil, night.Range{Min: 0, Max: 5}},
		"deleted before":                 {0, 0, bounds{5, 0}, nil, nil, night.Range{}},
	} {
		a := c.archive.archive()
		s := night.Shard{Counts: night.NewFingerprint(one(c.before), one(c.after))}
		for restless, want := range map[bool]error{false: c.want, true: c.restless} {
			if err := holds(a, s, restless); !errors.Is(err, want) || (want == nil) != (err == nil) {
				t.Errorf("%s, restless %t: %v", name, restless, err)
			}
		}
		if c.restless != nil {
			continue
		}
		widen(s.Counts, a, !reflect.DeepEqual(one(c.before), one(c.after)))
		if got := s.Counts["m"]["f"]; got != c.allowed {
			t.Errorf("%s: allowed is %+v, want %+v", name, got, c.allowed)
		}
	}
}
