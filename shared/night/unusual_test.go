package night_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshard/shared/night"
)

// twoNights are a backup and the next one, of a server where nothing unusual
// happens: shard 3 of the policy "short" is too old by the second night, shard 4
// got points, and shard 5 is new.
func twoNights() (earlier, now *night.Manifest) {
	at := time.Date(2016, 6, 10, 23, 55, 0, 0, time.UTC)
	policies := []night.RetentionPolicy{{Name: "ever", Duration: "0s"}, {Name: "short", Duration: "72h0m0s"}}
	make := func(day string, cutoff time.Time, shards ...night.Shard) *night.Manifest {
		return &night.Manifest{
			Day: day, Database: "db", Production: night.Production{ClusterID: "7"}, Cutoff: cutoff,
			RetentionPolicies: policies, Shards: shards,
		}
	}
	earlier = make("2016-06-10", at,
		stored(1, "ever", at.AddDate(0, 0, -9), 100, night.Fingerprint{"cpu": {"idle": exactly(100), "user": exactly(50)}, "mem": {"used": exactly(10)}}),
		stored(2, "ever", at.AddDate(0, 0, -8), 100, night.Fingerprint{"cpu": {"idle": exactly(100)}}),
		stored(3, "short", at.AddDate(0, 0, -3), 100, night.Fingerprint{"disk": {"free": exactly(900)}}),
		stored(4, "ever", at, 100, night.Fingerprint{"cpu": {"idle": night.Range{Min: 90, Max: 110}}}),
	)
	now = make("2016-06-11", at.AddDate(0, 0, 1),
		stored(1, "ever", at.AddDate(0, 0, -9), 100, night.Fingerprint{"cpu": {"idle": exactly(100), "user": exactly(50)}, "mem": {"used": exactly(10)}}),
		stored(2, "ever", at.AddDate(0, 0, -8), 100, night.Fingerprint{"cpu": {"idle": exactly(100)}}),
		stored(4, "ever", at, 100, night.Fingerprint{"cpu": {"idle": night.Range{Min: 85, Max: 200}}}),
		stored(5, "ever", at.AddDate(0, 0, 1), 100, night.Fingerprint{"cpu": {"idle": exactly(20)}}),
	)
	return earlier, now
}

func exactly(n int64) night.Range { return night.Range{Min: n, Max: n} }

// stored is a shard of one day that ends at the next midnight.
func stored(id uint64, policy string, in time.Time, bytes int64, counts night.Fingerprint) night.Shard {
	begin := in.Truncate(24 * time.Hour)
	return night.Shard{
		Stored: night.Stored{Bytes: bytes}, ID: id, RetentionPolicy: policy, Start: begin, End: begin.AddDate(0, 0, 1), Counts: counts,
	}
}

// without takes a shard out.
func without(m *night.Manifest, id uint64) {
	m.Shards = slices.DeleteFunc(m.Shards, func(s night.Shard) bool { return s.ID == id })
}

