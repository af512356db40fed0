package night

import (
	"fmt"
	"path"
	"strings"
	"time"
)

// Span is a set of days: one, a month, a year, those from one to another, or
// those that fit a pattern.
type Span struct {
	text        string
	first, last Day    // the zero value: open on that side
	pattern     string // of path.Match, empty if first and last say it
}

// ParseSpan reads a span:
//
//	2016-06-01              a day
//	2016-06, 2016           a month, a year
//	2016-06-01..2016-06-15  from one day to another, both included;
//	                        either may be a month or a year, or left out
//	2016-*-01               days that fit a pattern of * ? [0-9]
func ParseSpan(text string) (Span, error) {
	bad := fmt.Errorf("parse span %q: want a day, a month (2016-06), a year, 2016-06-01..2016-06-15 or a pattern (2016-06-0*)", text)
	from, to, isRange := strings.Cut(text, "..")
	switch {
	case strings.ContainsAny(text, `*?[`):
		if _, err := path.Match(text, ""); err != nil || isRange {
			return Span{}, bad
		}
		return Span{text: text, pattern: text}, nil
	case !isRange:
		to = from
	case from == "" && to == "":
		return Span{}, bad
	}
	s := Span{text: text}
	var ok bool
	if from != "" || !isRange {
		if s.first, _, ok = period(from); !ok {
			return Span{}, bad
		}
	}
	if to != "" || !isRange {
		if _, s.last, ok = period(to); !ok {
			return Span{}, bad
		}
	}
	if !s.last.IsZero() && s.last.Before(s.first) {
		return Span{}, fmt.Errorf("parse span %q: it ends before it begins, give the earlier day first", text)
	}
	return s, nil
}

// period gives the first and the last day of a day, a month or a year.
func period(text string) (first, last Day, ok bool) {
	for _, p := range []struct {
		layout      string
		month, year int
		day         int
	}{{layout: layout, day: 1}, {layout: "2006-01", month: 1}, {layout: "2006", year: 1}} {
		t, err := time.Parse(p.layout, text)
		if err == nil && t.Format(p.layout) == text {
			end := t.AddDate(p.year, p.month, p.day)
			return DayOf(t, time.UTC), DayOf(end, time.UTC).Add(-1), true
		}
	}
	return Day{}, Day{}, false
}

// Contains says whether the day is in the span.
func (s Span) Contains(d Day) bool {
	if s.pattern != "" {
		ok, err := path.Match(s.pattern, d.String())
		return ok && err == nil
	}
	return !d.Before(s.first) && (s.last.IsZero() || !s.last.Before(d))
}

// Bounds are the first and the last day. ok is false if the span is open on a
// side, or a pattern.
func (s Span) Bounds() (first, last Day, ok bool) {
	return s.first, s.last, !s.first.IsZero() && !s.last.IsZero()
}

// String is the span as it was written.
func (s Span) String() string { return s.text }
