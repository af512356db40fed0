package e2e_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/testbed"
)

var (
	faults = flag.String("faults", "some", "which faults at single requests: some, each (one at every kind of request; half an hour), or all (hours)")
	seed   = flag.Uint64("seed", 0, "which of the faults some are; 0 chooses anew")
)

// mill runs one small night after the other on the same servers, each with a
// fault of its own. Every service sees every server through a proxy of its
// own, so that a fault can be put at any one of its requests.
type mill struct {
	*house
	proxies map[string]*testbed.HTTPProxy // by side
	sockets map[string]*testbed.Proxy     // by side: the snapshot ports
	whole   *testing.T                    // the test that the mill belongs to
	env     map[string][]string           // of each service, beyond the house's
	procs   map[string]*proc
	next    int // the next unused day
	shards  map[string]string
	counts  map[string]string

	mu   sync.Mutex
	seen map[request]int // how often each kind of request came, this trial
	plan func(q request) testbed.HTTPFault
}

// request is one outside call of a service: what it is, and which of its kind
// in a night.
type request struct {
	side string // such as "backup to Swift"
	kind string
	n    int // from 1
}

func (q request) String() string { return fmt.Sprintf("%s: %s", q.side, q.kind) }

// millDays is how many days of the mill's data there are, one for each trial.
const millDays = 3600

// newMill starts servers, proxies and services, and runs one good night that
// says what is right.
func newMill(t *testing.T, env ...string) *mill {
	t.Helper()
	return newMillIn(t, build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{}), env...)
}

// newMillIn is newMill in a house that is built already.
func newMillIn(t *testing.T, h *house, env ...string) *mill {
	t.Helper()
	m := &mill{
		house:   h,
		proxies: map[string]*testbed.HTTPProxy{}, sockets: map[string]*testbed.Proxy{},
		whole: t, env: map[string][]string{}, procs: map[string]*proc{}, seen: map[request]int{},
	}
	maps.Copy(m.house.env, map[string]string{
		"NIGHTSHARD_IDLE_TIMEOUT": "1s", "NIGHTSHARD_ACK_WAIT": "1s", "NIGHTSHARD_RETRY_WAIT": "100ms",
		"NIGHTSHARD_FULL_EVERY": "1", // a long run of trials makes the same requests in each
	})
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		m.house.env[name] = value
	}
	m.fill()
	for _, name := range []string{"backup", "restore", "dumper"} {
		m.env[name] = m.through(name)
		m.launch(name)
	}
	m.trial(t, nil)
	day := m.today()
	m.shards, m.counts = m.stored(t, day), counts(t, m.prod, "main", "two_weeks")
	return m
}

// fill writes a few records into each of the days, into few shards.
func (m *mill) fill() {
	m.prod.Query(m.t, "", `CREATE RETENTION POLICY "main" ON "sensu_db" DURATION INF REPLICATION 1 SHARD DURATION 2600d DEFAULT`)
	m.prod.Query(m.t, "", `CREATE RETENTION POLICY "two_weeks" ON "sensu_db" DURATION INF REPLICATION 1 SHARD DURATION 5200d`)
	var cpu, mem strings.Builder
	for d := range millDays {
		for i := range 3 {
			at := weekday0().AddDate(0, 0, d).Add(time.Duration(i) * 11 * time.Hour).UnixNano()
			fmt.Fprintf(&cpu, "cpu,host=web-%d idle=%d.5,user=%di,state=\"ok, \\\"so\\\"\" %d\n", i, d%97, d*i, at)
		}
		fmt.Fprintf(&mem, "mem,host=web-1 used=%di %d\n", d, weekday0().AddDate(0, 0, d).UnixNano())
	}
	m.prod.Write(m.t, database, "main", cpu.String())
	m.prod.Write(m.t, database, "two_weeks", mem.String())
}

// launch starts a service, again after it was killed.
func (m *mill) launch(name string) {
	m.procs[name] = m.startIn(m.whole, name, m.env[name]...)
}

