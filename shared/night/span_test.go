package night_test

import (
	"testing"

	"nightshard/shared/night"
)

func TestSpanContainsItsDays(t *testing.T) {
	t.Parallel()
	for text, c := range map[string]struct{ in, out []string }{
		"2016-06-01":             {[]string{"2016-06-01"}, []string{"2016-05-31", "2016-06-02"}},
		"2016-06":                {[]string{"2016-06-01", "2016-06-30"}, []string{"2016-05-31", "2016-07-01"}},
		"2016-02":                {[]string{"2016-02-29"}, []string{"2016-03-01"}},
		"2016":                   {[]string{"2016-01-01", "2016-12-31"}, []string{"2015-12-31", "2017-01-01"}},
		"2016-06-01..2016-06-15": {[]string{"2016-06-01", "2016-06-15"}, []string{"2016-05-31", "2016-06-16"}},
		"2016-06..2016-07":       {[]string{"2016-06-01", "2016-07-31"}, []string{"2016-05-31", "2016-08-01"}},
		"2016-06-10..":           {[]string{"2016-06-10", "2026-01-01"}, []string{"2016-06-09"}},
		"..2016-06":              {[]string{"2010-01-01", "2016-06-30"}, []string{"2016-07-01"}},
		"2016-*-01":              {[]string{"2016-06-01", "2016-07-01"}, []string{"2016-06-02", "2017-06-01"}},
		"2016-06-0[1-3]":         {[]string{"2016-06-03"}, []string{"2016-06-04"}},
	} {
		span, err := night.ParseSpan(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for _, d := range c.in {
			if !span.Contains(day(t, d)) {
				t.Errorf("%s does not contain %s", text, d)
			}
		}
		for _, d := range c.out {
			if span.Contains(day(t, d)) {
				t.Errorf("%s contains %s", text, d)
			}
		}
		if span.String() != text {
			t.Errorf("%s calls itself %s", text, span)
		}
	}
}

func TestSpanThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "..", "june", "2016-6", "2016-06-31", "2016-06-02..2016-06-01", "2016-06-01...", "[", "2016-*..2016-07", "16"} {
		if span, err := night.ParseSpan(text); err == nil {
			t.Errorf("%q is taken as %+v", text, span)
		}
	}
}

func TestBoundsAreThoseOfAClosedSpan(t *testing.T) {
	t.Parallel()
	span, err := night.ParseSpan("2016-02")
	if err != nil {
		t.Fatal(err)
	}
	first, last, ok := span.Bounds()
	if !ok || first.String() != "2016-02-01" || last.String() != "2016-02-29" {
		t.Errorf("from %s to %s, %v", first, last, ok)
	}
	for _, text := range []string{"2016-02..", "..2016", "2016-0*"} {
		span, err := night.ParseSpan(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, ok := span.Bounds(); ok {
			t.Errorf("%s has bounds", text)
		}
	}
}