func TestWhatIsUnusualIsSaid(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		happens func(earlier, now *night.Manifest)
		want    []string // what each warning says, in order
	}{
		"an ordinary night":         {func(_, _ *night.Manifest) {}, nil},
		"another server":            {func(e, now *night.Manifest) { e.Production.ClusterID = "8"; now.Shards = nil }, nil},
		"another database":          {func(e, now *night.Manifest) { e.Database = "other"; now.Shards = nil }, nil},
		"nothing before":            {func(e, _ *night.Manifest) { e.Shards = nil }, nil},
		"points deleted in a shard": {func(_, now *night.Manifest) { now.Shards[1].Counts["cpu"]["idle"] = exactly(99) }, []string{`shard 2 of "ever" (2016-06-02 00:00 to 2016-06-03 00:00) lacks 1 of the 100 values that it had on 2016-06-10`}},
		"one field shrunk, one grown": {func(_, now *night.Manifest) {
			now.Shards[0].Counts["cpu"]["idle"] = exactly(60)
			now.Shards[0].Counts["cpu"]["user"] = exactly(99)
		}, []string{"shard 1 of \"ever\" (2016-06-01 00:00 to 2016-06-02 00:00) lacks 40 of the 160 values"}},
		"inside of the ranges":  {func(_, now *night.Manifest) { now.Shards[2].Counts["cpu"]["idle"] = night.Range{Min: 80, Max: 90} }, nil},
		"a measurement dropped": {func(_, now *night.Manifest) { delete(now.Shards[0].Counts, "mem") }, []string{`measurement "mem" vanished: it had 10 values on 2016-06-10`, "shard 1 of \"ever\" (2016-06-01 00:00 to 2016-06-02 00:00) lacks 10 of"}},
		"a measurement moved on": {func(_, now *night.Manifest) {
			delete(now.Shards[0].Counts, "mem")
			now.Shards[3].Counts["mem"] = map[string]night.Range{"used": exactly(1)}
		}, []string{"shard 1 of"}},
		"a shard dropped":             {func(_, now *night.Manifest) { without(now, 2) }, []string{"shard 2 of \"ever\" (2016-06-02 00:00 to 2016-06-03 00:00), which had 100 values on 2016-06-10, was deleted before the backup began"}},
		"a shard dropped meanwhile":   {func(_, now *night.Manifest) { without(now, 2); now.Deleted = []uint64{2} }, []string{"was deleted while the backup ran, and its retention does not ask for that"}},
		"an id in another policy":     {func(_, now *night.Manifest) { now.Shards[1].RetentionPolicy = "short" }, []string{"shard 2 of \"ever\""}},
		"retention was set just now":  {func(_, now *night.Manifest) { without(now, 2); now.RetentionPolicies[0].Duration = "168h0m0s" }, nil},
		"expires before the end":      {func(e, now *night.Manifest) { e.Shards[2].End = now.Cutoff.Add(time.Hour - 72*time.Hour) }, nil},
		"the policy is gone":          {func(_, now *night.Manifest) { now.RetentionPolicies = now.RetentionPolicies[:1] }, []string{"half of the values are gone", `measurement "disk" vanished`, `shard 3 of "short"`}},
		"half of the points deleted":  {func(_, now *night.Manifest) { halve(now) }, []string{"half of the values are gone, or more: 175 are left of the 350 of 2016-06-10", "shard 1", "shard 2", "shard 4"}},
		"a little less than half":     {func(_, now *night.Manifest) { halve(now); now.Shards[2].Counts["cpu"]["idle"] = exactly(46) }, []string{"shard 1", "shard 2", "shard 4"}},
		"everything deleted":          {func(_, now *night.Manifest) { now.Shards = nil }, []string{"half of the values are gone", `"cpu" vanished`, `"mem" vanished`, "shard 1", "shard 2", "shard 4", "a quarter of their size, or less: 0 bytes, 300 on"}},
		"much smaller":                {func(_, now *night.Manifest) { size(now, 18) }, []string{"a quarter of their size, or less: 72 bytes, 300 on 2016-06-10"}},
		"compacted":                   {func(_, now *night.Manifest) { size(now, 30) }, nil},
		"nothing written":             {func(_, now *night.Manifest) { still(now) }, []string{"nothing was written since the backup of 2016-06-10, whose cut-off was 2016-06-10T23:55:00Z"}},
		"nothing written in a moment": {func(e, now *night.Manifest) { still(now); now.Cutoff = e.Cutoff.Add(time.Minute) }, nil},
		"the clock was set back": {func(e, now *night.Manifest) {
			now.Cutoff = e.Cutoff.Add(-time.Hour)
			without(now, 5)
			now.Shards[2].Counts["cpu"]["idle"] = exactly(50)
		}, nil},
		"an empty shard dropped":       {func(e, now *night.Manifest) { e.Shards[1].Counts = nil; without(now, 2) }, nil},
		"dropped and gone as expected": {func(_, now *night.Manifest) { now.Deleted = []uint64{3} }, nil},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			earlier, now := twoNights()
			c.happens(earlier, now)
			got := now.Unusual(earlier)
			if len(got) != len(c.want) {
				t.Fatalf("%d warnings, want %d:\n%s", len(got), len(c.want), strings.Join(got, "\n"))
			}
			for i, want := range c.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("warning %q, want %q", got[i], want)
				}
			}
		})
	}
	_, now := twoNights()
	if got := now.Unusual(nil); len(got) > 0 {
		t.Errorf("the first backup: %q", got)
	}
}

// halve deletes every second point of what was there before.
func halve(m *night.Manifest) {
	m.Shards[0].Counts = night.Fingerprint{"cpu": {"idle": exactly(50), "user": exactly(25)}, "mem": {"used": exactly(5)}}
	m.Shards[1].Counts["cpu"]["idle"] = exactly(50)
	m.Shards[2].Counts["cpu"]["idle"] = exactly(45)
}

// size makes all shards that large.
func size(m *night.Manifest, bytes int64) {
	for i := range m.Shards {
		m.Shards[i].Bytes = bytes
	}
}

// still is a night without a point.
func still(m *night.Manifest) {
	without(m, 5)
	m.Shards[2].Counts["cpu"]["idle"] = exactly(90)
}

func TestWarningsOfOneKindAreBounded(t *testing.T) {
	t.Parallel()
	at := time.Date(2016, 6, 10, 23, 55, 0, 0, time.UTC)
	long := strings.Repeat("x", 70_000)
	e := &night.Manifest{Day: "2016-06-10", Cutoff: at}
	for id := range uint64(400) {
		e.Shards = append(e.Shards, stored(id, "ever", at, 0, night.Fingerprint{fmt.Sprint(long, id, "\xff"): {"f": exactly(1)}}))
	}
	now := &night.Manifest{Day: "2016-06-11", Cutoff: at.AddDate(0, 0, 1)}
	got := now.Unusual(e)
	text := strings.Join(got, "\n")
	if len(got) != 21 || len(text) > 10_000 || !strings.Contains(text, "; 390 more like this") {
		t.Errorf("%d warnings of %d bytes:\n%.2000s", len(got), len(text), text)
	}
}

func TestABackupOfLastNightIsRecent(t *testing.T) {
	t.Parallel()
	now := time.Date(2016, 6, 10, 23, 55, 0, 0, time.UTC)
	if !night.Recent(now.Add(-24*time.Hour), now) || night.Recent(now.Add(-24*time.Hour-1), now) || !night.Recent(now.Add(time.Minute), now) {
		t.Error("the bounds are wrong")
	}
}
