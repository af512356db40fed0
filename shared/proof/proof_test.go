package proof_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nightshard/shared/influx"
	"nightshard/shared/influx/influxtest"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/objstore/memory"
	"nightshard/shared/objstore/objstoretest"
	"nightshard/shared/proof"
)

// account is a store in memory that goes wrong as it is told.
type account struct {
	*objstoretest.Faulty
	t *testing.T
}

func newAccount(t *testing.T) account {
	t.Helper()
	return account{objstoretest.NewFaulty(memory.New()), t}
}

func (a account) put(day, name string, data []byte) night.Stored {
	a.t.Helper()
	o, err := a.Put(a.t.Context(), day, name, objstore.NewSource(data), objstore.PutOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	return night.Stored{Object: name, Bytes: o.Size, MD5: o.MD5}
}

func (a account) remove(day, name string) {
	a.t.Helper()
	if err := a.Delete(a.t.Context(), day, name); err != nil {
		a.t.Fatal(err)
	}
}

// empty is the archive of a shard without files: an end marker.
func empty() []byte { return make([]byte, 1024) }

// metastore is a meta.00 with these shards of "db", each of 12 hours.
func metastore(ids ...uint64) []byte {
	var shards []influx.ShardMeta
	for _, id := range ids {
		from, to := span(id)
		shards = append(shards, influx.ShardMeta{ID: id, Start: from, End: to})
	}
	return influxtest.Metastore(7, "db", "main", shards...)
}

func span(id uint64) (from, to time.Time) {
	from = time.Date(2016, 5, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(id) * 12 * time.Hour)
	return from, from.Add(12 * time.Hour)
}

// day stores a finished day with these shards, restored and proved.
func (a account) day(text string, ids ...uint64) *night.Manifest {
	a.t.Helper()
	d := dayOf(a.t, text)
	at := time.Date(2016, 6, 1, 23, 55, 0, 0, time.UTC)
	m := &night.Manifest{
		Schema: night.Schema, Day: text, Database: "db", Request: "7@" + text, Production: night.Production{ClusterID: "7"},
		Cutoff: at, StartedAt: at, FinishedAt: at, Meta: a.put(text, night.MetaObject(d), metastore(ids...)),
	}
	for _, id := range ids {
		from, to := span(id)
		s := night.Shard{ID: id, RetentionPolicy: "main", Start: from, End: to, Files: []night.File{}, Counts: night.Fingerprint{}}
		s.Stored = a.put(text, s.Name("db").Object(d), empty())
		m.Shards = append(m.Shards, s)
	}
	a.write(m)
	a.drill(&night.Drill{Schema: night.Schema, Day: text, Database: "db", Backup: m.Request, Passed: true})
	return m
}

// encoder is a record.
type encoder interface{ Encode() ([]byte, error) }

func (a account) record(day, name string, r encoder) {
	a.t.Helper()
	data, err := r.Encode()
	if err != nil {
		a.t.Fatal(err)
	}
	a.put(day, name, data)
}

func (a account) write(m *night.Manifest) {
	a.t.Helper()
	a.record(m.Day, night.ManifestObject(dayOf(a.t, m.Day)), m)
}

func (a account) drill(d *night.Drill) {
	a.t.Helper()
	a.record(d.Day, night.DrillObject(dayOf(a.t, d.Day)), d)
}

// oldDay stores what an old script left.
func (a account) oldDay(text string, ids ...uint64) {
	a.t.Helper()
	a.put(text, text+"/shards/meta.00", metastore(ids...))
	for _, id := range ids {
		a.put(text, old(text, id), empty())
	}
}

// old is the old scripts' name of an archive.
func old(day string, id uint64) string { return fmt.Sprintf("%s/shards/db.main.%05d.00", day, id) }

func dayOf(t *testing.T, text string) night.Day {
	t.Helper()
	d, err := night.ParseDay(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (a account) verify(text string, level night.Level) *proof.Report {
	a.t.Helper()
	r, err := proof.Verify(a.t.Context(), a, dayOf(a.t, text), proof.Options{Level: level, Parallel: 2})
	if err != nil {
		a.t.Fatal(err)
	}
	if r.Good != (len(r.Problems) == 0) {
		a.t.Errorf("good is %v with the problems %v", r.Good, r.Problems)
	}
	return r
}

// says fails the test unless each text is in one problem, and no problem is
// left over.
func says(t *testing.T, r *proof.Report, texts ...string) {
	t.Helper()
	left := slices.Clone(r.Problems)
	for _, text := range texts {
		at := slices.IndexFunc(left, func(p night.Problem) bool { return strings.Contains(p.String(), text) })
		if at < 0 {
			t.Errorf("no problem says %q: %v", text, left)
			continue
		}
		left = slices.Delete(left, at, at+1)
	}
	if len(left) > 0 {
		t.Errorf("problems beyond %q: %v", texts, left)
	}
}

const today = "2016-06-01"

func TestAWholeDayIsGoodAtEveryLevel(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.day(today, 9, 10)
	for _, level := range []night.Level{night.LevelListing, night.LevelContent, night.LevelRestored} {
		r := a.verify(today, level)
		says(t, r)
		if r.Level != level.String() || r.Database != "db" || r.Shards != 2 || (r.Bytes == 2048) != (level > night.LevelListing) {
			t.Errorf("report %+v", r)
		}
	}
}

func TestAllThatIsWrongIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	m := a.day(today, 8, 9, 10, 11)
	a.remove(today, m.Shards[0].Object)
	a.put(today, m.Shards[1].Object, empty()[:512])
	changed := empty()
	changed[700] = 1
	a.put(today, m.Shards[2].Object, changed)
	a.put(today, today+"/shards/meta.00", metastore(8, 9, 10, 12))
	a.put(today, today+"/shards/db.main.00099.00", empty())
	a.put(today, today+"/drill.json", []byte("{"))
	listing := []string{
		m.Shards[0].Object + ": it is not listed", m.Shards[1].Object + ": it has 512 bytes", m.Shards[2].Object + ": it has MD5",
		"meta.00: it has MD5", "it lacks shard 11", "it has shard 12", "00099.00: the manifest does not name it",
	}
	says(t, a.verify(today, night.LevelListing), listing...)
	content := append(slices.Clone(listing), m.Shards[1].Object+": at byte", m.Shards[2].Object+": at byte")
	says(t, a.verify(today, night.LevelContent), content...)
	says(t, a.verify(today, night.LevelRestored), append(content, "read drill")...)
}

func TestRecordsThatCannotBeTrustedAreProblems(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do   func(account, *night.Manifest)
		want []string
	}{
		"metastore gone":      {func(a account, _ *night.Manifest) { a.remove(today, today+"/shards/meta.00") }, []string{"meta.00: it is not listed"}},
		"metastore cut":       {func(a account, _ *night.Manifest) { a.put(today, today+"/shards/meta.00", metastore(9)[:20]) }, []string{"meta.00: it has", "meta.00: "}},
		"another database":    {func(a account, m *night.Manifest) { m.Database, m.Shards = "other", nil; a.write(m) }, []string{`no database "other"`, "00009.00: the manifest does not name it", "00010_.00: the manifest does not name it"}},
		"manifest lost":       {func(a account, _ *night.Manifest) { a.remove(today, today+"/manifest.json") }, []string{"archives have the names that only Nightshard gives"}},
		"manifest of nothing": {func(a account, _ *night.Manifest) { a.put(today, today+"/manifest.json", nil) }, []string{"read manifest"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t)
			c.do(a, a.day(today, 9, 10))
			says(t, a.verify(today, night.LevelListing), c.want...)
		})
	}
}

