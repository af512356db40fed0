package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// shown are the lines of docs/cli.md whose output is shown, by command. They are
// run in this order. Some end only with an interrupt.
func shown() []struct {
	command string
	lines   []string
} {
	return []struct {
		command string
		lines   []string
	}{
		{"list", []string{"nightshard list"}},
		{"show", []string{"nightshard show 2016-06-01"}},
		{"verify", []string{"nightshard verify 2016-06-01", "nightshard verify all --level restored"}},
		{"restore-files", []string{"nightshard restore-files 2016-06-01 files/", "nightshard restore-files 2016-06-01 files/"}},
		{"dumps", []string{"nightshard dumps 2016-06 june/", "nightshard dumps 2016-05-31..2016-06-02 merged/ --measurement cpu --merge"}},
		{"request backup", []string{"nightshard request backup --day 2016-06-02 --force --reason \"disk replaced\" --follow"}},
		{"request restore", []string{"nightshard request restore newest --follow"}},
		{"request dump", []string{"nightshard request dump --measurement cpu --from 2016-05-31 --to 2016-06-01 --follow"}},
		{"status", []string{"nightshard status"}},
		{"watch", []string{"nightshard watch --since 24h --failed"}},
		{"doctor", []string{"nightshard doctor"}},
		{"prune", []string{"nightshard prune --dry-run"}},
		{"version", []string{"nightshard version"}},
	}
}

const pageHead = `# The operators' command

Each verb as it stands, with what it prints, run against a small house of real
servers. ` + "`go test ./cmd/nightshard -run CommandLine -update`" + ` writes this page; the
test without -update holds it against the command.

The settings are those of the services, from the environment. Exit codes: 0 done,
1 failed, 2 misused. Every verb takes ` + "`--json`" + `. On a terminal tables are cut to
its width, long work shows how far it is, and ` + "`NO_COLOR`" + ` takes the colours away;
in a pipe the text is plain and stays the same. Nothing here changes anything but
` + "`request`" + `, which asks the services, ` + "`prune`" + `, which removes days, and the two that
write files.

Words for the shell, days and measurements among them:

    source <(nightshard completion bash)       # also zsh and fish

A man page for each command is in [docs/man](man): ` + "`man -l docs/man/nightshard.1`" + `.

`

// section is what the page says of a command without running it.
func section(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s.\n\n", cmd.CommandPath(), strings.TrimSuffix(cmd.Short, "."))
	fmt.Fprintf(&b, "    %s\n", cmd.UseLine())
	if flags := cmd.LocalNonPersistentFlags().FlagUsages(); flags != "" {
		b.WriteString("\n")
		for line := range strings.Lines(flags) {
			if !strings.Contains(line, "help for") {
				b.WriteString(strings.TrimRight("  "+line, " \n") + "\n")
			}
		}
	}
	return b.String()
}

