package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/testbed"
)

// site is one of several databases, with services of its own at the NATS of
// all.
type site struct {
	*house
	database string
}

// newSite has a database of production, with records that no other one has.
func newSite(t *testing.T, n int, prod *testbed.InfluxServer, nats *testbed.NATSServer, swift map[string]string) *site {
	t.Helper()
	s := &site{database: fmt.Sprintf("db_%d", n), house: &house{
		t: t, prod: prod, nats: nats, swift: swift, news: make(chan struct{}), patience: patience,
	}}
	// One server for all restores would not do: the restore of one database
	// would meet the metastore while that of another changes it.
	s.inter = testbed.Influx(t, testbed.InfluxOptions{})
	s.settle(nats.URL, 1)
	maps.Copy(s.env, map[string]string{"NIGHTSHARD_DATABASE": s.database, "NIGHTSHARD_SUBJECT_PREFIX": fmt.Sprintf("site-%d", n), "NIGHTSHARD_RETRY_WAIT": "500ms"})
	s.connect()
	prod.CreateDatabase(t, s.database)
	var lines strings.Builder
	for i := range 50 {
		fmt.Fprintf(&lines, "cpu,host=web-%d idle=%d.5 %d\n", i%5, 1000*n+i, weekday0().Add(time.Duration(i)*time.Hour).UnixNano())
	}
	prod.Write(t, s.database, "autogen", lines.String())
	return s
}

// several sites of two production servers.
func several(t *testing.T, n int) []*site {
	t.Helper()
	nats := testbed.NATS(t, testbed.NATSOptions{})
	prods := []*testbed.InfluxServer{testbed.Influx(t, testbed.InfluxOptions{}), testbed.Influx(t, testbed.InfluxOptions{})}
	var sites []*site
	for i := range n {
		sites = append(sites, newSite(t, i+1, prods[i%2], nats, testbed.Swift(t).Env))
	}
	return sites
}

func TestSeveralDatabasesInOneNight(t *testing.T) {
	t.Parallel()
	n := 3
	if *faults != "some" {
		n = 10
	}
	sites := several(t, n)
	asked := map[*site]uint64{}
	for _, s := range sites {
		s.startAll()
	}
	for _, s := range sites {
		asked[s] = s.publish(events.BackupRequested, &pb.BackupRequested{Day: dayName(0)})
	}
	for _, s := range sites {
		b, be := awaitOn[*pb.BackupCompleted](s.house, asked[s], events.BackupCompleted, events.BackupFailed)
		_, re := awaitOn[*pb.RestoreCompleted](s.house, be.Seq, events.RestoreCompleted, events.RestoreFailed)
		d := s.dumps(re.Seq, 1)[0]
		if b.GetDatabase() != s.database || d.GetDatabase() != s.database {
			t.Errorf("%s: backup of %q, dump of %q", s.database, b.GetDatabase(), d.GetDatabase())
		}
		s.whole(t, d.GetObject())
	}
	for _, s := range sites {
		if got := s.story(); strings.Count(got, "\n") != 4 { // request, backup, restore, dump
			t.Errorf("events of %s:\n%s", s.database, got)
		}
	}
	tried(t, "Cluster", fmt.Sprintf("%d databases of two productions, each with its prefix, Swift account and intermediary", n), "one night", endedRight)
}

// whole checks that the day holds this database's backup and dump, and nothing
// else, and that the intermediary has its records.
func (s *site) whole(t *testing.T, dump string) {
	t.Helper()
	s.stands(t, dayName(0), dump)
	all := fmt.Sprintf("SELECT * FROM %q.autogen.cpu", s.database)
	want := records(t, s.prod, all)
	if got := records(t, s.inter, all); !slices.Equal(got, want) || len(got) != 50 {
		t.Errorf("%s: the intermediary has %d records, production %d", s.database, len(got), len(want))
	}
	day := records(t, s.prod, fmt.Sprintf("%s WHERE time >= %d AND time < %d", all, weekday0().UnixNano(), weekday0().AddDate(0, 0, 1).UnixNano()))
	if got := dumped(t, s.read(dayName(0), dump)); !slices.Equal(got, day) || len(got) != 24 {
		t.Errorf("%s: %d records in the dump, production has %d", s.database, len(got), len(day))
	}
}