func TestAManifestThatWasLostIsMissedByItsDrill(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.day(today, 9) // no name that only Nightshard gives
	a.remove(today, today+"/manifest.json")
	says(t, a.verify(today, night.LevelListing), "the day's drill was of a backup that had one")
	// A run that was cut off is no old script's day.
	a.remove(today, today+"/drill.json")
	a.put(today, today+"/incoming/run.json", []byte("{}"))
	says(t, a.verify(today, night.LevelListing), "the backup is not finished")
}

func TestTheVerdictMustBeOfThisBackup(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	m := a.day(today, 9)
	m.Request = "8@2016-06-01"
	a.write(m)
	says(t, a.verify(today, night.LevelContent))
	says(t, a.verify(today, night.LevelRestored), "another backup of the day")
	a.remove(today, today+"/drill.json")
	says(t, a.verify(today, night.LevelRestored), "never restored")
}

func TestAnOldScriptsDayIsHeldAgainstItsMetastore(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.oldDay(today, 9, 10, 20)
	r := a.verify(today, night.LevelContent)
	says(t, r)
	if notes := strings.Join(r.Notes, "\n"); r.Shards != 3 || !strings.Contains(notes, "no manifest") || !strings.Contains(notes, "2 archives are in the old scripts' form") {
		t.Errorf("report %+v", r)
	}
	says(t, a.verify(today, night.LevelRestored), "never restored")
	a.drill(&night.Drill{Schema: night.Schema, Day: today, Database: "db", Passed: true, Note: night.NoFingerprint})
	says(t, a.verify(today, night.LevelRestored))

	a.remove(today, old(today, 10))
	a.put(today, old(today, 20), empty()[:512])
	a.put(today, old(today, 77), empty())
	says(t, a.verify(today, night.LevelListing), "it has shard 10", "00077.00: the metastore knows no such shard")
	says(t, a.verify(today, night.LevelContent), "it has shard 10", "00077.00: the metastore knows no such shard", "00020.00: at byte")
	a.remove(today, today+"/shards/meta.00")
	says(t, a.verify(today, night.LevelContent), "no restore is possible without it")
}

