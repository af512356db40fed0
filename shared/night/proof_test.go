package night_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshard/shared/night"
)

// reasons are the problems as text.
func reasons(problems []night.Problem) string {
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// wants fails the test unless there is exactly one problem for each text, in
// this order. None means that nothing may be wrong.
func wants(t *testing.T, what string, got []night.Problem, texts ...string) {
	t.Helper()
	if len(got) != len(texts) {
		t.Errorf("%s: want %d problems %q, got\n%s", what, len(texts), texts, reasons(got))
		return
	}
	for i, p := range got {
		if !strings.Contains(p.String(), texts[i]) {
			t.Errorf("%s: want %q, got %q", what, texts[i], p)
		}
	}
}

// shown is the listing of a whole day.
func shown(m *night.Manifest) map[string]night.Stored {
	listed := map[string]night.Stored{"2016-06-01/manifest.json": {Object: "2016-06-01/manifest.json", Bytes: 9, MD5: "x"}}
	for _, s := range m.Objects() {
		if s.Listed != "" {
			s.MD5 = s.Listed
		}
		listed[s.Object] = s
	}
	return listed
}

func TestListingOfAStoredDayNamesEveryObjectThatIsWrong(t *testing.T) {
	t.Parallel()
	m := manifest(t)
	d := day(t, "2016-06-01")
	shard := m.Shards[0].Object
	wants(t, "as it was sent", night.CheckStored(d, m, shown(m)))
	for what, c := range map[string]struct {
		change func(map[string]night.Stored)
		want   []string
	}{
		"shard gone":         {func(l map[string]night.Stored) { delete(l, shard) }, []string{shard + ": it is not listed"}},
		"everything gone":    {func(l map[string]night.Stored) { clear(l) }, []string{"meta.00: it is not listed", shard}},
		"shard cut":          {func(l map[string]night.Stored) { l[shard] = night.Stored{Bytes: 512, MD5: "b"} }, []string{"it has 512 bytes, 1024 were sent"}},
		"other content":      {func(l map[string]night.Stored) { l[shard] = night.Stored{Bytes: 1024, MD5: "c"} }, []string{"it has MD5 c, sent was b"}},
		"in one piece now":   {func(l map[string]night.Stored) { l[shard] = night.Stored{Bytes: 1024, MD5: "a"} }, []string{"it has MD5 a, sent was b"}},
		"archive of nobody":  {func(l map[string]night.Stored) { l["2016-06-01/shards/x"] = night.Stored{} }, []string{"2016-06-01/shards/x: the manifest does not name it"}},
		"a dump beside them": {func(l map[string]night.Stored) { l["2016-06-01/influxdb/x.json"] = night.Stored{} }, nil},
	} {
		listed := shown(m)
		c.change(listed)
		wants(t, what, night.CheckStored(d, m, listed), c.want...)
	}
}

func TestMetastoreOfAnotherDayIsRecognised(t *testing.T) {
	t.Parallel()
	m := manifest(t)
	d := day(t, "2016-06-01")
	id := m.Production.ClusterID
	s := m.Shards[0]
	same := night.ShardKey{ID: 20, RetentionPolicy: "default", Start: s.Start, End: s.End}
	wants(t, "the same", night.CheckShards(d, m, id, []night.ShardKey{same}))
	later, other, long := same, same, same
	later.Start, other.RetentionPolicy, long.End = same.Start.Add(time.Hour), "main", same.End.Add(time.Hour)
	for what, c := range map[string]struct {
		id     string
		shards []night.ShardKey
		want   []string
	}{
		"another server":    {"7", []night.ShardKey{same}, []string{"cluster id 7"}},
		"no shard":          {id, nil, []string{"it lacks shard 20"}},
		"one more":          {id, []night.ShardKey{same, {ID: 21}}, []string{"it has shard 21, which the manifest lacks"}},
		"another range":     {id, []night.ShardKey{later}, []string{"it has shard 20"}},
		"another end":       {id, []night.ShardKey{long}, []string{"it has shard 20"}},
		"another policy":    {id, []night.ShardKey{other}, []string{`it has shard 20 of "main"`}},
		"all of it at once": {"7", []night.ShardKey{{ID: 21}}, []string{"it has shard 21", "cluster id", "it lacks shard 20"}},
	} {
		wants(t, what, night.CheckShards(d, m, c.id, c.shards), c.want...)
	}
}

func TestFilesOfAnArchiveAreHeldAgainstTheManifest(t *testing.T) {
	t.Parallel()
	s := manifest(t).Shards[0]
	file := s.Files[0]
	wants(t, "the same", night.CheckFiles(s, []night.File{file}))
	longer, other, more := file, file, file
	longer.Bytes, other.SHA256, more.Name = 10, "z", "000000002-000000001.tsm"
	for what, c := range map[string]struct {
		files []night.File
		want  []string
	}{
		"missing": {nil, []string{"file 000000001-000000001.tsm: it is missing"}},
		"longer":  {[]night.File{longer}, []string{"it has 10 bytes, the manifest says 9"}},
		"changed": {[]night.File{other}, []string{"it has SHA-256 z, the manifest says s"}},
		"renamed": {[]night.File{more}, []string{"it is missing", "file 000000002-000000001.tsm: the manifest does not name it"}},
	} {
		wants(t, what, night.CheckFiles(s, c.files), c.want...)
	}
}

func TestValuesInTheBlocksAreHeldAgainstTheFingerprint(t *testing.T) {
	t.Parallel()
	exact := func(string, string) bool { return false }
	rough := func(string, string) bool { return true }
	whole := func(idle, user int64) night.Counts { return night.Counts{"cpu": {"idle": idle, "user": user}} }
	more := whole(3, 2)
	more.Add("mem", "used", 1)
	for what, c := range map[string]struct {
		got     night.Counts
		inexact func(string, string) bool
		ended   bool
		want    []string
	}{
		"the same":                         {whole(3, 2), exact, true, nil},
		"the least of a range":             {whole(3, 1), exact, true, nil},
		"fewer":                            {whole(2, 1), exact, true, []string{`field "idle": 2 values, want 3`}},
		"fewer, of those that may be more": {whole(2, 1), rough, true, []string{`field "idle"`}},
		"fewer before the shard's end":     {whole(2, 0), exact, false, []string{`field "idle"`, `field "user": 0 values, want 1 to 2`}},
		"more than production had":         {whole(4, 2), exact, true, []string{`field "idle": 4 values, want 3`}},
		"more, by blocks that overlap":     {whole(4, 3), rough, true, nil},
		"more, written after the cut-off":  {whole(4, 3), exact, false, nil},
		"a measurement of nobody":          {more, exact, true, []string{`"mem" field "used": 1 values, want 0`}},
		"one written after the cut-off":    {more, exact, false, nil},
		"nothing at all":                   {nil, exact, true, []string{`field "idle": 0 values`, `field "user": 0 values`}},
	} {
		m := manifest(t)
		if c.ended {
			m.Cutoff = m.Shards[0].End
		}
		got := night.CheckValues(m, m.Shards[0], c.got, c.inexact)
		wants(t, what, got, c.want...)
		for _, p := range got {
			if p.Object != m.Shards[0].Object {
				t.Errorf("%s: the problem is of %q", what, p.Object)
			}
		}
	}
}

func TestAVerdictProvesOnlyTheBackupThatItWasOf(t *testing.T) {
	t.Parallel()
	d := day(t, "2016-06-01")
	good := night.Drill{Day: "2016-06-01", Database: "sensu_db", Backup: "7@1", Passed: true, Compared: 2}
	wants(t, "passed", night.CheckDrill(d, manifest(t), &good))
	wants(t, "none", night.CheckDrill(d, manifest(t), nil), "2016-06-01/drill.json: it is missing")
	for want, change := range map[string]func(*night.Drill){
		`database "sensu_db" of "2016-05-31"`:      func(v *night.Drill) { v.Day = "2016-05-31" },
		`database "other"`:                         func(v *night.Drill) { v.Database = "other" },
		"another backup":                           func(v *night.Drill) { v.Backup = "8@1" },
		"the restore failed":                       func(v *night.Drill) { v.Passed = false },
		"1 of 2 counts differ":                     func(v *night.Drill) { v.Differences = make([]night.Difference, 1) },
		"it compared 1 counts, the manifest has 2": func(v *night.Drill) { v.Compared = 1 },
	} {
		v := good
		change(&v)
		wants(t, want, night.CheckDrill(d, manifest(t), &v), want)
	}
}

func TestLevelsAreReadByName(t *testing.T) {
	t.Parallel()
	all := map[string]night.Level{"listing": night.LevelListing, "content": night.LevelContent, "restored": night.LevelRestored}
	for name, want := range all {
		if l, err := night.ParseLevel(name); err != nil || l != want || l.String() != name {
			t.Errorf("%q is %v, %v", name, l, err)
		}
	}
	for _, name := range []string{"", "full", "Listing", "listing "} {
		if l, err := night.ParseLevel(name); err == nil {
			t.Errorf("%q is %v", name, l)
		}
	}
	if order := slices.Sorted(maps.Values(all)); order[0] != night.LevelListing || order[2] != night.LevelRestored {
		t.Errorf("levels in the order %v", order)
	}
}
