package main

import (
	"context"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// clinic is a house of real servers in which all is well: two good days, and a
// process at each durable.
type clinic struct {
	prod, inter *testbed.InfluxServer
	nats        *testbed.NATSServer
	swift       *testbed.SwiftAccount
	store       objstore.Account
	env         map[string]string
	today       night.Day
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{
		prod: testbed.Influx(t, testbed.InfluxOptions{Auth: true}), inter: testbed.Influx(t, testbed.InfluxOptions{}),
		nats: testbed.NATS(t, testbed.NATSOptions{}), swift: testbed.Swift(t), today: night.DayOf(time.Now(), time.UTC),
	}
	c.prod.CreateDatabase(t, "db")
	c.prod.Write(t, "db", "", "cpu,host=a idle=1 1464739200000000000")
	c.env = map[string]string{
		"NIGHTSHARD_DATABASE": "db", "NIGHTSHARD_MEASUREMENTS": "cpu,disk/free", "NATS_URL": c.nats.URL,
		"NIGHTSHARD_PRODUCTION_URL": c.prod.URL, "NIGHTSHARD_PRODUCTION_SNAPSHOT": c.prod.Snapshot,
		"NIGHTSHARD_PRODUCTION_USER": c.prod.User, "NIGHTSHARD_PRODUCTION_PASSWORD": c.prod.Password,
		"NIGHTSHARD_INTERMEDIARY_URL": c.inter.URL, "NIGHTSHARD_INTERMEDIARY_SNAPSHOT": c.inter.Snapshot,
	}
	maps.Copy(c.env, c.swift.Env)
	var err error
	if c.store, _, err = newApp(c.env, &buffer{}, &buffer{}).openSwift(t.Context()); err != nil {
		t.Fatal(err)
	}
	for back := 2; back >= 1; back-- {
		day := c.today.Add(-back).String()
		fullDay(t, c.store, day)
		drillOf(t, c.store, day, night.Drill{Passed: true, Database: "db"})
		dumpOf(t, c.store, day, "cpu", "true")
	}
	bus, _ := busAt(t, c.nats, "")
	idle := func(durable string, takes ...string) actor {
		return actor{durable: durable, takes: takes, plays: func(*events.Delivery) ([]proto.Message, error) { return nil, nil }}
	}
	play(t, bus, idle("backup", events.BackupRequested), idle("restore", events.BackupCompleted, events.RestoreRequested),
		idle("dumper-cpu", events.RestoreCompleted), idle(dumperPrefix+events.Slug("disk/free"), events.RestoreCompleted))
	return c
}

// with is the doctor's answer with some settings changed; an empty value unsets.
func (c *clinic) with(t *testing.T, changed map[string]string) (doctorReport, answer) {
	t.Helper()
	env := maps.Clone(c.env)
	for name, value := range changed {
		if env[name] = value; value == "" {
			delete(env, name)
		}
	}
	r := cli{env: env}.run(t, "doctor", "--json")
	return decode[doctorReport](t, r), r
}

// has fails the test unless the report has a finding of that level with the
// text, which says why it matters and what to do.
func (r doctorReport) has(t *testing.T, level, text string) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Level == level && strings.Contains(f.What, text) {
			if level != levelOK && (f.Why == "" || f.Do == "") {
				t.Errorf("it does not say why, or what to do: %+v", f)
			}
			return
		}
	}
	t.Errorf("no %s %q among\n%s", level, text, r.story())
}

func (r doctorReport) story() string {
	var b strings.Builder
	for _, f := range r.Findings {
		b.WriteString(f.Area + " " + f.Level + ": " + f.What + "\n")
	}
	return b.String()
}

func TestDoctorFindsNothingWhereAllIsWell(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	r, answer := c.with(t, nil)
	answer.done(t)
	for _, text := range []string{
		"settings can be read", "the next backup begins", "production is InfluxDB 1.", "lists its shards", `database "db" with 1 shard`,
		"another server than production", "has room for", "no quota", "in segments", "NATS 2.", "may publish every event",
		"stream NIGHTSHARD is as", "services/backup waits", "services/restore waits", "services/dumper for disk/free waits",
		"is stored: 1.1 kB in 2 shards", "passed its drill", "lacks its last minutes",
	} {
		r.has(t, levelOK, text)
	}
	if r.Level != levelOK {
		t.Errorf("level %s\n%s", r.Level, r.story())
	}
	text := cli{env: c.env}.run(t, "doctor").done(t)
	text.shows(t, "settings\n", "  ok       ", "0 problems, 0 warnings, 0 unknown, ")
	if strings.Contains(text.out, "\x1b") || strings.Contains(text.out+answer.out, c.prod.Password) {
		t.Errorf("colours in a pipe, or a secret:\n%s", text.out)
	}
}

