package main

import (
	"strings"
	"testing"
	"time"
)

func TestSizesAreInDecimalUnits(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 1_234_567: "1.2 MB",
		5 << 30: "5.4 GB", 1 << 62: "4.6 EB",
	} {
		if got := bytesText(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestNumbersHaveCommas(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		if got := countText(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	if plural(1, "shard") != "1 shard" || plural(0, "shard") != "0 shards" || plural(1200, "shard") != "1,200 shards" {
		t.Error("plural is wrong")
	}
}

func TestSpansAreShort(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 400 * time.Millisecond: "0s", 4 * time.Second: "4s", 61 * time.Second: "1m01s",
		5*time.Hour + 20*time.Minute: "5h20m", 47 * time.Hour: "47h00m", 49 * time.Hour: "2d", 24 * 400 * time.Hour: "400d",
	} {
		if got := spanText(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestPipedTablesAreAlignedAndPlain(t *testing.T) {
	t.Parallel()
	var out buffer
	s := newScreen(&out, nil)
	s.table(columns{"DAY", ">SIZE", "NOTE"}, [][]string{{"2016-06-01", "1 B", s.warn("bad")}, {">~x", "1,000 B", ""}})
	want := "DAY            SIZE  NOTE\n2016-06-01      1 B  bad\n>~x         1,000 B\n"
	if out.String() != want {
		t.Errorf("got\n%q, want\n%q", out.String(), want)
	}
}

func TestTerminalTablesAreNoWiderThanTheTerminal(t *testing.T) {
	t.Parallel()
	var out buffer
	s := &screen{Writer: &out, terminal: true, width: 40}
	s.table(columns{"DAY", "WHAT"}, [][]string{{"2016-06-01", strings.Repeat("long ", 30)}})
	for line := range strings.Lines(out.String()) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 40 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
}

func TestWordsOfTheLastColumnAreBrokenNotCut(t *testing.T) {
	t.Parallel()
	var out buffer
	s := &screen{Writer: &out, terminal: true, width: 60}
	s.table(columns{"DAY", ">SIZE", "~WHY"}, [][]string{{"2016-06-01", "1,000 B", strings.Repeat("word ", 30)}, {"2016-06-02", "1 B", "short"}})
	for line := range strings.Lines(out.String()) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 60 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if n := strings.Count(out.String(), "word"); n != 30 || !strings.Contains(out.String(), "WHY") {
		t.Errorf("%d words of 30:\n%s", n, out.String())
	}
	var pipe buffer
	newScreen(&pipe, nil).table(columns{"~WHY"}, [][]string{{strings.Repeat("word ", 30)}})
	if n := strings.Count(pipe.String(), "\n"); n != 2 {
		t.Errorf("a pipe got %d lines", n)
	}
}

func TestColoursOnlyWhereTheyAreWanted(t *testing.T) {
	t.Parallel()
	if got := (&screen{colour: true}).warn("x"); got == "x" {
		t.Error("no colour on a terminal")
	}
	if got := (&screen{}).warn("x"); got != "x" {
		t.Errorf("colour in a pipe: %q", got)
	}
}

func TestSilentWorkShowsLifeOnATerminalAndWipesIt(t *testing.T) {
	t.Parallel()
	var out buffer
	s := &screen{Writer: &out, terminal: true, width: 20}
	end := s.life(words("reading very many days from Swift"))
	begin := time.Now()
	for !strings.Contains(out.String(), "reading") {
		if time.Since(begin) > patience {
			t.Fatal("no sign of life")
		}
		time.Sleep(10 * time.Millisecond)
	}
	end()
	end()
	if !strings.HasSuffix(out.String(), "\r\x1b[K") || strings.Contains(out.String(), "Swift") {
		t.Errorf("output %q", out.String())
	}
	var pipe buffer
	newScreen(&pipe, nil).life(words("x"))()
	if pipe.String() != "" {
		t.Errorf("a pipe got %q", pipe.String())
	}
}