// Swift puts an object away that it finds damaged: the second reading does not
// hide what the first one saw.
func TestDamageThatSwiftPutsAwayIsNamed(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	m := a.day(today, 9)
	a.Break(objstoretest.Fault{Op: objstoretest.Get, Name: m.Shards[0].Object, Call: 1, After: 10, Corrupt: true})
	a.Break(objstoretest.Fault{Op: objstoretest.Get, Name: m.Shards[0].Object, Call: 2, Err: objstore.ErrNotFound})
	says(t, a.verify(today, night.LevelContent), m.Shards[0].Object+": at byte 0")
}

func TestDumpsAloneAreNoDamagedBackup(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.put(today, today+"/influxdb/cpu.json", []byte("[]"))
	r := a.verify(today, night.LevelRestored)
	says(t, r, "2016-06-01: it holds no backup")
	if !r.NoBackup {
		t.Errorf("report %+v", r)
	}
	for _, name := range []string{"/drill.json", "/manifest.json", "/incoming/run.json", "/shards/meta.00"} {
		a.put(today, today+name, []byte("x"))
		if r := a.verify(today, night.LevelRestored); r.NoBackup || r.Good {
			t.Errorf("with %s: %+v", name, r)
		}
		a.remove(today, today+name)
	}
}

// errBroken is a connection that broke.
var errBroken = errors.New("connection reset by peer")

// What goes wrong on the way is not what is stored.
func TestAnArchiveIsReadAgainBeforeItIsCalledDamaged(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]objstoretest.Fault{
		"changed on the way": {Op: objstoretest.Get, After: 10, Corrupt: true},
		"cut":                {Op: objstoretest.Get, After: 600, Err: io.ErrUnexpectedEOF},
		"cut, by its MD5":    {Op: objstoretest.Get, After: 600, Err: objstore.ErrCorrupt},
		"broken":             {Op: objstoretest.Get, After: 600, Err: errBroken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t)
			m := a.day(today, 9, 10)
			for call := range 2 {
				fault.Name, fault.Call = m.Shards[1].Object, call+1
				a.Break(fault)
			}
			var last, total atomic.Int64
			r, err := proof.Verify(t.Context(), a, dayOf(t, today), proof.Options{Level: night.LevelContent, Progress: func(done, all int64) {
				last.Store(done)
				total.Store(all)
			}})
			if err != nil {
				t.Fatal(err)
			}
			says(t, r)
			if last.Load() != 2048 || total.Load() != 2048 {
				t.Errorf("%d of %d bytes were read", last.Load(), total.Load())
			}
		})
	}
}