// Faults that settings make, each on the same real servers.
func TestDoctorNamesWrongSettings(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	nobodyHTTP := "http://127.0.0.1:1"
	for name, row := range map[string]struct {
		change map[string]string
		level  string
		texts  []string
	}{
		"retention":         {map[string]string{"NIGHTSHARD_KEEP": "14 days"}, levelProblem, []string{`NIGHTSHARD_KEEP is "14 days"`}},
		"several":           {map[string]string{"NIGHTSHARD_SCHEDULE": "55 23", "NIGHTSHARD_PARALLEL": "0", "NIGHTSHARD_TIMEZONE": "Mars"}, levelProblem, []string{"NIGHTSHARD_SCHEDULE", "NIGHTSHARD_PARALLEL", "NIGHTSHARD_TIMEZONE"}},
		"twice":             {map[string]string{"NIGHTSHARD_MEASUREMENTS": "cpu,mem,cpu"}, levelProblem, []string{`"cpu" is named twice`}},
		"misspelt":          {map[string]string{"NIGHTSHARD_SHEDULE": "off"}, levelProblem, []string{"NIGHTSHARD_SHEDULE is set, but nothing reads it"}},
		"a secret's file":   {map[string]string{"NIGHTSHARD_PRODUCTION_PASSWORD": "", "NIGHTSHARD_PRODUCTION_PASSWORD_FILE": "/nowhere"}, levelProblem, []string{"/nowhere"}},
		"secret in address": {map[string]string{"NIGHTSHARD_PRODUCTION_URL": "http://u:sesame@127.0.0.1:1"}, levelProblem, []string{"put user and password"}},
		"offline":           {map[string]string{"NIGHTSHARD_RESTORE_MODE": "offline", "NIGHTSHARD_RESTORE_DATADIR": "/nowhere"}, levelProblem, []string{"NIGHTSHARD_RESTORE_DATADIR", "NIGHTSHARD_RESTORE_STOP"}},
		"no schedule":       {map[string]string{"NIGHTSHARD_SCHEDULE": "off"}, levelWarning, []string{"NIGHTSHARD_SCHEDULE is off"}},
		"wrong rule":        {map[string]string{"NIGHTSHARD_SCHEDULE": "5 0 * * *"}, levelWarning, []string{"carries the day that has just begun"}},
		"password":          {map[string]string{"NIGHTSHARD_PRODUCTION_PASSWORD": "wrong"}, levelProblem, []string{"production refuses the login"}},
		"no server":         {map[string]string{"NIGHTSHARD_INTERMEDIARY_URL": nobodyHTTP}, levelProblem, []string{"intermediary does not answer at " + nobodyHTTP}},
		"no port":           {map[string]string{"NIGHTSHARD_PRODUCTION_SNAPSHOT": "127.0.0.1:1"}, levelProblem, []string{"the snapshot port 127.0.0.1:1 of production gives no metastore"}},
		"other's port":      {map[string]string{"NIGHTSHARD_PRODUCTION_SNAPSHOT": c.inter.Snapshot}, levelProblem, []string{"answer for different servers", "the intermediary is production: both have cluster id"}},
		"production": {map[string]string{
			"NIGHTSHARD_INTERMEDIARY_URL": c.prod.URL, "NIGHTSHARD_INTERMEDIARY_SNAPSHOT": c.prod.Snapshot,
			"NIGHTSHARD_INTERMEDIARY_USER": c.prod.User, "NIGHTSHARD_INTERMEDIARY_PASSWORD": c.prod.Password,
		}, levelProblem, []string{"the intermediary is production: both have cluster id", "did not put there"}},
		"database":    {map[string]string{"NIGHTSHARD_DATABASE": "sensu"}, levelProblem, []string{`production has no database "sensu"`}},
		"Swift's key": {map[string]string{"ST_KEY": "wrong"}, levelProblem, []string{"Swift refuses the login"}},
		"no Swift":    {map[string]string{"ST_AUTH": nobodyHTTP + "/auth/v1.0"}, levelProblem, []string{"Swift does not answer"}},
		"none set":    {map[string]string{"ST_AUTH": ""}, levelProblem, []string{"Swift's settings: "}},
		"no NATS":     {map[string]string{"NATS_URL": nobody}, levelProblem, []string{"NATS: connect to NATS at nats://127.0.0.1:1"}},
		"no stream":   {map[string]string{"NIGHTSHARD_SUBJECT_PREFIX": "site1"}, levelWarning, []string{"NATS has no stream NIGHTSHARD_SITE1"}},
		"replicas":    {map[string]string{"NIGHTSHARD_STREAM_REPLICAS": "3"}, levelProblem, []string{"it has 1 copies, NIGHTSHARD_STREAM_REPLICAS is 3"}},
		"measurement": {map[string]string{"NIGHTSHARD_MEASUREMENTS": `["cpu","mem"]`}, levelProblem, []string{"services/dumper for mem was never started"}},
		"unset":       {map[string]string{"NIGHTSHARD_PRODUCTION_URL": "", "NIGHTSHARD_PRODUCTION_SNAPSHOT": "", "NIGHTSHARD_MEASUREMENTS": ""}, levelUnknown, []string{"where production is", "NIGHTSHARD_MEASUREMENTS is not set here"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, answer := c.with(t, row.change)
			for _, text := range row.texts {
				r.has(t, row.level, text)
			}
			if want := r.Level == levelProblem; (answer.code == service.ExitFailed) != want || row.level == levelProblem && !want {
				t.Errorf("exit code %d, level %s\n%s", answer.code, r.Level, r.story())
			}
			if strings.Contains(answer.out+answer.err, "sesame") {
				t.Errorf("a secret in\n%s", answer.out)
			}
		})
	}
}

