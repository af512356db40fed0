package e2e_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"maps"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/proof"
	"nightshard/shared/testbed"
)

// stored is a day as it stands in Swift, to be damaged and put right again.
type stored struct {
	*house
	day   string
	good  map[string][]byte // every object, by name
	other map[string][]byte // an earlier day, with other shards
	two   string            // an archive of two files
	one   string            // another archive
}

// shard names an object of the day.
func (s *stored) shard(name string) string { return s.day + "/shards/" + name }

// set stores an object anew: Swift's own MD5 fits what it has then.
func (s *stored) set(name string, data []byte) { s.put(s.day, name, data, nil) }

// remove takes an object away.
func (s *stored) remove(name string) {
	s.t.Helper()
	if err := s.store.Delete(s.t.Context(), s.day, name); err != nil {
		s.t.Fatal(err)
	}
}

// repair puts the day back as it was.
func (s *stored) repair() {
	s.t.Helper()
	for name := range s.list(s.day) {
		if _, ok := s.good[name]; !ok {
			s.remove(name)
		}
	}
	listed := s.list(s.day)
	for name, data := range s.good {
		if listed[name].Size != int64(len(data)) || !bytes.Equal(s.read(s.day, name), data) {
			s.set(name, data)
		}
	}
}

// flip changes the lowest bit of a byte of an object.
func (s *stored) flip(name string, at int) {
	data := bytes.Clone(s.good[name])
	data[at] ^= 1
	s.set(name, data)
}

// part finds places inside the first file of an archive: where its content
// begins and ends, and where its index begins.
func part(t *testing.T, archive []byte) (begin, index, end int) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(archive))
	h, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	begin = 512
	end = begin + int(h.Size)
	return begin, begin + int(binary.BigEndian.Uint64(archive[end-8:end])), end
}

// damage is one thing that happens to a stored day.
type damage struct {
	name string
	do   func(t *testing.T, s *stored)
	// listing and content are what verify must say at each level, empty where
	// it cannot see the damage. Content says what listing says, and more.
	listing, content string
	// restore is what the restore must say, empty where it is not concerned.
	restore string
}

// altered edits the manifest, and writes it as a program would: its own
// checksum fits.
func altered(edit func(*night.Manifest)) func(*testing.T, *stored) {
	return func(_ *testing.T, s *stored) { s.change(s.day, edit) }
}

// firstCount finds a count to change.
func firstCount(m *night.Manifest, edit func(night.Range) night.Range) {
	for _, s := range m.Shards {
		if r, ok := s.Counts["cpu"]["user"]; ok {
			s.Counts["cpu"]["user"] = edit(r)
			return
		}
	}
}

func damages() []damage {
	return slices.Concat(archiveDamages(), manifestDamages(), recordDamages())
}

func archiveDamages() []damage {
	cut := func(at func(t *testing.T, data []byte) int) func(*testing.T, *stored) {
		return func(t *testing.T, s *stored) { s.set(s.two, s.good[s.two][:at(t, s.good[s.two])]) }
	}
	flip := func(at func(begin, index, end int) int) func(*testing.T, *stored) {
		return func(t *testing.T, s *stored) {
			t.Helper()
			s.flip(s.two, at(part(t, s.good[s.two])))
		}
	}
	const size, sum, restored = "bytes, ", "it has MD5", "it is damaged in Swift"
	return []damage{
		{"archive missing", func(_ *testing.T, s *stored) { s.remove(s.two) }, "it is not listed", "", "not found"},
		{"archive cut in the tar header", cut(func(*testing.T, []byte) int { return 100 }), size, "at byte", restored},
		{"archive cut in a block", cut(func(*testing.T, []byte) int { return 600 }), size, "at byte", restored},
		{"archive without its end marker", cut(func(_ *testing.T, d []byte) int { return len(d) - 1024 }), size, "at byte", restored},
		{"archive cut between two files", func(t *testing.T, s *stored) {
			_, _, end := part(t, s.good[s.two])
			first := s.good[s.two][:(end+511)/512*512]
			s.set(s.two, append(bytes.Clone(first), make([]byte, 1024)...))
		}, size, "it is missing", restored},
		{"bit changed in a block", flip(func(begin, _, _ int) int { return begin + 5 + 4 + 3 }), sum, "at byte", restored},
		{"bit changed in a key of the index", flip(func(_, index, _ int) int { return index + 2 + 4 }), sum, sum, restored},
		{"bit changed in an entry of the index", flip(func(_, _, end int) int { return end - 8 - 3 }), sum, "at byte", restored},
		{"bit changed in the footer", flip(func(_, _, end int) int { return end - 1 }), sum, "at byte", restored},
		{"bit changed in the tar: name", flip(func(int, int, int) int { return 3 }), sum, "at byte", restored},
		{"bit changed in the tar: size", flip(func(int, int, int) int { return 124 + 9 }), sum, "at byte", restored},
		{"bit changed in the tar: checksum", flip(func(int, int, int) int { return 148 + 2 }), sum, "at byte", restored},
		{"two archives swapped", func(_ *testing.T, s *stored) {
			s.set(s.two, s.good[s.one])
			s.set(s.one, s.good[s.two])
		}, "it has", "its files are of shard", restored},
		{"archive of another day", func(_ *testing.T, s *stored) {
			s.set(s.two, s.other[strings.Replace(s.two, s.day, dayName(0), 2)])
		}, "it has", "the manifest says", restored},
		{"archive of no shard", func(_ *testing.T, s *stored) {
			s.set(s.shard("sensu_db.main.00099.00"), s.good[s.one])
		}, "the manifest does not name it", "", ""},
	}
}

