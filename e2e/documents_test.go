package e2e_test

import (
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/testbed"
)

// printed shows what the documents' commands print, for whoever writes them.
var printed = flag.Bool("printed", false, "log what each command of the documents prints")

// documents are those whose commands are run. In a block of them a line that
// begins with "$ " is a command; the lines after it are what it prints, with … for
// what differs from time to time.
func documents() []string { return []string{"runbook.md", "migrate-from-cron.md"} }

// example is one command of a document.
type example struct {
	line    int
	command string
	prints  []string
}

// chapter is a part of a document whose commands are run in one house, one after
// the other. Its mark in the document is <!-- house: NAME -->, which no reader
// sees.
type chapter struct {
	house    string
	examples []example
}

var houseMark = regexp.MustCompile(`^<!-- house: ([a-z ]+) -->$`)

// dayToDay are the commands of the README's part of that name, without what only
// watches for ever.
func dayToDay(t *testing.T, readme string) chapter {
	t.Helper()
	_, part, ok := strings.Cut(readme, "\n## Day to day\n")
	part, _, end := strings.Cut(part, "\n## ")
	if !ok || !end {
		t.Fatal("the README has no part on day to day")
	}
	c := chapter{house: "a good night"}
	for line := range strings.SplitSeq(part, "\n") {
		code, ok := strings.CutPrefix(line, "    ")
		command, _, _ := strings.Cut(code, "  #")
		if strings.HasSuffix(strings.TrimSpace(command), " doctor") {
			command = strings.TrimSpace(command) + " || test $? = 1" // the days of this house are years old
		}
		if ok && !strings.HasSuffix(strings.TrimSpace(command), " watch") && !strings.HasPrefix(command, "nats sub ") {
			c.examples = append(c.examples, example{command: strings.TrimSpace(command)})
		}
	}
	return c
}

func TestTheCommandsOfTheREADMEWork(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../README.md")
	must(t, err)
	c := dayToDay(t, string(data))
	if len(c.examples) < 12 {
		t.Fatalf("%d commands", len(c.examples))
	}
	c.run(t, documentHouse(t, c.house))
}

// chapters reads a document.
func chapters(t *testing.T, text string) []chapter {
	t.Helper()
	var out []chapter
	last := func() *chapter { return &out[len(out)-1] }
	inBlock := false
	for n, line := range strings.Split(text, "\n") {
		if mark := houseMark.FindStringSubmatch(line); mark != nil {
			out, inBlock = append(out, chapter{house: mark[1]}), false
			continue
		}
		code, ok := strings.CutPrefix(line, "    ")
		command, isCommand := strings.CutPrefix(code, "$ ")
		switch {
		case !ok:
			inBlock = false
		case isCommand && len(out) == 0:
			t.Fatalf("line %d: a command before any house", n+1)
		case isCommand:
			last().examples = append(last().examples, example{line: n + 1, command: command})
			inBlock = true
		case inBlock && strings.HasSuffix(last().examples[len(last().examples)-1].command, `\`):
			e := &last().examples[len(last().examples)-1]
			e.command += "\n" + code
		case inBlock:
			e := &last().examples[len(last().examples)-1]
			e.prints = append(e.prints, code)
		}
	}
	return out
}

// missing is the first line that a command should have printed after those before
// it, and did not. Blank space counts once: columns are as wide as what is in
// them.
func (e *example) missing(out string) string {
	lines := strings.Split(out, "\n")
	for _, want := range e.prints {
		words := strings.Join(strings.Fields(want), " ")
		pattern := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(words), "…", ".*") + "$")
		for {
			if len(lines) == 0 {
				return want
			}
			line := strings.Join(strings.Fields(lines[0]), " ")
			lines = lines[1:]
			if pattern.MatchString(line) {
				break
			}
		}
	}
	return ""
}

// What the documents tell operators to type works, and prints what they say.
func TestTheCommandsOfTheDocumentsWork(t *testing.T) {
	t.Parallel()
	for _, name := range documents() {
		data, err := os.ReadFile(filepath.Join("..", "docs", name))
		must(t, err)
		all := chapters(t, string(data))
		if len(all) == 0 {
			t.Errorf("%s has no command", name)
		}
		for _, s := range all {
			t.Run(name+" "+s.house, func(t *testing.T) {
				t.Parallel()
				s.run(t, documentHouse(t, s.house))
			})
		}
	}
}

// run types the commands of a chapter into one shell each, in one folder.
func (s *chapter) run(t *testing.T, h *house) {
	t.Helper()
	dir, bin := t.TempDir(), t.TempDir()
	tools := map[string]string{
		"nightshard": testbed.Command(t, "./cmd/nightshard"), "influxd": h.prod.Binary, "swift": testbed.SwiftClient(t),
	}
	for name, path := range tools {
		must(t, os.Symlink(path, filepath.Join(bin, name)))
	}
	must(t, os.Mkdir(filepath.Join(dir, "bin"), 0o700)) // where the README builds it
	must(t, os.Symlink(tools["nightshard"], filepath.Join(dir, "bin", "nightshard")))
	if slices.ContainsFunc(s.examples, func(e example) bool { return strings.HasPrefix(e.command, "nats ") }) {
		run(t, ".", nil, "go", "build", "-modfile=../tools/go.mod", "-o", filepath.Join(bin, "nats"), "github.com/nats-io/natscli/nats")
	}
	env := maps.Clone(h.swift)
	maps.Copy(env, map[string]string{
		"PATH": bin + ":" + os.Getenv("PATH"), "NATS_URL": h.nats.URL, "NIGHTSHARD_DATABASE": database, "HOME": dir,
	})
	for _, e := range s.examples {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", e.command)
		cmd.Dir = dir
		for k, v := range env {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		out, err := cmd.CombinedOutput()
		text := string(out)
		if *printed {
			t.Logf("$ %s\n%s", e.command, text)
		}
		if line := e.missing(text); line != "" || err != nil {
			t.Errorf("line %d: $ %s: %v\nlacks %q:\n%s", e.line, e.command, err, line, text)
		}
	}
}

// documentHouse builds what a chapter begins with: three days of data, the last two
// of them backed up, restored and dumped by services that run.
func documentHouse(t *testing.T, name string) *house {
	t.Helper()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(7)
	last := dayName(6) // 2016-06-01
	backup, restore, _ := h.startAll("NIGHTSHARD_MEASUREMENTS=cpu")
	h.night(&pb.BackupRequested{Day: dayName(4)}, 1)
	h.night(&pb.BackupRequested{Day: last}, 1)
	switch name {
	case "a good night":
	case "a stopped backup":
		must(t, backup.stop(15))
	case "a damaged archive":
		object := h.manifest(last).Shards[0].Object
		h.put(last, object, []byte("not an archive"), nil)
	case "a drill that failed":
		h.change(last, func(m *night.Manifest) {
			r := m.Shards[0].Counts["cpu"]["user"]
			m.Shards[0].Counts["cpu"]["user"] = night.Range{Min: r.Min + 1, Max: r.Max + 1}
		})
		must(t, restore.stop(15))
		h.start("restore", "NIGHTSHARD_RETRY_WAIT=10ms").ready()
		seq := h.publish(events.RestoreRequested, &pb.RestoreRequested{Day: last})
		h.await("the failed drill", seq, func(e events.Event) bool { return e.Subject == events.RestoreFailed })
	case "somebody writes to the intermediary":
		h.inter.Write(t, database, "main", "cpu,host=elsewhere idle=1")
	default:
		t.Fatalf("no house is called %q", name)
	}
	return h
}
