package night

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	// fewValues and fewBytes are the parts of the day before at or below which a
	// day counts as unusual. Bytes alone fall when a server compacts.
	fewValues = 2
	fewBytes  = 4
	// silence is how long at least lies between two backups that must differ.
	silence = time.Hour
	// grace is how long after the cut-off retention may still delete shards before
	// the backup has ended.
	grace = 24 * time.Hour
	// maxNamed bounds the warnings of one kind, and longName the letters of a
	// name in one: an event has a limit.
	maxNamed = 10
	longName = 200
)

// Unusual says what of this backup an operator would want to look at before it
// is relied on, held against an earlier one of the same server. What retention
// explains is not unusual. Counts are ranges: only what lies outside of both is
// said. Nothing is when there is no earlier one.
func (m *Manifest) Unusual(earlier *Manifest) []string {
	if earlier == nil || m.Production.ClusterID != earlier.Production.ClusterID || m.Database != earlier.Database {
		return nil
	}
	c := comparison{now: m, earlier: earlier, before: map[string]int64{}, after: map[string]int64{}}
	c.hold()
	var out []string
	for _, warnings := range [][]string{c.values(), c.vanished(), bounded(c.gone), bounded(c.shrunk), c.size(), c.silent()} {
		out = append(out, warnings...)
	}
	return out
}

// comparison holds two manifests against each other. It sees only the shards of
// the earlier one that must still be there.
type comparison struct {
	now, earlier *Manifest
	// before and after are values by measurement: the least that these shards
	// had, and the most that they have.
	before, after map[string]int64
	bytes         int64 // what these shards took up
	gone, shrunk  []string
}

// hold goes through the shards of the earlier backup.
func (c *comparison) hold() {
	now := make(map[uint64]*Shard, len(c.now.Shards))
	for i := range c.now.Shards {
		now[c.now.Shards[i].ID] = &c.now.Shards[i]
	}
	for i := range c.earlier.Shards {
		s := &c.earlier.Shards[i]
		left := now[s.ID]
		if left != nil && left.RetentionPolicy != s.RetentionPolicy {
			left = nil
		}
		if left == nil && c.expired(s) || c.setBack(s) {
			continue
		}
		c.bytes += s.Bytes
		for measurement := range s.Counts {
			least, _ := s.Counts.values(measurement)
			c.before[measurement] += least
		}
		if left != nil {
			c.compare(s, left)
		} else {
			c.miss(s)
		}
	}
}

// expired says that retention explains why a shard is gone, by the policies as
// they are now: InfluxDB deletes a shard when all of it is older than that.
func (c *comparison) expired(s *Shard) bool {
	for _, rp := range c.now.RetentionPolicies {
		keep, err := time.ParseDuration(rp.Duration)
		if rp.Name == s.RetentionPolicy && err == nil && keep > 0 {
			return !s.End.Add(keep).After(c.now.Cutoff.Add(grace))
		}
	}
	return false
}

// setBack says that production's clock was set back so far that the shard is not
// counted to where it was counted before.
func (c *comparison) setBack(s *Shard) bool {
	return c.now.Cutoff.Before(s.End) && c.now.Cutoff.Before(c.earlier.Cutoff)
}

// compare holds a shard against what is left of it, field by field: another
// field that grew makes up for nothing.
func (c *comparison) compare(s, left *Shard) {
	var lost, had int64
	for measurement, fields := range s.Counts {
		_, most := left.Counts.values(measurement)
		c.after[measurement] += most
		for field, before := range fields {
			had += before.Min
			lost += max(0, before.Min-left.Counts[measurement][field].Max)
		}
	}
	if lost > 0 {
		c.shrunk = append(c.shrunk, fmt.Sprintf("shard %d of %s (%s to %s) lacks %d of the %d values that it had on %s",
			s.ID, named(s.RetentionPolicy), minuteOf(s.Start), minuteOf(s.End), lost, had, c.earlier.Day))
	}
}