func manifestDamages() []damage {
	return []damage{
		{"manifest missing", func(_ *testing.T, s *stored) { s.remove(s.day + "/manifest.json") }, "the manifest was lost", "", "it has no manifest"},
		{"manifest cut", func(_ *testing.T, s *stored) {
			s.set(s.day+"/manifest.json", s.good[s.day+"/manifest.json"][:500])
		}, "read manifest", "", "read manifest"},
		{"manifest edited by hand", func(_ *testing.T, s *stored) {
			text := string(s.good[s.day+"/manifest.json"])
			s.set(s.day+"/manifest.json", []byte(strings.Replace(text, `"cutoff": "20`, `"cutoff": "19`, 1)))
		}, "checksum does not fit", "", "checksum does not fit"},
		{"manifest of another day", func(_ *testing.T, s *stored) {
			s.set(s.day+"/manifest.json", s.other[dayName(0)+"/manifest.json"])
		}, "it is the manifest of", "", "it is the manifest of"},
		{"manifest of a newer version", altered(func(m *night.Manifest) { m.Schema = 99 }), "use a newer nightshard", "", "use a newer nightshard"},
		{"manifest: count raised", altered(func(m *night.Manifest) {
			firstCount(m, func(r night.Range) night.Range { return night.Range{Min: r.Min + 1, Max: r.Max + 1} })
		}), "", "counted in its blocks", "differ"},
		{"manifest: count lowered", altered(func(m *night.Manifest) {
			firstCount(m, func(r night.Range) night.Range { return night.Range{Min: r.Min - 1, Max: r.Max - 1} })
		}), "", "counted in its blocks", "differ"},
		{"manifest: size", altered(func(m *night.Manifest) { m.Shards[0].Bytes++ }), "were sent", "", "the manifest says"},
		{"manifest: MD5", altered(func(m *night.Manifest) { m.Shards[0].MD5 = strings.Repeat("0", 32) }), "it has MD5", "", "the manifest says"},
		{"manifest: SHA-256 of a file", altered(func(m *night.Manifest) { m.Shards[0].Files[0].SHA256 = "0" }), "", "it has SHA-256", "it has SHA-256"},
		{"manifest: shard left out", altered(func(m *night.Manifest) { m.Shards = m.Shards[1:] }), "which the manifest lacks", "", "the metastore has"},
		{"manifest: shard added", altered(func(m *night.Manifest) {
			s := m.Shards[0]
			s.ID = 98
			s.Object = s.Name(m.Database).Object(mustDayOf(m.Day))
			m.Shards = append(m.Shards, s)
		}), "it lacks shard 98", "", "does not know shard 98"},
		{"manifest: another server", altered(func(m *night.Manifest) { m.Production.ClusterID = "7" }), "cluster id", "", ""},
	}
}

func mustDayOf(text string) night.Day {
	day, err := night.ParseDay(text)
	if err != nil {
		panic(err)
	}
	return day
}

func recordDamages() []damage {
	meta := func(s *stored) string { return s.shard("meta.00") }
	return []damage{
		{"metastore missing", func(_ *testing.T, s *stored) { s.remove(meta(s)) }, "it is not listed", "", "not found"},
		{"metastore of another day", func(_ *testing.T, s *stored) {
			s.set(meta(s), s.other[dayName(0)+"/shards/meta.00"])
		}, "it lacks shard", "", "trust metastore"},
		{"metastore cut", func(_ *testing.T, s *stored) { s.set(meta(s), s.good[meta(s)][:60]) }, "meta.00", "", "metastore"},
		{"bit changed in the metastore", func(_ *testing.T, s *stored) { s.flip(meta(s), 70) }, "it has MD5", "", "metastore"},
	}
}

