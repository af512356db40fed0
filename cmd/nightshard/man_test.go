package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var update = flag.Bool("update", false, "write docs/man and docs/cli.md anew")

// commands lists a command and all below it, those that people call.
func commands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			all = append(all, commands(sub)...)
		}
	}
	return all
}

// manPages are the pages of all commands by the names of their files.
func manPages(t *testing.T) map[string]string {
	t.Helper()
	root := newApp(nil, &buffer{}, &buffer{}).root()
	root.DisableAutoGenTag = true
	written := time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	pages := map[string]string{}
	for _, cmd := range commands(root) {
		var page bytes.Buffer
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
		header := &doc.GenManHeader{Title: strings.ToUpper(name), Section: "1", Date: &written, Source: "Nightshard", Manual: "Nightshard"}
		if err := doc.GenMan(cmd, header, &page); err != nil {
			t.Fatal(err)
		}
		pages[name+".1"] = page.String()
	}
	return pages
}

func TestManPagesAreThoseOfTheCommands(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "docs", "man")
	pages := manPages(t)
	if *update {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, page := range pages {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	stored, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stored {
		if _, ok := pages[filepath.Base(file)]; !ok {
			t.Errorf("%s is of no command: remove it", file)
		}
	}
	for name, page := range pages {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(text) != page {
			t.Errorf("%s is not that of the command (%v): go test ./cmd/nightshard -run ManPages -update", name, err)
		}
	}
}
