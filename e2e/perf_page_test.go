//go:build !race

package e2e_test

import (
	"bytes"
	_ "embed" // the page's frame
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"text/template"
	"time"
)

//go:embed testdata/performance.md.tmpl
var performanceFrame string

// report is everything that a run has measured.
type report struct {
	quick   bool
	machine machine
	plan    *plan
	sizes   []*sized
	many    []many
	idle    []idle
	missing []string
	partial bool // some parts were not asked for
}

// machine is what the figures were measured on.
type machine struct {
	Day, CPU, Kernel, Go, Influx, Swift, Curl, Load, Disk string
	Cores                                                 int
}

func thisMachine(t *testing.T) machine {
	t.Helper()
	return machine{
		Day: time.Now().UTC().Format(time.DateOnly), Cores: runtime.NumCPU(), Go: runtime.Version(),
		CPU:    firstAfter(fileText("/proc/cpuinfo"), "model name"),
		Kernel: strings.TrimSpace(fileText("/proc/sys/kernel/osrelease")),
		Load:   strings.Join(strings.Fields(fileText("/proc/loadavg"))[:1], ""),
		Influx: "1.8.10",
		Swift:  said(t, "dpkg-query", "-W", "-f", "${Version}", "swift-proxy"),
		Curl:   strings.Join(strings.Fields(said(t, "curl", "--version"))[:2], " "),
		Disk:   strings.TrimSpace(said(t, "stat", "--file-system", "--format", "%T", os.TempDir())),
	}
}

// fileText is a file of the kernel's; empty where there is none.
func fileText(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

// firstAfter is the value of the first "key : value" line.
func firstAfter(text, key string) string {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// said is what a command prints.
func said(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		return "unknown "
	}
	return string(out)
}

// grid is one table of the page.
type grid struct {
	head []string
	rows [][]string
}

// String writes it as Markdown: the first column is text, the others figures.
func (t grid) String() string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	rule := make([]string, len(t.head))
	for i := range rule {
		rule[i] = "---:"
	}
	rule[0] = "---"
	line(rule)
	for _, row := range t.rows {
		line(row)
	}
	return b.String()
}

// text is the page.
func (r *report) text(t *testing.T) []byte {
	t.Helper()
	frame, err := template.New("page").Parse(performanceFrame)
	must(t, err)
	var b bytes.Buffer
	must(t, frame.Execute(&b, map[string]any{
		"Machine": r.machine, "Quick": r.quick, "Missing": r.missing, "Rounds": r.plan.sizes[0].rounds, "Paged": r.plan.sizes[0].pages,
		"Goals": r.goalTable(), "Sizes": r.sizeTables(), "OldSteps": r.oldTable(), "Changed": r.changedTable(),
		"Query": r.queryTable(), "Shared": r.sharedTable(), "Parallel": r.parallelTable(), "Points": r.growthTable(), "Many": r.manyTable(), "Idle": r.idleTable(),
	}))
	return b.Bytes()
}