// miss notes a shard that is gone for no reason that the manifest knows.
func (c *comparison) miss(s *Shard) {
	had := int64(0)
	for measurement := range s.Counts {
		least, _ := s.Counts.values(measurement)
		had += least
	}
	if had == 0 {
		return
	}
	when := "before the backup began"
	if slices.Contains(c.now.Deleted, s.ID) {
		when = "while the backup ran"
	}
	c.gone = append(c.gone, fmt.Sprintf("shard %d of %s (%s to %s), which had %d values on %s, was deleted %s, and its retention does not ask for that",
		s.ID, named(s.RetentionPolicy), minuteOf(s.Start), minuteOf(s.End), had, c.earlier.Day, when))
}

// values says that half of the values, or more, are gone.
func (c *comparison) values() []string {
	before, after := sum(c.before), sum(c.after)
	if before == 0 || after > before/fewValues {
		return nil
	}
	return []string{fmt.Sprintf("half of the values are gone, or more: %d are left of the %d of %s that retention would keep", after, before, c.earlier.Day)}
}

// vanished names the measurements of which nothing is left in any shard.
func (c *comparison) vanished() []string {
	here := map[string]bool{}
	for i := range c.now.Shards {
		for measurement := range c.now.Shards[i].Counts {
			if _, most := c.now.Shards[i].Counts.values(measurement); most > 0 {
				here[measurement] = true
			}
		}
	}
	var out []string
	for _, measurement := range slices.Sorted(maps.Keys(c.before)) {
		if c.before[measurement] > 0 && !here[measurement] {
			out = append(out, fmt.Sprintf("measurement %s vanished: it had %d values on %s", named(measurement), c.before[measurement], c.earlier.Day))
		}
	}
	return bounded(out)
}

// size says that the day takes up much less room.
func (c *comparison) size() []string {
	var bytes int64
	for i := range c.now.Shards {
		bytes += c.now.Shards[i].Bytes
	}
	if c.bytes == 0 || bytes > c.bytes/fewBytes {
		return nil
	}
	return []string{fmt.Sprintf("the shards take up a quarter of their size, or less: %d bytes, %d on %s", bytes, c.bytes, c.earlier.Day)}
}

// silent says that production got nothing since the earlier backup.
func (c *comparison) silent() []string {
	had := map[uint64]*Shard{}
	for i := range c.earlier.Shards {
		had[c.earlier.Shards[i].ID] = &c.earlier.Shards[i]
	}
	var before int64
	for i := range c.now.Shards {
		s := &c.now.Shards[i]
		for measurement, fields := range s.Counts {
			for field, after := range fields {
				was := int64(0)
				if h := had[s.ID]; h != nil {
					was = h.Counts[measurement][field].Min
				}
				if after.Max > was {
					return nil
				}
				before += was
			}
		}
	}
	if before == 0 || c.now.Cutoff.Sub(c.earlier.Cutoff) < silence {
		return nil
	}
	return []string{fmt.Sprintf("nothing was written since the backup of %s, whose cut-off was %s", c.earlier.Day, c.earlier.Cutoff.UTC().Format(time.RFC3339))}
}

// values is the sum of a measurement's counts, at least and at most.
func (f Fingerprint) values(measurement string) (least, most int64) {
	for _, r := range f[measurement] {
		least += r.Min
		most += r.Max
	}
	return least, most
}

func sum(counts map[string]int64) int64 {
	var all int64
	for _, n := range counts {
		all += n
	}
	return all
}

// bounded keeps the first warnings of a kind and the number of the others.
func bounded(warnings []string) []string {
	if len(warnings) <= maxNamed {
		return warnings
	}
	first := slices.Clone(warnings[:maxNamed])
	first[maxNamed-1] += fmt.Sprintf("; %d more like this", len(warnings)-maxNamed)
	return first
}

// named is a name for people, whatever bytes are in it.
func named(name string) string {
	if len(name) > longName {
		return fmt.Sprintf("%q…", name[:longName])
	}
	return fmt.Sprintf("%q", name)
}

// minuteOf is a shard's bound, in UTC, as InfluxDB cuts shards.
func minuteOf(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
