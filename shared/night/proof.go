package night

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Level is how deep a stored day is verified. Each level includes those before
// it.
type Level int

const (
	// LevelListing holds one listing, the manifest and the metastore against
	// each other.
	LevelListing Level = iota + 1
	// LevelContent reads every archive to its last byte.
	LevelContent
	// LevelRestored wants the verdict of a restore of this very backup.
	LevelRestored
)

// levels by their names.
func levels() []string { return []string{"", "listing", "content", "restored"} }

// ParseLevel reads the name of a level.
func ParseLevel(text string) (Level, error) {
	for i, name := range levels() {
		if i > 0 && name == text {
			return Level(i), nil
		}
	}
	return 0, fmt.Errorf("level %q is not known; want listing, content or restored", text)
}

// String names the level.
func (l Level) String() string { return levels()[l] }

// Problem is one thing that is wrong with a stored day.
type Problem struct {
	// Object is the object's whole name.
	Object string `json:"object"`
	// File is the file inside an archive, empty for the object itself.
	File string `json:"file,omitempty"`
	// Reason says what is wrong.
	Reason string `json:"reason"`
}

// String is one line.
func (p Problem) String() string {
	if p.File != "" {
		return fmt.Sprintf("%s, file %s: %s", p.Object, p.File, p.Reason)
	}
	return p.Object + ": " + p.Reason
}

// CheckStored holds what a container shows against the manifest: each object
// with its size and hash, and no archive beside them, since a restore by hand
// would bring that back as well.
func CheckStored(day Day, m *Manifest, listed map[string]Stored) []Problem {
	var out []Problem
	want := map[string]bool{}
	for _, s := range m.Objects() {
		want[s.Object] = true
		got, ok := listed[s.Object]
		if reason := differs(s, got, ok); reason != "" {
			out = append(out, Problem{Object: s.Object, Reason: reason})
		}
	}
	for name := range listed {
		if strings.HasPrefix(name, ShardPrefix(day)) && !want[name] {
			out = append(out, Problem{Object: name, Reason: "the manifest does not name it: a restore by hand would bring it back as well"})
		}
	}
	return sortProblems(out)
}

// differs says how an object is stored otherwise than it was sent, empty when
// it is not.
func differs(sent, got Stored, listed bool) string {
	switch {
	case !listed:
		return "it is not listed"
	case got.Bytes != sent.Bytes:
		return fmt.Sprintf("it has %d bytes, %d were sent", got.Bytes, sent.Bytes)
	case got.MD5 != sent.Hash():
		return fmt.Sprintf("it has MD5 %s, sent was %s", got.MD5, sent.Hash())
	}
	return ""
}

// CheckShards holds the shards of the manifest against those of the day's
// metastore: a metastore of another day, or a manifest that was altered, shows
// others.
func CheckShards(day Day, m *Manifest, clusterID string, metastore []ShardKey) []Problem {
	var out []Problem
	add := func(format string, args ...any) {
		out = append(out, Problem{Object: MetaObject(day), Reason: fmt.Sprintf(format, args...)})
	}
	if clusterID != m.Production.ClusterID {
		add("it is of the server with cluster id %s, the manifest of %s", clusterID, m.Production.ClusterID)
	}
	known := map[uint64]ShardKey{}
	for _, k := range metastore {
		known[k.ID] = k
	}
	for i := range m.Shards {
		s := &m.Shards[i]
		k, ok := known[s.ID]
		delete(known, s.ID)
		switch {
		case !ok:
			add("it lacks shard %d, which the manifest has", s.ID)
		case k.RetentionPolicy != s.RetentionPolicy || !k.Start.Equal(s.Start) || !k.End.Equal(s.End):
			add("it has shard %d of %q from %s to %s, the manifest of %q from %s to %s", s.ID,
				k.RetentionPolicy, k.Start.UTC(), k.End.UTC(), s.RetentionPolicy, s.Start.UTC(), s.End.UTC())
		}
	}
	for id := range known {
		add("it has shard %d, which the manifest lacks", id)
	}
	return sortProblems(out)
}

// CheckFiles holds the files of an archive as it was read against the manifest.
func CheckFiles(s Shard, files []File) []Problem {
	var out []Problem
	add := func(file, format string, args ...any) {
		out = append(out, Problem{Object: s.Object, File: file, Reason: fmt.Sprintf(format, args...)})
	}
	got := map[string]File{}
	for _, f := range files {
		got[f.Name] = f
	}
	for _, want := range s.Files {
		f, ok := got[want.Name]
		delete(got, want.Name)
		switch {
		case !ok:
			add(want.Name, "it is missing")
		case f.Bytes != want.Bytes:
			add(want.Name, "it has %d bytes, the manifest says %d", f.Bytes, want.Bytes)
		case f.SHA256 != want.SHA256:
			add(want.Name, "it has SHA-256 %s, the manifest says %s", f.SHA256, want.SHA256)
		}
	}
	for name := range got {
		add(name, "the manifest does not name it")
	}
	return sortProblems(out)
}

// CheckValues holds the values counted in an archive's blocks against the
// fingerprint. An archive may hold more than was counted up to the cut-off:
// points that came later, and what inexact names is counted too high. It never
// holds fewer.
func CheckValues(m *Manifest, s Shard, got Counts, inexact func(measurement, field string) bool) []Problem {
	var out []Problem
	add := func(measurement, field string, want Range, n int64) {
		d := Difference{Shard: s.ID, RetentionPolicy: s.RetentionPolicy, Measurement: measurement, Field: field, Want: want, Got: n}
		out = append(out, Problem{Object: s.Object, Reason: "counted in its blocks: " + d.String()})
	}
	ended := !m.Cutoff.Before(s.End)
	for measurement, fields := range s.Counts {
		for field, want := range fields {
			n := got[measurement][field]
			if n < want.Min || n > want.Max && ended && !inexact(measurement, field) {
				add(measurement, field, want, n)
			}
		}
	}
	for measurement, fields := range got {
		for field, n := range fields {
			if _, ok := s.Counts[measurement][field]; !ok && n > 0 && ended && !inexact(measurement, field) {
				add(measurement, field, Range{}, n)
			}
		}
	}
	return sortProblems(out)
}

// CheckDrill says why a verdict does not prove the manifest's backup; d is nil
// when there is none.
func CheckDrill(day Day, m *Manifest, d *Drill) []Problem {
	bad := func(format string, args ...any) []Problem {
		return []Problem{{Object: DrillObject(day), Reason: fmt.Sprintf(format, args...)}}
	}
	switch {
	case d == nil:
		return bad("it is missing: the backup was never restored")
	case d.Day != m.Day || d.Database != m.Database:
		return bad("it is the verdict on database %q of %q", d.Database, d.Day)
	case d.Backup != m.Request:
		return bad("it is the verdict on another backup of the day")
	case !d.Passed || len(d.Differences) > 0:
		return bad("the restore failed: %d of %d counts differ", len(d.Differences), d.Compared)
	case d.Compared < m.counted():
		return bad("it compared %d counts, the manifest has %d", d.Compared, m.counted())
	}
	return nil
}

// counted is the number of counts in the fingerprint.
func (m *Manifest) counted() int64 {
	var n int64
	for i := range m.Shards {
		for _, fields := range m.Shards[i].Counts {
			n += int64(len(fields))
		}
	}
	return n
}

func sortProblems(p []Problem) []Problem {
	slices.SortFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.File, b.File), cmp.Compare(a.Reason, b.Reason))
	})
	return p
}
