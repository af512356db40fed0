package night

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// Range is how many values production may have had when a shard was read: the
// least and the most of the counts taken before and after.
type Range struct {
	Min int64
	Max int64
}

// MarshalJSON writes one number where both ends are equal, else [min, max].
func (r Range) MarshalJSON() ([]byte, error) {
	if r.Min == r.Max {
		return fmt.Appendf(nil, "%d", r.Min), nil
	}
	return fmt.Appendf(nil, "[%d,%d]", r.Min, r.Max), nil
}

// UnmarshalJSON reads both forms.
func (r *Range) UnmarshalJSON(data []byte) error {
	var pair [2]int64
	if err := json.Unmarshal(data, &pair[0]); err == nil {
		*r = Range{Min: pair[0], Max: pair[0]}
		return nil
	}
	if err := json.Unmarshal(data, &pair); err != nil {
		return fmt.Errorf("read count %s: %w", data, err)
	}
	*r = Range{Min: pair[0], Max: pair[1]}
	return nil
}

// Counts are the numbers of values by measurement and field.
type Counts map[string]map[string]int64

// Add adds n to the count of a field.
func (c Counts) Add(measurement, field string, n int64) {
	if c[measurement] == nil {
		c[measurement] = map[string]int64{}
	}
	c[measurement][field] += n
}

// Sum is the number of values in all.
func (c Counts) Sum() int64 {
	var sum int64
	for _, fields := range c {
		for _, n := range fields {
			sum += n
		}
	}
	return sum
}

// Fingerprint is what a shard may hold, by measurement and field.
type Fingerprint map[string]map[string]Range

// NewFingerprint spans the counts taken before and after a shard was read. A
// field that one of them lacks counts 0 there.
func NewFingerprint(before, after Counts) Fingerprint {
	f := Fingerprint{}
	for _, c := range []Counts{before, after} {
		for m, fields := range c {
			if f[m] == nil {
				f[m] = make(map[string]Range, len(fields))
			}
			for field := range fields {
				b, a := before[m][field], after[m][field]
				f[m][field] = Range{Min: min(b, a), Max: max(b, a)}
			}
		}
	}
	return f
}

// Difference is a count that lies outside what the fingerprint allows.
type Difference struct {
	Shard           uint64 `json:"shard"`
	RetentionPolicy string `json:"retentionPolicy"`
	Measurement     string `json:"measurement"`
	Field           string `json:"field"`
	Want            Range  `json:"want"`
	Got             int64  `json:"got"`
}

// String names the difference for people.
func (d Difference) String() string {
	want := fmt.Sprint(d.Want.Min)
	if d.Want.Min != d.Want.Max {
		want = fmt.Sprintf("%d to %d", d.Want.Min, d.Want.Max)
	}
	return fmt.Sprintf("shard %d %q.%q field %q: %d values, want %s",
		d.Shard, d.RetentionPolicy, d.Measurement, d.Field, d.Got, want)
}

// Compare holds the counts of a restored shard against its fingerprint. It
// returns how many counts were compared and each that differs, by name. What
// the restored shard has beyond the fingerprint is a difference too.
func (f Fingerprint) Compare(shard Shard, got Counts) (compared int64, diffs []Difference) {
	add := func(m, field string, want Range, n int64) {
		compared++
		if n < want.Min || n > want.Max {
			diffs = append(diffs, Difference{
				Shard: shard.ID, RetentionPolicy: shard.RetentionPolicy,
				Measurement: m, Field: field, Want: want, Got: n,
			})
		}
	}
	for m, fields := range f {
		for field, want := range fields {
			add(m, field, want, got[m][field])
		}
	}
	for m, fields := range got {
		for field, n := range fields {
			if _, ok := f[m][field]; !ok {
				add(m, field, Range{}, n)
			}
		}
	}
	slices.SortFunc(diffs, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Measurement, b.Measurement), cmp.Compare(a.Field, b.Field))
	})
	return compared, diffs
}