func (r *report) goalTable() grid {
	t := grid{head: []string{"what", "target", "measured", "least to greatest", "reached"}}
	for _, g := range r.goals() {
		word, verdict := "at most ", "no"
		if g.least {
			word = "at least "
		}
		if g.reached() {
			verdict = "yes"
		}
		row := []string{g.what, word + figure(g.limit) + g.unit, "not measured", "", ""}
		if g.got.n > 0 {
			row = []string{g.what, row[1], figure(g.got.mid) + g.unit, figure(g.got.low) + " to " + figure(g.got.high), verdict}
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// sizeTable is the comparison of both ways on one database.
type sizeTable struct {
	Name, About string
	Table       grid
}

func (r *report) sizeTables() []sizeTable {
	var out []sizeTable
	for _, s := range r.sizes {
		if !s.ours && len(s.rounds) > 0 {
			out = append(out, sizeTable{
				Name: s.name, Table: s.table(),
				About: fmt.Sprintf("%s rows in %d shards, %s in Swift; a dump of %s records, %s. %d rounds.",
					grouped(int64(s.dataset.all())), s.dataset.shards(), megabytes(s.bytes), grouped(s.records), megabytes(s.dumped), len(s.rounds)),
			})
		}
	}
	return out
}

// compared is a line of a comparison.
type compared struct {
	what         string
	ours, theirs []string
	bytes        int64
	service      string
}

func (s *sized) table() grid {
	t := grid{head: []string{"step", "ours", "the old way", "ratio", "least to greatest", "bytes", "peak memory"}}
	for _, c := range []compared{
		{"whole night, the old dump in pages", []string{newNight}, oldWhole(oldPages), s.bytes + s.dumped, ""},
		{"whole night, the old dump as one query", []string{newNight}, oldWhole(oldQuery), s.bytes + s.dumped, ""},
		{"backup, verified", []string{newBackup}, oldBackups(), s.bytes, "backup"},
		{"backup, verified, without the fingerprint's queries", []string{newUncounted}, oldBackups(), s.bytes, "backup"},
		{"restore and drill", []string{newRestore, newDrill}, oldRestores(), s.bytes, "restore"},
		{"restore until it answers, without the drill's queries", []string{newUndrilled}, oldRestores(), s.bytes, "restore"},
		{"dump, the old one in pages", []string{newDump}, oldPaged(), s.dumped, "dumper"},
		{"dump, the old one as one query", []string{newDump}, oldDumps(), s.dumped, "dumper"},
	} {
		ours, theirs := s.rounds.seconds(c.ours...), s.rounds.seconds(c.theirs...)
		if ours.n == 0 || theirs.n == 0 {
			continue
		}
		ratio := s.rounds.ratio(c.ours, c.theirs)
		t.rows = append(t.rows, []string{
			c.what, seconds(ours.mid), seconds(theirs.mid), figure(ratio.mid), figure(ratio.low) + " to " + figure(ratio.high),
			megabytes(c.bytes), s.peakOf(c.service),
		})
	}
	queries := func(what string, with, without spread) {
		if without.n > 0 {
			t.rows = append(t.rows, []string{what, seconds(max(0, with.mid-without.mid)), "none", "", "", "", ""})
		}
	}
	queries("the fingerprint's queries", s.rounds.seconds(newBackup), s.rounds.seconds(newUncounted))
	queries("the drill's queries, most of them beside the loading", s.rounds.seconds(newRestore, newDrill), s.rounds.seconds(newUndrilled))
	return t
}

func (s *sized) peakOf(service string) string {
	for _, p := range s.peaks {
		if p.service == service {
			return fmt.Sprintf("%.0f MiB", mib(p.bytes))
		}
	}
	return ""
}

// oldTable shows each step of the old way.
func (r *report) oldTable() grid {
	t := grid{head: []string{"step"}}
	for _, step := range append(oldWhole(oldQuery), oldPages) {
		row := []string{step}
		for _, s := range r.sizes {
			if sp := s.rounds.seconds(step); !s.ours {
				row = append(row, seconds(sp.mid))
				if sp.n == 0 {
					row[len(row)-1] = "not run"
				}
			}
		}
		t.rows = append(t.rows, row)
	}
	for _, s := range r.sizes {
		if !s.ours {
			t.head = append(t.head, s.name)
		}
	}
	return t
}

func (r *report) changedTable() grid {
	t := grid{head: []string{"step", "ours", "against", "ratio", "least to greatest"}}
	line := func(what string, rows rounds, ours string, theirs []string, name string) {
		a, b, ratio := rows.seconds(ours), rows.seconds(theirs...), rows.ratio([]string{ours}, theirs)
		if ratio.n > 0 {
			t.rows = append(t.rows, []string{what, seconds(a.mid), seconds(b.mid) + " " + name, figure(ratio.mid), figure(ratio.low) + " to " + figure(ratio.high)})
		}
	}
	line("backup, one changed shard in 16", r.plan.carry.rows, newCarried, oldBackups(), "(the old way's whole backup)")
	if copies := r.plan.carry.rows; copies.ratio([]string{plainCopy}, oldBackups()).n > 0 {
		a, ratio := copies.seconds(plainCopy), copies.ratio([]string{plainCopy}, oldBackups())
		t.rows = append(t.rows, []string{
			"Swift's own part of it: curl asks for the 15 copies, 8 at once", seconds(a.mid),
			seconds(copies.seconds(oldBackups()...).mid) + " (the old way's whole backup)", figure(ratio.mid), figure(ratio.low) + " to " + figure(ratio.high),
		})
	}
	line("restore, one changed shard in 121", r.plan.incr.rows, newIncremental, []string{newFull}, "(our full restore)")
	line("the same, with its drill of all shards", r.plan.incr.rows, provedIncr, []string{provedFull}, "(our full restore and drill)")
	return t
}

func (r *report) queryTable() grid {
	t := grid{head: []string{"way", "time", "ratio to curl", "least to greatest"}}
	line := func(what string, rows rounds, step, curl string) {
		ratio := rows.ratio([]string{step}, []string{curl})
		if ratio.n > 0 {
			t.rows = append(t.rows, []string{what, seconds(rows.seconds(step).mid), figure(ratio.mid), figure(ratio.low) + " to " + figure(ratio.high)})
		}
	}
	for _, step := range []string{plainCurl, plainSlices, newQuerySide} {
		line(step, r.plan.dump.rows, step, plainCurl)
	}
	line("our whole dump: counted, queried, converted, uploaded, looked at in Swift", r.sizes[0].rounds, newDump, oldQuery)
	return t
}

func (r *report) sharedTable() grid {
	t := grid{head: []string{"dumps at a time", "all four", "the quickest", "the slowest", "slowest to quickest"}}
	for _, n := range []int{1, 2, 4} {
		var walls, short, long, fair []float64
		for _, s := range r.plan.dump.shared {
			if s.parallel == n {
				walls, short, long = append(walls, s.wall), append(short, s.shortest), append(long, s.longest)
				fair = append(fair, s.longest/s.shortest)
			}
		}
		if len(walls) > 0 {
			t.rows = append(t.rows, []string{
				fmt.Sprint(n), seconds(spreadOf(walls).mid), seconds(spreadOf(short).mid), seconds(spreadOf(long).mid), figure(spreadOf(fair).mid),
			})
		}
	}
	return t
}

// growthTable shows what each size costs, and each part of it.
func (r *report) growthTable() grid {
	t := grid{head: []string{
		"database", "rows", "shards", "backup", "restore", "drill", "dump", "microseconds a row", "milliseconds a shard", "peak of backup", "of restore", "of dumper",
	}}
	for _, s := range r.sizes {
		b, re, dr, du := s.rounds.seconds(newBackup).mid, s.rounds.seconds(newRestore).mid, s.rounds.seconds(newDrill).mid, s.rounds.seconds(newDump).mid
		if len(s.rounds) == 0 {
			continue
		}
		work := b + re + dr
		t.rows = append(t.rows, []string{
			s.name, grouped(int64(s.dataset.all())), fmt.Sprint(s.dataset.shards()), seconds(b), seconds(re), seconds(dr), seconds(du),
			figure(1e6 * work / float64(s.dataset.all())), figure(1e3 * work / float64(s.dataset.shards())),
			s.peakOf("backup"), s.peakOf("restore"), s.peakOf("dumper"),
		})
	}
	return t
}

func (r *report) manyTable() grid {
	t := grid{head: []string{"measurements", "all dumps", "milliseconds each", "peak memory", "waiting: memory", "waiting: share of a core"}}
	for _, m := range r.many {
		t.rows = append(t.rows, []string{
			grouped(int64(m.measurements)), seconds(m.seconds), figure(1e3 * m.seconds / float64(m.measurements)),
			fmt.Sprintf("%.0f MiB", mib(m.peak)), fmt.Sprintf("%.0f MiB", mib(m.idle.resident)), figure(100*m.idle.core) + " %",
		})
	}
	return t
}

func (r *report) idleTable() grid {
	t := grid{head: []string{"service", "memory", "share of a core"}}
	for _, i := range r.idle {
		t.rows = append(t.rows, []string{i.service, fmt.Sprintf("%.1f MiB", mib(i.resident)), figure(100*i.core) + " %"})
	}
	return t
}

// figure writes a number with as many digits as it is worth.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func seconds(v float64) string { return figure(v) + " s" }

func megabytes(n int64) string { return figure(float64(n)/1e6) + " MB" }

// grouped writes a whole number with commas.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