// through gives a service a proxy before each server, and the settings that
// lead it there.
func (m *mill) through(service string) []string {
	swift := m.proxy(service+" to Swift", strings.TrimSuffix(strings.TrimPrefix(m.swift["ST_AUTH"], "http://"), "/auth/v1.0"))
	env := []string{"ST_AUTH=http://" + swift + "/auth/v1.0", "NATS_URL=" + m.relay(service+" to NATS")}
	server, setting := m.inter, "NIGHTSHARD_INTERMEDIARY"
	if service == "backup" {
		server, setting = m.prod, "NIGHTSHARD_PRODUCTION"
	}
	env = append(env, setting+"_URL=http://"+m.proxy(service+" to InfluxDB", strings.TrimPrefix(server.URL, "http://")))
	if service == "dumper" {
		return env
	}
	side := service + " to port 8088"
	socket := testbed.TCPProxy(m.t, server.Snapshot)
	m.sockets[side] = socket
	socket.OnConn(func(int) []testbed.Fault {
		f := m.meet(request{side: side, kind: "connection"})
		if f.Before != nil {
			f.Before()
		}
		return nil
	})
	return append(env, setting+"_SNAPSHOT="+socket.Addr)
}

// relay gives a service its own way to each NATS server.
func (m *mill) relay(side string) string {
	var urls []string
	for url := range strings.SplitSeq(m.house.env["NATS_URL"], ",") {
		urls = append(urls, m.relayTo(side, strings.TrimPrefix(url, "nats://")))
	}
	return strings.Join(urls, ",")
}

func (m *mill) relayTo(side, target string) string {
	r := &natsRelay{target: target, meet: func(kind string) (func(), bool) {
		f := m.meet(request{side: side, kind: kind})
		if f.Before != nil {
			f.Before()
		}
		if f.After == nil {
			f.After = func() {}
		}
		return f.After, f.Action != testbed.Drop
	}}
	return r.serve(m.whole)
}

func (m *mill) proxy(side, target string) string {
	p := testbed.NewHTTPProxy(m.t, target)
	m.proxies[side] = p
	p.OnRequest(func(r testbed.HTTPRequest) testbed.HTTPFault {
		return m.meet(request{side: side, kind: m.kind(r)})
	})
	return p.Addr
}

// meet counts a request and asks the trial's plan what happens to it.
func (m *mill) meet(q request) testbed.HTTPFault {
	m.mu.Lock()
	m.seen[q]++
	q.n = m.seen[q]
	plan := m.plan
	m.mu.Unlock()
	if plan == nil {
		return testbed.HTTPFault{}
	}
	return plan(q)
}

// kind names a request as the table does.
func (m *mill) kind(r testbed.HTTPRequest) string {
	if q, err := url.ParseQuery(r.Query); err == nil && r.Path == "/query" {
		statement, _, _ := strings.Cut(q.Get("q"), "(")
		words := strings.Fields(statement)
		return strings.Join(words[:min(2, len(words))], " ")
	}
	path, _ := url.PathUnescape(r.Path)
	parts := strings.SplitN(strings.TrimPrefix(path, "/v1/"), "/", 3)
	if !strings.HasPrefix(path, "/v1/") {
		return r.Method + " " + path
	}
	if len(parts) < 3 {
		name := []string{"account", "container", "container of segments"}[len(parts)-1]
		if strings.HasSuffix(path, "_segments") {
			name = "container of segments"
		}
		return r.Method + " " + name
	}
	return r.Method + " " + objectKind(parts[1], parts[2])
}

func objectKind(container, object string) string {
	name := strings.TrimPrefix(object, container+"/")
	staged := ""
	if rest, ok := strings.CutPrefix(name, "incoming/"); ok {
		name, staged = rest, "staged "
	}
	switch {
	case strings.HasSuffix(container, "_segments"):
		return "segment"
	case strings.HasPrefix(name, "run/"):
		return staged + "mark"
	case name == "shards/meta.00":
		return staged + "metastore"
	case strings.HasPrefix(name, "shards/"):
		return staged + "shard"
	case strings.HasPrefix(name, "influxdb/"):
		return "dump"
	}
	return staged + strings.TrimSuffix(name, ".json")
}

// reportTo lets a trial's own test fail while it runs, and not the whole mill.
func (m *mill) reportTo(t *testing.T) {
	m.t = t
	t.Cleanup(func() { m.t = m.whole })
}

// today names the day of the trial that runs, or ran last.
func (m *mill) today() string { return dayName(m.next - 1) }

// trial runs a night on a day of its own with a plan of faults, waits for its
// end, and gives the requests that it made, and whether a step said failed.
func (m *mill) trial(t *testing.T, plan func(request) testbed.HTTPFault) (made []request, failed bool) {
	t.Helper()
	m.next++
	if m.next > millDays {
		t.Fatal("no day is left for another trial")
	}
	return m.run(t, false, plan)
}