// drillDamages concern only what proves the restore.
func drillDamages() []damage {
	drill := func(s *stored) string { return s.day + "/drill.json" }
	edit := func(change func(*night.Drill)) func(*testing.T, *stored) {
		return func(t *testing.T, s *stored) {
			d, err := night.ParseDrill(s.good[drill(s)])
			if err != nil {
				t.Fatal(err)
			}
			change(d)
			data, err := d.Encode()
			if err != nil {
				t.Fatal(err)
			}
			s.set(drill(s), data)
		}
	}
	return []damage{
		{"drill missing", func(_ *testing.T, s *stored) { s.remove(drill(s)) }, "never restored", "", ""},
		{"drill that is no JSON", func(_ *testing.T, s *stored) { s.set(drill(s), []byte("{")) }, "read drill", "", ""},
		{"drill edited by hand", func(_ *testing.T, s *stored) {
			s.set(drill(s), bytes.Replace(s.good[drill(s)], []byte(`"values": `), []byte(`"values": 1`), 1))
		}, "checksum does not fit", "", ""},
		{"drill that failed", edit(func(d *night.Drill) { d.Passed = false }), "the restore failed", "", ""},
		{"drill of another backup", edit(func(d *night.Drill) { d.Backup = "1@2" }), "another backup of the day", "", ""},
		{"drill of another day", edit(func(d *night.Drill) { d.Day = "2016-01-01" }), "verdict on database", "", ""},
		{"drill that compared less", edit(func(d *night.Drill) { d.Compared-- }), "it compared", "", ""},
	}
}

// damagedDay makes two good days, of which the second has more shards and an
// archive of two files, and keeps all that is stored.
func damagedDay(t *testing.T) *stored {
	t.Helper()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.env["NIGHTSHARD_RETRY_WAIT"] = "1ms"
	h.fillWeek(1)
	h.startAll()
	h.night(&pb.BackupRequested{Day: dayName(0)}, 1)
	// Into a shard whose first file is written already, and into a new one.
	h.prod.Write(t, database, "main", strings.Join([]string{
		"cpu,host=late user=7i " + nanos(weekday0().Add(3*time.Hour)), "cpu,host=late user=8i " + nanos(weekday0().AddDate(0, 0, 40)),
	}, "\n"))
	h.night(&pb.BackupRequested{Day: dayName(1)}, 1)
	s := &stored{house: h, day: dayName(1), good: map[string][]byte{}, other: map[string][]byte{}}
	for name := range h.list(s.day) {
		s.good[name] = h.read(s.day, name)
	}
	for name := range h.list(dayName(0)) {
		s.other[name] = h.read(dayName(0), name)
	}
	m, err := night.ParseManifest(mustDay(t, s.day), s.good[s.day+"/manifest.json"])
	if err != nil {
		t.Fatal(err)
	}
	for _, shard := range m.Shards {
		if len(shard.Files) == 2 {
			s.two = shard.Object
		} else if s.one == "" && shard.Bytes > 2048 {
			s.one = shard.Object
		}
	}
	if s.two == "" || s.one == "" {
		t.Fatalf("the days do not serve the test: %+v", m.Shards)
	}
	return s
}

func nanos(at time.Time) string { return strconv.FormatInt(at.UnixNano(), 10) }

// verify runs the operators' command on the day.
func (s *stored) verify(t *testing.T, level string) *proof.Report {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testbed.Command(t, "./cmd/nightshard"), "verify", s.day, "--json", "--level", level)
	for k, v := range s.swift {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var reports []*proof.Report
	if json.Unmarshal(out.Bytes(), &reports) != nil || len(reports) != 1 {
		t.Fatalf("verify: %v\n%s%s", err, out.String(), errs.String())
	}
	if (err == nil) != reports[0].Good {
		t.Errorf("verify ended with %v and says good: %v", err, reports[0].Good)
	}
	return reports[0]
}

// says looks for a text among the problems.
func says(r *proof.Report, text string) bool {
	return slices.ContainsFunc(r.Problems, func(p night.Problem) bool { return strings.Contains(p.String(), text) })
}

func TestEveryDamageOfAStoredDayIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	s := damagedDay(t)
	for _, level := range []string{"listing", "content", "restored"} {
		if r := s.verify(t, level); !r.Good || r.Shards == 0 || (r.Bytes > 0) != (level != "listing") {
			t.Fatalf("the good day at level %s: %+v", level, r)
		}
	}
	for _, d := range damages() {
		t.Run(d.name, func(t *testing.T) { s.damaged(t, d) })
	}
	for _, d := range drillDamages() {
		t.Run(d.name, func(t *testing.T) {
			d.do(t, s)
			defer s.repair()
			if r := s.verify(t, "content"); !r.Good {
				t.Errorf("the backup itself is good: %v", r.Problems)
			}
			if r := s.verify(t, "restored"); r.Good || !says(r, d.listing) {
				t.Errorf("want %q, got %v", d.listing, r.Problems)
			}
			tried(t, "Stored day", d.name, "verify --level restored", named)
		})
	}
}