// stands holds the day's listing against its manifest. more are the objects
// beside it.
func (s *site) stands(t *testing.T, day string, more ...string) {
	t.Helper()
	m := s.manifest(day)
	if m.Database != s.database {
		t.Errorf("the manifest is of %q, want %q", m.Database, s.database)
	}
	shown := map[string]night.Stored{}
	for name, o := range s.list(day) {
		shown[name] = night.Stored{Object: name, Bytes: o.Size, MD5: o.Listed}
	}
	sent := m.Objects()
	for _, name := range append([]string{day + "/manifest.json"}, more...) {
		sent = append(sent, shown[name])
	}
	problems, left := night.CheckListing(sent, shown)
	left = slices.DeleteFunc(left, func(name string) bool { return name == day+"/drill.json" })
	if len(problems)+len(left) > 0 {
		t.Errorf("%s of %s: %v; left behind: %v", day, s.database, problems, left)
	}
}

// Two databases of one Swift account meet in the day's container. One of them
// gets it; the other one is told.
func TestTwoDatabasesDoNotShareASwiftAccount(t *testing.T) {
	t.Parallel()
	nats := testbed.NATS(t, testbed.NATSOptions{})
	prod, account := testbed.Influx(t, testbed.InfluxOptions{}), testbed.Swift(t).Env
	both := []*site{newSite(t, 1, prod, nats, account), newSite(t, 2, prod, nats, account)}
	for _, s := range both {
		s.start("backup").ready()
	}
	for n := range 3 {
		t.Logf("day %s", dayName(n))
		owner, other := compete(t, both, dayName(n))
		owner.stands(t, dayName(n))
		before := owner.list(dayName(n))
		if text := other.refusal(t, &pb.BackupRequested{Day: dayName(n), Force: true}); !strings.Contains(text, owner.database) || !strings.Contains(text, other.database) {
			t.Errorf("with force: %s", text)
		}
		if after := owner.list(dayName(n)); !maps.Equal(identities(before), identities(after)) {
			t.Errorf("the refused backup changed the day from %v to %v", before, after)
		}
	}
	tried(t, "Cluster", "two databases of one Swift account are backed up", "at the same moment", refused)
	tried(t, "Cluster", "another database of the Swift account is backed up, with force", "on a finished day", refused)
}

// compete asks for the same day of both at once, and gives the one that got it.
func compete(t *testing.T, both []*site, day string) (owner, other *site) {
	t.Helper()
	var asked []uint64
	for _, s := range both {
		asked = append(asked, s.publish(events.BackupRequested, &pb.BackupRequested{Day: day}))
	}
	for i, s := range both {
		e := s.await("the end of the backup of "+s.database, asked[i], func(e events.Event) bool {
			return e.Subject == events.BackupCompleted || e.Subject == events.BackupFailed
		})
		if e.Subject == events.BackupCompleted {
			if owner != nil {
				t.Fatalf("%s: both were backed up to the same container", day)
			}
			owner = s
			continue
		}
		if text := string(e.Data); !strings.Contains(text, both[0].database) || !strings.Contains(text, both[1].database) {
			t.Errorf("it does not name both: %s", text)
		}
		other = s
	}
	if owner == nil {
		t.Fatalf("%s: neither was backed up", day)
	}
	return owner, other
}

// refusal asks for a backup and gives the error that it ends with.
func (s *site) refusal(t *testing.T, req *pb.BackupRequested) string {
	t.Helper()
	f, _ := awaitOn[*pb.BackupFailed](s.house, s.publish(events.BackupRequested, req), events.BackupFailed, events.BackupCompleted)
	if f.GetAttempts() != 1 {
		t.Errorf("refused after %d attempts", f.GetAttempts())
	}
	return f.GetError()
}

// identities are the objects by name, with what changes when one is written.
func identities(listed map[string]objstore.Object) map[string]string {
	out := map[string]string{}
	for name, o := range listed {
		out[name] = o.Listed + " " + o.Modified.String()
	}
	return out
}