func TestAnArchiveThatTheServerCannotGiveIsNamedWithTheOthers(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	m := a.day(today, 8, 9, 10)
	a.Break(objstoretest.Fault{Op: objstoretest.Get, Name: m.Shards[0].Object, Err: &objstore.StatusError{Code: 409, Text: "a segment is missing"}})
	a.Break(objstoretest.Fault{Op: objstoretest.Get, Name: m.Shards[1].Object, Err: objstore.ErrNotFound})
	a.Break(objstoretest.Fault{Op: objstoretest.Get, Name: m.Shards[2].Object, After: 9, Err: objstore.ErrCorrupt})
	says(t, a.verify(today, night.LevelContent),
		m.Shards[0].Object+": it cannot be read: HTTP status 409", m.Shards[1].Object+": it is listed, but Swift has it no more", m.Shards[2].Object+": it cannot be read")
}

func TestAServerThatDoesNotAnswerIsNoDamage(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]objstoretest.Fault{
		"listing":   {Op: objstoretest.List, Err: errBroken},
		"manifest":  {Op: objstoretest.Get, Name: today + "/manifest.json", Err: errBroken},
		"metastore": {Op: objstoretest.Get, Name: today + "/shards/meta.00", Err: errBroken},
		"archive":   {Op: objstoretest.Get, Name: old(today, 9), Err: errBroken},
		"no leave":  {Op: objstoretest.Get, Name: old(today, 9), Err: &objstore.StatusError{Code: 403}},
		"drill":     {Op: objstoretest.Get, Name: today + "/drill.json", Err: errBroken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t)
			a.day(today, 9)
			a.Break(fault)
			r, err := proof.Verify(t.Context(), a, dayOf(t, today), proof.Options{Level: night.LevelRestored})
			if r != nil || !errors.Is(err, fault.Err) {
				t.Errorf("report %+v, %v", r, err)
			}
		})
	}
	_, err := proof.Verify(t.Context(), memory.New(), dayOf(t, today), proof.Options{Level: night.LevelListing})
	if !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("a day that is not there: %v", err)
	}
}

func TestTheNewestGoodDayIsFoundAndTheOthersNamed(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	newest := func() (string, []string) {
		t.Helper()
		chosen, passed, err := proof.Newest(t.Context(), a, proof.Options{Level: night.LevelContent})
		if err != nil && !errors.Is(err, proof.ErrNoGoodDay) {
			t.Fatal(err)
		}
		var names []string
		for _, r := range passed {
			if r.Good || len(r.Problems) == 0 {
				t.Errorf("%s is passed over without a reason", r.Day)
			}
			names = append(names, r.Day)
		}
		if chosen == nil {
			return "", names
		}
		return chosen.Day, names
	}
	expect := func(want string, passed ...string) {
		t.Helper()
		if got, names := newest(); got != want || !slices.Equal(names, passed) {
			t.Errorf("chosen %q past %q, want %q past %q", got, names, want, passed)
		}
	}
	expect("")
	a.oldDay("2016-05-01", 9)
	a.day("2016-06-01", 9)
	a.put("2016-06-01_segments", "x", nil) // no day
	expect("2016-06-01")
	unproved := a.day("2016-06-02", 9)
	a.remove("2016-06-02", "2016-06-02/drill.json")
	expect("2016-06-02")
	// Refuted by its restore, damaged, unfinished, without any backup (two).
	a.drill(&night.Drill{Schema: night.Schema, Day: "2016-06-02", Database: "db", Backup: unproved.Request})
	cut := a.day("2016-06-03", 9)
	a.put("2016-06-03", cut.Shards[0].Object, empty()[:512])
	a.put("2016-06-04", "2016-06-04/incoming/run.json", []byte("{}"))
	a.put("2016-06-05", "2016-06-05/notes.txt", []byte("x"))
	a.put("2016-06-06", "2016-06-06/shards/meta.00", metastore()) // no archive
	expect("2016-06-01", "2016-06-06", "2016-06-05", "2016-06-04", "2016-06-03", "2016-06-02")
	// A verdict on an earlier backup of the day refutes nothing.
	unproved.Request = "9@9"
	a.write(unproved)
	expect("2016-06-02", "2016-06-06", "2016-06-05", "2016-06-04", "2016-06-03")
	a.remove("2016-06-02", "2016-06-02/manifest.json")
	a.remove("2016-06-01", "2016-06-01/shards/meta.00")
	expect("2016-05-01", "2016-06-06", "2016-06-05", "2016-06-04", "2016-06-03", "2016-06-02", "2016-06-01")
}