// run runs a night on the present day.
func (m *mill) run(t *testing.T, force bool, plan func(request) testbed.HTTPFault) (made []request, failed bool) {
	t.Helper()
	m.mu.Lock()
	m.seen, m.plan = map[request]int{}, plan
	m.mu.Unlock()
	seq := m.publish(events.BackupRequested, &pb.BackupRequested{Day: m.today(), Force: force})
	failed = m.end(seq)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.plan = nil
	for q, n := range m.seen {
		for i := range n {
			made = append(made, request{q.side, q.kind, i + 1})
		}
	}
	slices.SortFunc(made, func(a, b request) int {
		return strings.Compare(fmt.Sprintf("%s %06d", a, a.n), fmt.Sprintf("%s %06d", b, b.n))
	})
	return made, failed
}

// once gives a plan that puts one fault at one request, and tells whether that
// request came: the order of requests may be another this time.
func once(at request, f testbed.HTTPFault) (plan func(request) testbed.HTTPFault, came func() bool) {
	var hit atomic.Bool
	plan = func(q request) testbed.HTTPFault {
		if q != at || hit.Swap(true) {
			return testbed.HTTPFault{}
		}
		return f
	}
	return plan, hit.Load
}

// end waits until the night of a request has ended, one way or the other, and
// says whether it failed.
func (m *mill) end(seq uint64) (failed bool) {
	for _, step := range [][2]string{
		{events.BackupCompleted, events.BackupFailed}, {events.RestoreCompleted, events.RestoreFailed}, {events.DumpCompleted, events.DumpFailed},
	} {
		e := m.await(step[0]+" of "+m.today(), seq, func(e events.Event) bool {
			day, ok := e.Message.(interface{ GetDay() string })
			return (e.Subject == step[0] || e.Subject == step[1]) && ok && day.GetDay() == m.today()
		})
		if e.Subject == step[1] {
			return true
		}
		seq = e.Seq
	}
	return false
}

// stored gives the archives of a day by the last part of their names, with
// their hashes.
func (m *mill) stored(t *testing.T, day string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, o := range m.list(day) {
		if rest, ok := strings.CutPrefix(name, day+"/shards/"); ok {
			out[rest] = o.Listed
		}
	}
	if len(out) < 4 {
		t.Fatalf("only %d archives on %s: %v", len(out), day, out)
	}
	return out
}

// right checks everything that a night must leave behind, after that many runs.
func (m *mill) right(t *testing.T, runs int) {
	t.Helper()
	m.rightAfter(t, runs, runs, runs)
}

// rightAfter is right for a day on which some runs did not get to their end.
func (m *mill) rightAfter(t *testing.T, backups, restores, dumps int) {
	t.Helper()
	day := m.today()
	listed := m.list(day)
	manifest := m.manifest(day)
	if got := m.stored(t, day); !reflect.DeepEqual(got, m.shards) {
		t.Errorf("stored are %v, production has %v", got, m.shards)
	}
	var dump *pb.DumpCompleted
	for subject, n := range map[string]int{events.BackupCompleted: backups, events.RestoreCompleted: restores, events.DumpCompleted: dumps} {
		of := m.of(subject, day)
		if len(of) != n {
			t.Errorf("%d events on %s, want %d:\n%s", len(of), subject, n, m.story())
		}
		if d, ok := of[len(of)-1].Message.(*pb.DumpCompleted); ok {
			dump = d
		}
	}
	sent := manifest.Objects()
	for _, name := range []string{"manifest.json", "drill.json", dump.GetObject()} {
		name = day + "/" + strings.TrimPrefix(name, day+"/")
		sent = append(sent, night.Stored{Object: name, Bytes: listed[name].Size, MD5: listed[name].Listed})
	}
	shown := map[string]night.Stored{}
	for name, o := range listed {
		shown[name] = night.Stored{Object: name, Bytes: o.Size, MD5: o.Listed}
	}
	if problems, left := night.CheckListing(sent, shown); len(problems)+len(left) > 0 {
		t.Errorf("listing: %v; left behind: %v", problems, left)
	}
	m.noStraySegments(t, day, listed)
	drill, err := night.ParseDrill(m.read(day, day+"/drill.json"))
	if err != nil || !drill.Passed || drill.Compared == 0 {
		t.Errorf("drill %+v, %v", drill, err)
	}
	if got := counts(t, m.inter, "main", "two_weeks"); !reflect.DeepEqual(got, m.counts) {
		t.Errorf("the intermediary has %v, production %v", got, m.counts)
	}
	m.sameDump(dump)
}