// damaged does one damage, and asks verify and the restore.
func (s *stored) damaged(t *testing.T, d damage) {
	t.Helper()
	d.do(t, s)
	defer s.repair()
	for level, want := range map[string]string{"listing": d.listing, "content": d.content} {
		if want == "" && level == "content" {
			want = d.listing
		}
		r := s.verify(t, level)
		if r.Good != (want == "") || want != "" && !says(r, want) {
			t.Errorf("level %s: want %q, got %v", level, want, r.Problems)
		}
		if want != "" {
			tried(t, "Stored day", d.name, "verify --level "+level, named)
		}
	}
	if d.restore == "" {
		return
	}
	before := counts(t, s.inter, "main", "two_weeks")
	seq := s.publish(events.RestoreRequested, &pb.RestoreRequested{Day: s.day})
	e := s.await("the restore's end", seq, func(e events.Event) bool {
		return e.Subject == events.RestoreFailed || e.Subject == events.RestoreCompleted
	})
	f, ok := e.Message.(*pb.RestoreFailed)
	if !ok || !strings.Contains(f.GetError(), d.restore) {
		t.Errorf("restore: want %q, got %s %s", d.restore, e.Subject, e.Data)
	}
	if f.GetStep() == "source" && !reflect.DeepEqual(before, counts(t, s.inter, "main", "two_weeks")) {
		t.Error("the restore was refused, and dropped what stood there")
	}
	tried(t, "Stored day", d.name, "restore", named)
}

func TestADamagedNewestDayIsPassedOverAndNamed(t *testing.T) {
	t.Parallel()
	s := damagedDay(t)
	newest := func() (asked, notes string) {
		cmd := exec.CommandContext(t.Context(), testbed.Command(t, "./cmd/nightshard"), "request", "restore", "newest")
		env := maps.Clone(s.swift)
		env["NATS_URL"] = s.nats.URL
		for k, v := range env {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		var errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = io.Discard, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, errs.String())
		}
		all := s.all(events.RestoreRequested)
		for len(all) == 0 {
			s.await("the request", 0, func(e events.Event) bool { return e.Subject == events.RestoreRequested })
			all = s.all(events.RestoreRequested)
		}
		m, _ := all[len(all)-1].Message.(*pb.RestoreRequested)
		return m.GetDay(), errs.String()
	}
	s.flip(s.two, 512+5+4+3)
	day, notes := newest()
	if day != dayName(0) || !strings.Contains(notes, s.day+" is passed over") || !strings.Contains(notes, s.two) {
		t.Errorf("chosen %s, said:\n%s", day, notes)
	}
	tried(t, "Stored day", "bit changed in a block of the newest day", "request restore newest", named)
}

// What the old scripts wrote has no manifest: the archives' own checksums and
// the metastore must do.
func TestDamagesOfAnOldScriptsDayAreFound(t *testing.T) {
	t.Parallel()
	for _, version := range []string{testbed.Influx18, testbed.Influx16} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			h := build(t, testbed.InfluxOptions{Version: version}, testbed.InfluxOptions{})
			h.fillWeek(4)
			s := &stored{house: h, day: dayName(3), good: map[string][]byte{}}
			h.oldScript(s.day)
			for name := range h.list(s.day) {
				s.good[name] = h.read(s.day, name)
			}
			for name := range s.good {
				switch {
				case strings.HasPrefix(name, s.shard("sensu_db.main.")):
					s.one = name
				case strings.HasPrefix(name, s.shard("sensu_db.two_weeks.")):
					s.two = name
				}
			}
			r := s.verify(t, "content")
			if !r.Good || r.Shards < 15 || !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "old scripts' form") }) {
				t.Fatalf("the good day: %+v", r)
			}
			for _, d := range []damage{
				{"archive missing", func(_ *testing.T, s *stored) { s.remove(s.two) }, "there is no archive of it", "", ""},
				{"archive cut in a block", func(_ *testing.T, s *stored) { s.set(s.two, s.good[s.two][:600]) }, "", "at byte", ""},
				{"bit changed in a block", func(_ *testing.T, s *stored) { s.flip(s.two, 512+5+4+3) }, "", "at byte", ""},
				{"two archives swapped", func(_ *testing.T, s *stored) { s.set(s.two, s.good[s.one]) }, "", "its files are of shard", ""},
				{"metastore missing", func(_ *testing.T, s *stored) { s.remove(s.shard("meta.00")) }, "no restore is possible", "", ""},
				{"metastore cut", func(_ *testing.T, s *stored) { s.set(s.shard("meta.00"), s.good[s.shard("meta.00")][:60]) }, "meta.00", "", ""},
			} {
				t.Run(d.name, func(t *testing.T) {
					s.damaged(t, damage{d.name + ", old script's day", d.do, d.listing, d.content, ""})
				})
			}
		})
	}
}
