package night_test

import (
	"testing"
	"time"

	"nightshard/shared/night"
)

func TestDayIsReadOnlyInItsOneForm(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "2016-6-1", "2016-06-31", "2016-02-30", "16-06-01", "2016-06-01 ", "today", "2016/06/01", "2016-06-01T00:00:00Z"} {
		if d, err := night.ParseDay(text); err == nil {
			t.Errorf("ParseDay(%q) = %s, want an error", text, d)
		}
	}
	d, err := night.ParseDay("2016-02-29")
	if err != nil || d.String() != "2016-02-29" {
		t.Fatalf("ParseDay = %q, %v", d, err)
	}
	if next := d.Add(1).String(); next != "2016-03-01" {
		t.Errorf("day after %s is %s", d, next)
	}
	if !d.Before(d.Add(1)) || d.Before(d) {
		t.Error("order of days is wrong")
	}
}

func TestWindowIsTheWholeLocalDay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		zone, day string
		hours     float64
		from      string // UTC
	}{
		{"UTC", "2016-06-01", 24, "2016-06-01T00:00:00Z"},
		{"Europe/Berlin", "2016-06-01", 24, "2016-05-31T22:00:00Z"},
		{"Europe/Berlin", "2016-03-27", 23, "2016-03-26T23:00:00Z"},
		{"Europe/Berlin", "2016-10-30", 25, "2016-10-29T22:00:00Z"},
		// Clocks that change at midnight: 00:00 does not exist, or exists twice.
		{"America/Sao_Paulo", "2016-10-16", 23, "2016-10-16T03:00:00Z"},
		{"America/Sao_Paulo", "2016-02-20", 25, "2016-02-20T02:00:00Z"},
		{"America/Sao_Paulo", "2016-02-21", 24, "2016-02-21T03:00:00Z"},
		{"America/Havana", "2016-11-06", 25, "2016-11-06T04:00:00Z"},
		{"America/Havana", "2016-03-13", 23, "2016-03-13T05:00:00Z"},
		{"Asia/Beirut", "2016-03-27", 23, "2016-03-26T22:00:00Z"},
		{"Atlantic/Azores", "2016-10-30", 25, "2016-10-30T00:00:00Z"},
		{"Australia/Lord_Howe", "2016-04-03", 24.5, "2016-04-02T13:00:00Z"},
	} {
		loc, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		day, err := night.ParseDay(c.day)
		if err != nil {
			t.Fatal(err)
		}
		from, to := day.Window(loc)
		if got := from.UTC().Format(time.RFC3339); got != c.from {
			t.Errorf("%s in %s begins %s, want %s", c.day, c.zone, got, c.from)
		}
		if got := to.Sub(from).Hours(); got != c.hours {
			t.Errorf("%s in %s has %v hours, want %v", c.day, c.zone, got, c.hours)
		}
		if night.DayOf(from, loc) != day || night.DayOf(from.Add(-1), loc) == day || night.DayOf(to.Add(-1), loc) != day || night.DayOf(to, loc) == day {
			t.Errorf("%s in %s: the window is not exactly the instants of that date", c.day, c.zone)
		}
	}
}

func TestDaysOfManyYearsFollowEachOtherWithoutGapOrOverlap(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"America/Havana", "America/Sao_Paulo", "Asia/Beirut", "Atlantic/Azores", "Africa/Cairo", "Asia/Tehran", "Pacific/Apia"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		day, _ := night.ParseDay("2005-01-01")
		for range 20 * 366 {
			from, to := day.Window(loc)
			if !from.Before(to) {
				// A zone that jumps over the date line skips a whole date.
				if night.DayOf(from, loc) == day {
					t.Fatalf("%s in %s: window %s to %s", day, zone, from, to)
				}
			} else if night.DayOf(from, loc) != day && day.String() != "2011-12-30" {
				t.Fatalf("%s in %s begins at %s", day, zone, from)
			}
			day = day.Add(1)
		}
	}
}

func TestRuleNamesTheDay(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2016, 6, 1, 22, 30, 0, 0, time.UTC) // 00:30 on the 2nd in Berlin
	if got := night.Today.Day(at, berlin).String(); got != "2016-06-02" {
		t.Errorf("today = %s", got)
	}
	if got := night.Yesterday.Day(at, berlin).String(); got != "2016-06-01" {
		t.Errorf("yesterday = %s", got)
	}
	if _, err := night.ParseRule("tomorrow"); err == nil {
		t.Error("rule tomorrow was taken")
	}
}
