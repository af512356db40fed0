package influx_test

import (
	"testing"

	"nightshard/shared/influx"
	"nightshard/shared/testbed"
)

func TestItIsSeenWhenACacheWasWritten(t *testing.T) {
	t.Parallel()
	type state = influx.CacheState
	for name, c := range map[string]struct {
		states []state
		proof  int // the first state that proves it, from 1; 0 is none
	}{
		"idle":                        {[]state{{5, 0}, {5, 0}, {5, 0}}, 0},
		"an older part ends":          {[]state{{5, 3}, {5, 0}, {5, 0}}, 0},
		"a newer part is written":     {[]state{{5, 3}, {8, 3}, {8, 0}}, 3},
		"a newer part ends at once":   {[]state{{5, 0}, {8, 0}}, 0},
		"the next but one has begun":  {[]state{{5, 3}, {8, 3}, {9, 1}}, 3},
		"the server was restarted":    {[]state{{5, 3}, {8, 3}, {2, 0}, {2, 0}}, 0},
		"a restart, and then a proof": {[]state{{5, 3}, {2, 2}, {4, 2}, {7, 3}}, 4},
	} {
		var w influx.CacheWatch
		proof := 0
		for i, s := range c.states {
			if w.See(s) && proof == 0 {
				proof = i + 1
			}
		}
		if proof != c.proof {
			t.Errorf("%s: proved by state %d, want %d", name, proof, c.proof)
		}
	}
}

func TestTheStateOfACacheIsKnown(t *testing.T) {
	t.Parallel()
	for _, version := range []string{testbed.Influx18, testbed.Influx16} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s, id := oneShard(t, version)
			before, err := s.http.Cache(t.Context(), "d", id)
			if err != nil || before.Taken != 0 {
				t.Fatalf("%+v, %v", before, err)
			}
			if err := s.snap.Flush(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			after, err := s.http.Cache(t.Context(), "d", id)
			if err != nil || after.Taken == 0 || after.Writing != 0 {
				t.Errorf("%+v, %v", after, err)
			}
			if got, err := s.http.Cache(t.Context(), "d", 4711); err == nil {
				t.Errorf("an unknown shard: %+v", got)
			}
		})
	}
}
