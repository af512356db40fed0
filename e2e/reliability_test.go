package e2e_test

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// writePage makes the run write the page that says which faults were tried:
//
//	go test ./e2e -faults each -reliability
var writePage = flag.Bool("reliability", false, "write docs/reliability.md from the faults of this run")

// page is where the table stands.
const page = "../docs/reliability.md"

// outcome is what a fault came to, after every check of its test has held.
type outcome string

const (
	// endedRight: the service tried again, and the night ended right.
	endedRight outcome = "the night ended right"
	// saidFailed: the step said *.failed, nothing wrong was left behind, and the
	// next run ended right.
	saidFailed outcome = "said failed; the next run ended right"
	// refused: the work was refused before anything was touched.
	refused outcome = "refused, nothing was touched"
	// named: what was wrong was found and named.
	named outcome = "found and named"
)

// trial is one row of the table.
type trial struct {
	part, fault, where string
	outcome            outcome
}

// trials counts the faults of this run.
var trials = struct {
	sync.Mutex
	times map[trial]int
}{times: map[trial]int{}}

// tried notes, at the end of the test, that one fault was injected: what went
// wrong, where, and what came of it. A test that fails is noted as wrong. part
// is "Swift", "InfluxDB", "Chain", "Cluster", "Stored day" or "Guards".
func tried(t *testing.T, part, fault, where string, o outcome) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			o = "WRONG: see " + outcome(t.Name())
		}
		trials.Lock()
		defer trials.Unlock()
		trials.times[trial{part, fault, where, o}]++
	})
}

// sideBySide is how many houses work at the same time where nobody asked for
// another number: a night waits more than it works.
const sideBySide = 6

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", strconv.Itoa(sideBySide)); err != nil {
		panic(err)
	}
	flag.Parse()
	code := m.Run()
	if err := reliability(code); err != nil {
		fmt.Fprintln(os.Stderr, "docs/reliability.md:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// reliability writes the page, or after a run of each fault holds it against
// what was tried. A run of some may try by chance what the page lacks.
func reliability(code int) error {
	trials.Lock()
	defer trials.Unlock()
	text, err := os.ReadFile(page)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if *writePage {
		return os.WriteFile(page, table(merged(text)), 0o600)
	}
	if code != 0 || *faults == "some" || flag.Lookup("test.run").Value.String() != "" || flag.Lookup("test.skip").Value.String() != "" {
		return nil // not all of it was tried
	}
	for r := range trials.times {
		if !strings.Contains(string(text), "\n| "+r.fault+" |") {
			return fmt.Errorf("the fault %q is not on it: write it anew (its first lines say how)", r.fault)
		}
	}
	return nil
}

// merged are the trials of this run, and those of the page that this run did
// not repeat.
func merged(text []byte) map[trial]int {
	out := maps.Clone(trials.times)
	now := map[trial]bool{}
	for r := range out {
		now[r.about()] = true
	}
	part := ""
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "## "); ok {
			part = strings.TrimSpace(rest)
		}
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 4 {
			continue
		}
		times, err := strconv.Atoi(strings.TrimSuffix(cells[3], " |"))
		r := trial{part, strings.TrimPrefix(cells[0], "| "), cells[1], outcome(cells[2])}
		if err == nil && !now[r.about()] {
			out[r] = times
		}
	}
	return out
}

// about is the row without what came of it.
func (r trial) about() trial { return trial{part: r.part, fault: r.fault, where: r.where} }

// table is the page.
func table(times map[trial]int) []byte {
	rows := slices.SortedFunc(maps.Keys(times), func(a, b trial) int {
		return cmp.Or(cmp.Compare(a.part, b.part), cmp.Compare(a.fault, b.fault), cmp.Compare(a.where, b.where), cmp.Compare(a.outcome, b.outcome))
	})
	var sum int
	for _, n := range times {
		sum += n
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Reliability

Every fault that the tests inject into whole nights on real servers, and what
came of it. The test run writes this page itself:

    go test ./e2e -timeout 90m -faults each -reliability

With a filter (-run) it writes the rows anew that were tried, and keeps the
others. %d faults were injected. After each one the same is checked: an event
that says "completed" is true (every shard of production is in Swift with its
size and MD5, the intermediary's counts equal production's, a dump equals an
independent query record by record), nothing is doubled or left behind, and what
ended with "failed" ends right when it is run again. A plain `+"`go test ./...`"+`
injects a sample of them, chosen anew each time; its log names the seed.
`, sum)
	part := ""
	for _, r := range rows {
		if r.part != part {
			part = r.part
			fmt.Fprintf(&b, "\n## %s\n\n| fault | where | outcome | times |\n| --- | --- | --- | ---: |\n", part)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d |\n", r.fault, r.where, r.outcome, times[r])
	}
	if strings.Contains(b.String(), "WRONG") {
		fmt.Fprintln(os.Stderr, "a fault was not mastered: see the page")
	}
	return b.Bytes()
}
