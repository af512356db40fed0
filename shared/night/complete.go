package night

import (
	"slices"
	"time"
)

// ShardKey is a shard as production lists it.
type ShardKey struct {
	ID              uint64
	RetentionPolicy string
	Start           time.Time
	End             time.Time
}

// Plan says what became of production's shards while a backup ran.
type Plan struct {
	// Missing are listed by production and not stored yet.
	Missing []ShardKey
	// Deleted were stored, and production lists them no more.
	Deleted []ShardKey
}

// Reconcile compares the shards that are stored with those that production
// lists now.
func Reconcile(stored, listed []ShardKey) Plan {
	return Plan{Missing: without(listed, stored), Deleted: without(stored, listed)}
}

// without gives the shards of a that b lacks, by id.
func without(a, b []ShardKey) []ShardKey {
	ids := make(map[uint64]bool, len(b))
	for _, s := range b {
		ids[s.ID] = true
	}
	var out []ShardKey
	for _, s := range a {
		if !ids[s.ID] {
			out = append(out, s)
		}
	}
	return out
}

// CheckListing holds what was sent against what the listing shows, name, byte
// count and hash each. Every problem is named; none means that the day is
// whole. Leftovers are the listed names that were not sent.
func CheckListing(sent []Stored, listed map[string]Stored) (problems, leftovers []string) {
	want := make(map[string]bool, len(sent))
	for _, s := range sent {
		want[s.Object] = true
		got, ok := listed[s.Object]
		if reason := differs(s, got, ok); reason != "" {
			problems = append(problems, s.Object+": "+reason)
		}
	}
	for name := range listed {
		if !want[name] {
			leftovers = append(leftovers, name)
		}
	}
	slices.Sort(leftovers)
	return problems, leftovers
}

// Complete says that a backup with this cut-off holds the whole window that
// ends, not included, at to.
func Complete(cutoff, to time.Time) bool { return !cutoff.Before(to) }

// recent is how long before now a cut-off may lie for the backup to be the last
// night's.
const recent = 24 * time.Hour

// Recent says that a backup with this cut-off is of the last night.
func Recent(cutoff, now time.Time) bool { return now.Sub(cutoff) <= recent }
