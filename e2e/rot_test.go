package e2e_test

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

// rot is damage that happens inside Swift: nobody stored anything anew, so the
// listing shows the day as it was.
type rot struct {
	name string
	do   func(t *testing.T, d *disk)
	// segment says that it happens to the archive in segments.
	segment bool
	// want is in the problem that verify names.
	want string
}

// disk is a stored day with an archive in one piece and one in segments.
type disk struct {
	*stored
	plain, large string
	segments     map[string][]byte // of the large archive, by name
}

// file is where Swift keeps an object.
func (d *disk) file(t *testing.T, container, object string) string {
	t.Helper()
	return testbed.SwiftFile(t, d.swift["ST_USER"], container, object)
}

// flipFile changes a bit on the disk.
func (d *disk) flipFile(t *testing.T, container, object string) {
	t.Helper()
	path := d.file(t, container, object)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	// In place: the file keeps the attributes that Swift knows it by.
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// container is that of the segments.
func (d *disk) container() string { return d.day + "_segments" }

// nth is the name of a segment, in order.
func (d *disk) nth(n int) string { return slices.Sorted(maps.Keys(d.segments))[n] }

// repair puts all back.
func (d *disk) repair() {
	d.set(d.plain, d.good[d.plain])
	for name, data := range d.segments {
		d.put(d.container(), name, data, nil)
	}
}

func rots() []rot {
	const gone, segments = "it is listed, but Swift has it no more", "one is missing, or is not the one that was sent"
	return []rot{
		// Swift notices it while it sends, and puts the object away.
		{"bit changed on Swift's disk", func(t *testing.T, d *disk) { d.flipFile(t, d.day, d.plain) }, false, gone},
		{"file cut on Swift's disk", func(t *testing.T, d *disk) {
			if err := os.Truncate(d.file(t, d.day, d.plain), 700); err != nil {
				t.Fatal(err)
			}
		}, false, gone},
		{"file gone from Swift's disk", func(t *testing.T, d *disk) {
			if err := os.Remove(d.file(t, d.day, d.plain)); err != nil {
				t.Fatal(err)
			}
		}, false, gone},
		{"first segment missing", func(t *testing.T, d *disk) { d.drop(t, 0) }, true, segments},
		{"last segment missing", func(t *testing.T, d *disk) { d.drop(t, len(d.segments)-1) }, true, segments},
		{"segment with other content", func(_ *testing.T, d *disk) {
			data := bytes.Clone(d.segments[d.nth(1)])
			data[9] ^= 1
			d.put(d.container(), d.nth(1), data, nil)
		}, true, segments},
		{"bit of a segment changed on Swift's disk", func(t *testing.T, d *disk) { d.flipFile(t, d.container(), d.nth(1)) }, true, segments},
	}
}

// drop removes a segment.
func (d *disk) drop(t *testing.T, n int) {
	t.Helper()
	if err := d.store.Delete(t.Context(), d.container(), d.nth(n)); err != nil {
		t.Fatal(err)
	}
}

// storedInSegments makes one good day of which the larger archives are in
// segments.
func storedInSegments(t *testing.T) *disk {
	t.Helper()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.env["NIGHTSHARD_RETRY_WAIT"], h.env["NIGHTSHARD_SEGMENT_BYTES"] = "1ms", "2600"
	h.fillWeek(1)
	h.start("backup")
	day := dayName(0)
	seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: day})
	awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
	d := &disk{stored: &stored{house: h, day: day, good: map[string][]byte{}}, segments: map[string][]byte{}}
	for name, o := range h.list(day) {
		if !strings.HasPrefix(name, day+"/shards/sensu_db") {
			continue
		}
		if o.MD5 != "" {
			d.plain = name
			d.good[name] = h.read(day, name)
		} else {
			d.large = name
		}
	}
	for name := range h.list(d.container()) {
		if strings.HasPrefix(name, d.large+"/") {
			d.segments[name] = h.read(d.container(), name)
		}
	}
	if d.plain == "" || len(d.segments) < 2 {
		t.Fatalf("the day does not serve the test: %v", h.list(day))
	}
	return d
}

func TestRotInsideSwiftIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	d := storedInSegments(t)
	for _, r := range rots() {
		t.Run(r.name, func(t *testing.T) {
			r.do(t, d)
			defer d.repair()
			object := d.plain
			if r.segment {
				object = d.large
			}
			got := d.verify(t, "content")
			if got.Good || len(got.Problems) != 1 || got.Problems[0].Object != object || !says(got, r.want) {
				t.Errorf("want %s: %q, got %v", object, r.want, got.Problems)
			}
			tried(t, "Stored day", r.name, "verify --level content", named)
		})
	}
	// All of it is put right, so that each rot was found by itself.
	if r := d.verify(t, "content"); !r.Good {
		t.Errorf("the day is not put right: %v", r.Problems)
	}
	t.Run("restore", d.notRestored)
}

// notRestored sees that a day with a bit changed on Swift's disk is not
// restored.
func (d *disk) notRestored(t *testing.T) {
	d.flipFile(t, d.day, d.plain)
	d.startIn(t, "restore")
	seq := d.publish(events.RestoreRequested, &pb.RestoreRequested{Day: d.day})
	f, _ := awaitOn[*pb.RestoreFailed](d.house, seq, events.RestoreFailed, events.RestoreCompleted)
	if !strings.Contains(f.GetError(), d.plain) {
		t.Errorf("restore: %v", f)
	}
	tried(t, "Stored day", "bit changed on Swift's disk", "restore", named)
}