// Faults of the servers and of what is stored.
func TestDoctorNamesWhatIsWrongInTheHouse(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		spoil func(*testing.T, *clinic)
		level string
		texts []string
	}{
		"stopped server": {func(_ *testing.T, c *clinic) { c.prod.Stop() }, levelProblem, []string{"production does not answer", "of production gives no metastore"}},
		"a server that hangs": {func(t *testing.T, c *clinic) {
			c.inter.Pause()
			t.Cleanup(c.inter.Resume)
		}, levelProblem, []string{"intermediary does not answer", "of intermediary gives no metastore"}},
		"stopped NATS": {func(_ *testing.T, c *clinic) { c.nats.Shutdown() }, levelProblem, []string{"NATS: connect"}},
		"a stranger's database": {func(t *testing.T, c *clinic) {
			c.inter.CreateDatabase(t, "db")
			c.inter.Write(t, "db", "", "cpu idle=1")
		}, levelProblem, []string{"did not put there"}},
		"quota": {func(t *testing.T, c *clinic) { post(t, c, "quota-bytes:2000") }, levelProblem, []string{"the account's quota leaves"}},
		"days": {func(t *testing.T, c *clinic) {
			put(t, c.store, c.today.Add(-1).String(), night.MetaObject(c.today.Add(-1)), []byte("?"), nil)
			dumpOf(t, c.store, c.today.Add(-2).String(), "mem", "false")
			fullDay(t, c.store, c.today.Add(-6).String())
		}, levelProblem, []string{c1(-1) + " is damaged", "the night of " + c1(-1)}},
		"last minutes": {func(t *testing.T, c *clinic) {
			dumpOf(t, c.store, c.today.Add(-2).String(), "mem", "false")
			fullDay(t, c.store, c.today.Add(-6).String())
		}, levelWarning, []string{"lack the day's last minutes: mem", "no backup of " + c1(-5) + " to " + c1(-3)}},
		"a failed drill": {func(t *testing.T, c *clinic) {
			drillOf(t, c.store, c1(-1), night.Drill{Database: "db", Differences: []night.Difference{{Measurement: "cpu"}}})
		}, levelProblem, []string{"the drill of " + c1(-1) + " failed: 1 difference"}},
		"stale proof": {func(t *testing.T, c *clinic) {
			for _, day := range []string{c1(-1), c1(-2)} {
				if err := c.store.Delete(t.Context(), day, day+"/drill.json"); err != nil {
					t.Fatal(err)
				}
			}
			fullDay(t, c.store, c1(-3))
			drillOf(t, c.store, c1(-3), night.Drill{Passed: true, Database: "db"})
		}, levelProblem, []string{"the newest day with a passed drill is " + c1(-3)}},
		"a retired dumper": {func(t *testing.T, c *clinic) {
			bus, _ := busAt(t, c.nats, "")
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- bus.Consume(ctx, events.Consumer{
					Durable: "dumper-old", Subjects: []string{events.RestoreCompleted},
					Handler: func(context.Context, *events.Delivery) ([]proto.Message, error) { return nil, nil },
				})
			}()
			testbed.Eventually(t, patience, "the durable", func() bool {
				states, err := bus.Consumers(t.Context())
				return err == nil && slices.ContainsFunc(states, func(s events.ConsumerState) bool { return s.Name == "dumper-old" })
			})
			stop()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			// A request for an event stays at the server for a while.
			testbed.Eventually(t, patience, "nobody at the durable", func() bool {
				states, err := bus.Consumers(t.Context())
				return err == nil && !slices.ContainsFunc(states, func(s events.ConsumerState) bool { return s.Name == "dumper-old" && s.Waiting > 0 })
			})
		}, levelWarning, []string{"nobody works for durable dumper-old"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClinic(t)
			row.spoil(t, c)
			r, _ := c.with(t, nil)
			for _, text := range row.texts {
				r.has(t, row.level, text)
			}
			if r.Level != row.level {
				t.Errorf("level %s\n%s", r.Level, r.story())
			}
		})
	}
}

