package night

import (
	"fmt"
	"time"
)

// layout is the only form of a day, here and in every name made from it.
const layout = "2006-01-02"

// Day is a calendar date, YYYY-MM-DD, without a time zone. It names a backup
// and its Swift container. The zero value is no day.
type Day struct {
	text string
}

// ParseDay reads a day in the form YYYY-MM-DD. The error names the text and
// what is expected.
func ParseDay(text string) (Day, error) {
	t, err := time.Parse(layout, text)
	if err != nil || t.Format(layout) != text {
		return Day{}, fmt.Errorf("parse day %q: want a calendar date such as 2016-06-01", text)
	}
	return Day{text: text}, nil
}

// DayOf is the day that the instant t falls on in loc.
func DayOf(t time.Time, loc *time.Location) Day {
	return Day{text: t.In(loc).Format(layout)}
}

// String gives the day as YYYY-MM-DD, or "" for the zero value.
func (d Day) String() string { return d.text }

// IsZero says that d is no day.
func (d Day) IsZero() bool { return d.text == "" }

// Add is the day n days later, earlier when n is negative.
func (d Day) Add(n int) Day {
	return Day{text: d.noon().AddDate(0, 0, n).Format(layout)}
}

// Before says that d comes before other. The form of a day sorts by date.
func (d Day) Before(other Day) bool { return d.text < other.text }

// Window gives the instants between which the day lies in loc: from is
// included, to is not. Days of 23 and 25 hours are whole days.
func (d Day) Window(loc *time.Location) (from, to time.Time) {
	return d.begin(loc), d.Add(1).begin(loc)
}

// noon is the day at 12:00 UTC, from which days can be counted safely.
func (d Day) noon() time.Time {
	t, err := time.Parse(layout, d.text)
	if err != nil {
		return time.Time{}
	}
	return t.Add(12 * time.Hour)
}

// begin is the first instant in loc whose local date is d. Some zones change
// their clocks at midnight: then 00:00 may not exist, or exist twice, and
// time.Date does not say which of the two it returns.
func (d Day) begin(loc *time.Location) time.Time {
	y, m, dd := d.noon().Date()
	t := time.Date(y, m, dd, 0, 0, 0, 0, loc)
	for _, probe := range []time.Time{t, t.Add(12 * time.Hour), t.Add(36 * time.Hour)} {
		change, _ := probe.ZoneBounds()
		if change.IsZero() || probe.Sub(change) > 24*time.Hour {
			continue
		}
		// Midnight by the clock that was in force before the change.
		_, offset := change.Add(-time.Second).In(loc).Zone()
		old := time.Date(y, m, dd, 0, 0, 0, 0, time.FixedZone("", offset))
		if old.Before(change) {
			return old.In(loc)
		}
		// Or the change jumps over midnight, in one zone once over a whole date.
		if !DayOf(change, loc).Before(d) && DayOf(change.Add(-1), loc).Before(d) {
			return change.In(loc)
		}
	}
	return t
}

// Rule says which day a backup carries that nobody named a day for.
type Rule string

// The two rules. Today fits a schedule shortly before midnight, Yesterday one
// after midnight, whose first dump is already complete.
const (
	Today     Rule = "today"
	Yesterday Rule = "yesterday"
)

// Day is the day by the rule for a request made at the instant t.
func (r Rule) Day(t time.Time, loc *time.Location) Day {
	day := DayOf(t, loc)
	if r == Yesterday {
		return day.Add(-1)
	}
	return day
}

// ParseRule reads a Rule.
func ParseRule(text string) (Rule, error) {
	switch r := Rule(text); r {
	case Today, Yesterday:
		return r, nil
	default:
		return "", fmt.Errorf("parse day rule %q: want %q or %q", text, Today, Yesterday)
	}
}
