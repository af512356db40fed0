package tsm

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math"
	"strings"
	"time"
)

// counter counts the values of an archive by measurement and field, from the
// number of times that each block states. Its methods accept a nil receiver,
// which counts nothing.
//
// Blocks come before the keys that they belong to, so the counts of a file's
// blocks wait in a tally for its index.
type counter struct {
	until   int64                // values at or after it do not count
	fields  map[string]*cell     // by escaped measurement and field
	keys    map[uint64]keyCounts // what was counted of a key, by its hash
	seed    maphash.Seed
	scratch []byte
}

// cell is the count of one field.
type cell struct {
	key     FieldKey
	values  int64
	least   int64
	inexact bool
}

// keyCounts is what was counted of a key in the files so far.
type keyCounts struct {
	timeRange
	least int64 // values that it has whatever overlaps
}

// newCounter counts values before until; the zero time is all.
func newCounter(until time.Time) *counter {
	c := &counter{until: math.MaxInt64, fields: map[string]*cell{}, keys: map[uint64]keyCounts{}, seed: maphash.MakeSeed()}
	if !until.IsZero() {
		c.until = until.UnixNano()
	}
	return c
}

// tally counts one file.
type tally struct {
	counter *counter
	deleted map[string][]timeRange
	waiting []byte // counts of the blocks, as varints, in the file's order

	ranges []timeRange // of the current key
	cell   *cell
	hash   uint64
	span   timeRange // of its counted blocks; max before min: none yet
	least  int64     // values of its blocks that surely count
}

// file starts the tally of a file. Deletes are left out of the counts.
func (c *counter) file(deleted map[string][]timeRange) *tally {
	if c == nil {
		return nil
	}
	return &tally{counter: c, deleted: deleted}
}

// block notes the values of the next block of the file.
func (t *tally) block(count int) {
	t.waiting = binary.AppendUvarint(t.waiting, uint64(count))
}

// key begins the blocks of a key.
func (t *tally) key(key []byte) {
	t.endKey()
	t.ranges = t.deleted[string(key)]
	t.cell = t.counter.cellOf(key)
	t.hash = maphash.Bytes(t.counter.seed, key)
	t.span, t.least = timeRange{math.MaxInt64, math.MinInt64}, 0
}

// endKey compares the key's times with those in other files: where both have
// a time, the newer file's value counts. Two files may be tallied at once, one
// as it came and one as it was rewritten, so nothing is taken over from the
// key's begin.
func (t *tally) endKey() {
	if t.cell == nil || t.span.max < t.span.min {
		return
	}
	now := keyCounts{t.span, t.least}
	if other, ok := t.counter.keys[t.hash]; ok {
		now.least += other.least
		if other.min <= now.max && now.min <= other.max {
			t.cell.inexact = true
			now.least = max(t.least, other.least)
		}
		now.timeRange = timeRange{min(now.min, other.min), max(now.max, other.max)}
		t.cell.least -= other.least
	}
	t.cell.least += now.least
	t.counter.keys[t.hash] = now
}

// entry counts one block of the key.
func (t *tally) entry(minTime, maxTime int64) {
	count, n := binary.Uvarint(t.waiting)
	if n <= 0 {
		return // more entries than blocks: the footer check refuses the file
	}
	t.waiting = t.waiting[n:]
	cover := covers(t.ranges, minTime, maxTime)
	if cover == coverWhole || minTime >= t.counter.until {
		return
	}
	if cover == coverPart || maxTime >= t.counter.until || minTime <= t.span.max {
		t.cell.inexact = true
	} else {
		t.least += int64(count)
	}
	t.span = timeRange{min(t.span.min, minTime), max(t.span.max, maxTime)}
	t.cell.values += int64(count)
}

// cellOf finds the count of a key's field.
func (c *counter) cellOf(key []byte) *cell {
	series, field, _ := bytes.Cut(key, []byte(fieldSeparator))
	measurement := series[:measurementEnd(series)]
	c.scratch = append(append(append(c.scratch[:0], measurement...), fieldSeparator...), field...)
	if found := c.fields[string(c.scratch)]; found != nil {
		return found
	}
	made := &cell{key: FieldKey{unescapeMeasurement(string(measurement)), string(field)}}
	c.fields[string(c.scratch)] = made
	return made
}

// measurementEnd finds the first comma that is not escaped, as the server does.
func measurementEnd(series []byte) int {
	for i := 1; i < len(series); i++ {
		if series[i] == ',' && series[i-1] != '\\' {
			return i
		}
	}
	return len(series)
}

// unescapeMeasurement undoes the escaping of a series key, in which fields,
// unlike measurements, are not escaped.
func unescapeMeasurement(s string) string {
	return strings.NewReplacer(`\,`, `,`, `\ `, ` `).Replace(s)
}

// fill hands the counts to a.
func (c *counter) fill(a *Archive) {
	if c == nil {
		return
	}
	a.Counts, a.Least, a.Inexact = map[FieldKey]int64{}, map[FieldKey]int64{}, map[FieldKey]bool{}
	for _, f := range c.fields {
		if f.values > 0 {
			a.Counts[f.key] += f.values
			a.Least[f.key] += f.least
		}
		if f.inexact {
			a.Inexact[f.key] = true
		}
	}
}