// c1 is the day so many days from today.
func c1(days int) string { return night.DayOf(time.Now(), time.UTC).Add(days).String() }

// post sets metadata of the account, as an operator does.
func post(t *testing.T, c *clinic, meta string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testbed.SwiftClient(t), "post", "-m", meta)
	cmd.Env = append(cmd.Environ(), c.swift.Environ()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("swift post: %v\n%s", err, out)
	}
}

func TestDoctorsWordsFitTheTerminal(t *testing.T) {
	t.Parallel()
	var out buffer
	a := newApp(nil, &buffer{}, &buffer{})
	a.out = &screen{Writer: &out, terminal: true, colour: true, width: 60}
	long := strings.Repeat("word ", 40)
	a.printFindings(&doctorReport{Findings: []finding{
		{Area: "swift", Level: levelOK, What: long}, {Area: "nats", Level: levelProblem, What: long, Why: long, Do: long},
	}})
	plain := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(out.String(), "")
	if plain == out.String() {
		t.Error("no colours on a terminal")
	}
	for line := range strings.Lines(plain) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 60 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if n := strings.Count(plain, "word"); n != 160 {
		t.Errorf("%d words of 160:\n%s", n, plain)
	}
}

// A setting that a service reads is judged here under the same name.
func TestDoctorJudgesSettingsThatExist(t *testing.T) {
	t.Parallel()
	for name, judge := range judges() {
		if strings.HasPrefix(name, "NIGHTSHARD_") && !service.Known(name) {
			t.Errorf("no service reads %s", name)
		}
		if judge("?,\x00,?") == nil {
			t.Errorf("%s may be anything", name)
		}
	}
}

func TestDoctorSaysWhatTheUserMayNotDo(t *testing.T) {
	t.Parallel()
	n := testbed.NATS(t, testbed.NATSOptions{User: "ops", Password: "secret"})
	r := cli{env: map[string]string{"NATS_URL": n.URL, "NATS_USER": "ops", "NATS_PASSWORD": "no"}, store: house(t)}.run(t, "doctor", "--json")
	decode[doctorReport](t, r).has(t, levelProblem, "NATS_USER")
	r = cli{env: map[string]string{"NATS_URL": n.URL, "NATS_USER": "ops", "NATS_PASSWORD": "secret"}, store: house(t)}.run(t, "doctor", "--json")
	decode[doctorReport](t, r).has(t, levelOK, "may publish every event")
	// That the server's refusal is seen is a test of package events.
	var f findings
	(&doctor{}).denied(&f, &events.Inspection{Denied: []string{"backup.completed", "dump.failed"}})
	doctorReport{Findings: f}.has(t, levelWarning, "may not publish on backup.completed, dump.failed")
}