// noStraySegments checks that the segments of the day are those of its objects
// and no more.
func (m *mill) noStraySegments(t *testing.T, day string, listed map[string]objstore.Object) {
	t.Helper()
	sums := map[string]int64{}
	for name, o := range m.list(day + "_segments") {
		object := name
		for object != "" && listed[object].Name == "" {
			object = object[:max(0, strings.LastIndexByte(object, '/'))]
		}
		if object == "" {
			t.Errorf("segment %s is of no object", name)
		}
		sums[object] += o.Size
	}
	for object, sum := range sums {
		if object != "" && sum != listed[object].Size {
			t.Errorf("%s has %d bytes, its segments %d", object, listed[object].Size, sum)
		}
	}
	if m.house.env["NIGHTSHARD_SEGMENT_BYTES"] != "" && len(sums) == 0 {
		t.Error("no object is in segments: the scene proves nothing")
	}
}

// scene is the night that the faults are put into.
type scene struct {
	name, env string
	second    bool // the day holds a finished backup already
	aged      bool // no shard changed since the night before
}

func scenes() []scene {
	const segments = "NIGHTSHARD_SEGMENT_BYTES=16384"
	return []scene{
		{name: "fresh day"},
		{name: "fresh day in segments", env: segments},
		{name: "day run again", second: true},
		{name: "day in segments run again", env: segments, second: true},
		{name: "unchanged shards", aged: true},
	}
}

// eachScene runs the trials that list makes of a good night's requests, in each
// of the scenes: all of them, or n.
func eachScene[T any](t *testing.T, n int, list func([]request) []T, name func(T) string, run func(*mill, *testing.T, T, scene)) {
	t.Helper()
	var taken sync.Map // by name, of all scenes
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			m := newMill(t, s.env)
			if s.aged {
				m.beginCarrying(t)
			}
			m.warm(t, s.second)
			made, _ := m.run(t, s.second, nil)
			m.right(t, m.runs(s.second))
			for _, x := range choose(t, list(made), n, name) {
				if _, again := taken.LoadOrStore(name(x), true); again && *faults == "each" {
					continue // in another scene
				}
				t.Run(name(x), func(t *testing.T) {
					m.reportTo(t)
					run(m, t, x, s)
				})
			}
		})
	}
}

// beginCarrying reads all shards once more, their files being old, and copies them
// from then on. The intermediary keeps what it holds.
func (m *mill) beginCarrying(t *testing.T) {
	t.Helper()
	m.age()
	m.house.env["NIGHTSHARD_RESTORE_MODE"], m.house.env["NIGHTSHARD_RESTORE_FULL_EVERY"] = "incremental", "100000"
	must(t, m.procs["restore"].stop(syscall.SIGTERM))
	m.launch("restore")
	m.trial(t, nil)
	m.shards = m.stored(t, m.today()) // a restart changes the metastore
	_, m.house.env["NIGHTSHARD_FULL_EVERY"], _ = strings.Cut(never, "=")
	must(t, m.procs["backup"].stop(syscall.SIGTERM))
	m.launch("backup")
}

// warm opens the next day, and for a second run has it backed up first.
func (m *mill) warm(t *testing.T, second bool) {
	t.Helper()
	if second {
		if _, failed := m.trial(t, nil); failed {
			t.Fatalf("a night without a fault failed:\n%s", m.story())
		}
		return
	}
	m.next++
}

// runs is how many nights a day has seen.
func (m *mill) runs(second bool) int {
	if second {
		return 2
	}
	return 1
}

// of gives the events of a day on a subject.
func (m *mill) of(subject, day string) []events.Event {
	return slices.DeleteFunc(m.all(subject), func(e events.Event) bool {
		d, ok := e.Message.(interface{ GetDay() string })
		return !ok || d.GetDay() != day
	})
}

// choose gives n of the trials, one of each name, or all of them, as the flags
// say, in an order of chance.
func choose[T any](t *testing.T, trials []T, n int, name func(T) string) []T {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	random := rand.New(rand.NewPCG(s, 1))
	random.Shuffle(len(trials), func(i, j int) { trials[i], trials[j] = trials[j], trials[i] })
	of := len(trials)
	switch *faults {
	case "all":
	case "each":
		had := map[string]bool{}
		trials = slices.DeleteFunc(trials, func(x T) bool {
			again := had[name(x)]
			had[name(x)] = true
			return again
		})
	default:
		trials = trials[:min(n, len(trials))]
	}
	t.Logf("%d of %d faults, chosen by -seed %d", len(trials), of, s)
	return trials
}
