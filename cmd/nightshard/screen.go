package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/vbauerster/mpb/v8/cwriter"
)

const (
	// lifeAfter is how long a command may be silent on a terminal.
	lifeAfter = 400 * time.Millisecond
	lifeEvery = 120 * time.Millisecond
	// defaultWidth is that of a terminal that does not tell.
	defaultWidth = 80
)

// screen is one of the process's outputs. Terminals get colours, a limited
// width and signs of life; a pipe or a file gets plain text that stays the
// same.
type screen struct {
	io.Writer
	terminal bool
	colour   bool
	width    int // columns, 0: unlimited
}

func newScreen(w io.Writer, env map[string]string) *screen {
	s := &screen{Writer: w}
	file, ok := w.(*os.File)
	if !ok || env["TERM"] == "dumb" || !cwriter.IsTerminal(int(file.Fd())) {
		return s
	}
	s.terminal, s.colour, s.width = true, env["NO_COLOR"] == "", defaultWidth
	if width, _, err := cwriter.GetSize(int(file.Fd())); err == nil && width > 0 {
		s.width = width
	}
	return s
}

// printf drops the error of a closed pipe: nobody is left to be told.
func (s *screen) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(s, format, args...)
}

// json prints v as indented JSON.
func (s *screen) json(v any) error {
	enc := json.NewEncoder(s)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

// columns is a table. A title that begins with > is of numbers, to the right;
// one that begins with ~ is of words that a terminal breaks over several lines,
// in the last column.
type columns []string

// table prints rows below their titles, two spaces apart. A terminal cuts what
// is too wide for it.
func (s *screen) table(titles columns, rows [][]string) {
	t := table.NewWriter()
	t.SetOutputMirror(nil)
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = text.FormatDefault
	style.Size.WidthMax = s.width
	if s.colour {
		style.Color.Header = text.Colors{text.Bold}
	}
	t.SetStyle(style)
	t.AppendHeader(titles.plain().row())
	t.SetColumnConfigs(append(titles.configs(), s.wrapped(titles, rows)...))
	for _, row := range rows {
		t.AppendRow(columns(row).row())
	}
	for line := range strings.Lines(t.Render() + "\n") {
		s.printf("%s\n", strings.TrimRight(line, " \n"))
	}
}

// leastWords is the least width of a column of words: a narrower terminal cuts.
const leastWords = 20

// wrapped gives the last column the room that the others leave, if its title says
// that it may be broken.
func (s *screen) wrapped(titles columns, rows [][]string) []table.ColumnConfig {
	last := len(titles) - 1
	if s.width == 0 || !strings.HasPrefix(titles[last], "~") {
		return nil
	}
	room := s.width
	for i := range last {
		widest := text.StringWidthWithoutEscSequences(titles.plain()[i])
		for _, row := range rows {
			widest = max(widest, text.StringWidthWithoutEscSequences(row[i]))
		}
		room -= widest + 2
	}
	return []table.ColumnConfig{{Number: last + 1, WidthMax: max(room-2, leastWords), WidthMaxEnforcer: text.WrapSoft}}
}

// plain are the titles without their marks.
func (c columns) plain() columns {
	out := make(columns, len(c))
	for i, title := range c {
		out[i] = strings.TrimLeft(title, ">~")
	}
	return out
}

func (c columns) row() table.Row {
	row := make(table.Row, len(c))
	for i, cell := range c {
		row[i] = cell
	}
	return row
}

func (c columns) configs() []table.ColumnConfig {
	var configs []table.ColumnConfig
	for i, title := range c {
		if strings.HasPrefix(title, ">") {
			configs = append(configs, table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
		}
	}
	return configs
}

// warn and good colour a word on a terminal that has colours.
func (s *screen) warn(word string) string { return s.paint(word, text.FgRed) }
func (s *screen) good(word string) string { return s.paint(word, text.FgGreen) }

func (s *screen) paint(word string, colour text.Color) string {
	if !s.colour || word == "" {
		return word
	}
	return colour.EscapeSeq() + word + text.Reset.EscapeSeq()
}

// life shows on a terminal that a command is at work once it is silent for a
// moment. what may be called at any time for the words. The returned function
// ends it and wipes the line.
func (s *screen) life(what func() string) (end func()) {
	if !s.terminal {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		s.spin(what, quit)
	}()
	return sync.OnceFunc(func() {
		close(quit)
		<-done
	})
}

func (s *screen) spin(what func() string, quit <-chan struct{}) {
	wait := time.NewTimer(lifeAfter)
	defer wait.Stop()
	for i := 0; ; i++ {
		select {
		case <-quit:
			if i > 0 {
				s.printf("\r\x1b[K")
			}
			return
		case <-wait.C:
			words := []rune(fmt.Sprintf("%c %s", `|/-\`[i%4], what()))
			s.printf("\r\x1b[K%s", string(words[:min(len(words), max(s.width-1, 1))]))
			wait.Reset(lifeEvery)
		}
	}
}

// words makes a fixed text for life.
func words(s string) func() string { return func() string { return s } }

// bold is for a heading.
func (s *screen) bold(word string) string { return s.paint(word, text.Bold) }

// paragraph prints words after a lead of so many columns. A terminal breaks them
// at its width; the lines that follow are indented by the lead.
func (s *screen) paragraph(lead string, columns int, words string) {
	width := s.width - columns
	if s.width == 0 || width < 20 {
		s.printf("%s%s\n", lead, words)
		return
	}
	for line := range strings.Lines(text.WrapSoft(words, width)) {
		s.printf("%s%s\n", lead, strings.TrimRight(line, " \n"))
		lead = strings.Repeat(" ", columns)
	}
}