// plain takes out what differs from run to run and from machine to machine.
func (h *smallHouse) plain(text string) string {
	for from, to := range map[string]string{
		h.prod.URL: "http://influx-1:8086", h.prod.Snapshot: "influx-1:8088", h.inter.URL: "http://influx-2:8086",
		h.inter.Snapshot: "influx-2:8088", h.nats.URL: "nats://nats:4222", h.swift.Addr: "swift:8080",
		h.inter.DataDir: "/var/lib/influxdb/data",
	} {
		text = strings.ReplaceAll(text, from, to)
	}
	for _, r := range []struct{ pattern, to string }{
		{`AUTH_[a-z0-9]+`, "AUTH_nightshard"},
		{`20[2-9]\d-\d\d-\d\d \d\d:\d\d:\d\d`, "2016-06-03 00:05:00"},
		{`20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, "2016-06-03T00:05:00Z"},
		{`\b\d\d:\d\d:\d\d UTC`, "00:05:00 UTC"},
		{`today is \S+`, "today is 2016-06-03"},
		{`  \d+m\d\ds\b`, "     4s"}, // in a column
		{`  \d\ds\b`, "   4s"},
		{`\b(\d+h\d\dm|\d+m\d\ds|\d+s)\b`, "4s"},
		{`room for [0-9.]+ [kMGT]B`, "room for 80.0 GB"},
		{`nightshard \S+ \(go\S+, \S+\)`, "nightshard v1.0.0 (go1.26, linux/amd64)"},
		{`on \S+ since`, "on host since"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.to)
	}
	return text
}

// shape is what must stay of a line of output: its words without numbers.
func shape(line string) string {
	return strings.Join(strings.Fields(regexp.MustCompile(`[0-9][0-9.,:]*`).ReplaceAllString(line, "0")), " ")
}

// firstLine is the first line of an output that says something.
func firstLine(text string) string {
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			return strings.TrimRight(line, "\n")
		}
	}
	return ""
}

// run runs a line of the page.
func (h *smallHouse) run(line string) string {
	h.t.Helper()
	call := h.sh
	if strings.HasPrefix(line, "nightshard watch") {
		call = h.endless
	}
	out, err := call(line)
	h.idle()
	if err != nil || strings.TrimSpace(out) == "" && !strings.Contains(line, "| jq") { // a filter may leave nothing
		h.t.Errorf("%s: %v\n%s", line, err, out)
	}
	return out
}

const pageFile = "../../docs/cli.md"

// Every example of --help works, and the page shows what the commands print.
func TestCommandLineOfASmallHouse(t *testing.T) {
	t.Parallel()
	h := newSmallHouse(t)
	root := newApp(nil, &buffer{}, &buffer{}).root()
	outputs := map[string]string{}
	for _, s := range shown() {
		for i, line := range s.lines {
			outputs[fmt.Sprint(line, i)] = h.plain(h.run(line))
		}
	}
	if *update {
		writePage(t, root, outputs)
	}
	page := readPage(t)
	for _, s := range shown() {
		for i, line := range s.lines {
			if got, want := shape(firstLine(outputs[fmt.Sprint(line, i)])), shape(firstLine(page[line])); got != want && i == 0 {
				t.Errorf("%s begins with %q, the page shows %q: -update writes it anew", line, got, want)
			}
		}
	}
	for _, cmd := range commands(root) {
		for line := range strings.Lines(cmd.Example) {
			h.run(strings.TrimSpace(line))
		}
	}
}

func writePage(t *testing.T, root *cobra.Command, outputs map[string]string) {
	t.Helper()
	var b strings.Builder
	b.WriteString(pageHead)
	for _, s := range shown() {
		cmd, _, err := root.Find(strings.Fields(s.command))
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(section(cmd) + "\n")
		for i, line := range s.lines {
			fmt.Fprintf(&b, "```console\n$ %s\n%s```\n\n", line, outputs[fmt.Sprint(line, i)])
		}
	}
	if err := os.WriteFile(filepath.FromSlash(pageFile), []byte(strings.TrimSuffix(b.String(), "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// readPage gives what the page shows below each line, the first time that it
// has it.
func readPage(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(pageFile))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, block := range regexp.MustCompile("(?s)```console\n\\$ ([^\n]*)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		if _, ok := out[block[1]]; !ok {
			out[block[1]] = block[2]
		}
	}
	return out
}

// Without a server: the page has every command, with the flags that it has.
func TestCommandLinePageIsOfTheseCommands(t *testing.T) {
	t.Parallel()
	root := newApp(nil, &buffer{}, &buffer{}).root()
	text, err := os.ReadFile(filepath.FromSlash(pageFile))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), pageHead) {
		t.Error("the page begins with other words: -update writes it anew")
	}
	page := readPage(t)
	for _, s := range shown() {
		cmd, _, err := root.Find(strings.Fields(s.command))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), section(cmd)) {
			t.Errorf("%s has other flags than the page says: -update writes it anew", cmd.CommandPath())
		}
		for _, line := range s.lines {
			if strings.TrimSpace(page[line]) == "" {
				t.Errorf("the page does not show %s", line)
			}
		}
	}
	for _, cmd := range commands(root) {
		if cmd.Runnable() && len(cmd.Commands()) == 0 && !strings.Contains(string(text), "## "+cmd.CommandPath()+"\n") {
			t.Errorf("the page lacks %s", cmd.CommandPath())
		}
	}
}
