package night_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nightshard/shared/night"
)

func TestRulesOfRetentionAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]night.Keep{
		"":               {},
		"  ":             {},
		"14d":            {Days: 14},
		"14d 8w 12m 3y":  {Days: 14, Weeks: 8, Months: 12, Years: 3},
		" 3y\t1d ":       {Days: 1, Years: 3},
		"65535d":         {Days: 65535},
		"007d 1w 1m 10y": {Days: 7, Weeks: 1, Months: 1, Years: 10},
	} {
		got, err := night.ParseKeep(text)
		if err != nil || got != want {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
		if again, err := night.ParseKeep(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, which is %+v, %v", text, got, again, err)
		}
	}
	if !(night.Keep{}).All() || (night.Keep{Years: 1}).All() {
		t.Error("only no rule at all keeps everything")
	}
}

func TestWrongRulesOfRetentionAreNamed(t *testing.T) {
	t.Parallel()
	for text, part := range map[string]string{
		"14": `"14"`, "d": `"d"`, "14days": `"14days"`, "0d": `"0d"`, "-1d": `"-1d"`, "1.5w": `"1.5w"`, "14d 8w 7d": `"7d"`,
		"14d,8w": `"14d,8w"`, "14 d": `"14"`, "14D": `"14D"`, "65536d": `"65536d"`, "all": `"all"`, "ä": `"ä"`, "+1d": `"+1d"`,
	} {
		_, err := night.ParseKeep(text)
		if err == nil || !strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), "14d 8w 12m 3y") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// days builds stored days. Each word is a day and letters: p proved, v vouched,
// f failed, h held, r removing.
func storedDays(t *testing.T, words string) []night.StoredDay {
	t.Helper()
	var out []night.StoredDay
	for word := range strings.FieldsSeq(words) {
		text, marks, _ := strings.Cut(word, ":")
		day, err := night.ParseDay(text)
		if err != nil {
			t.Fatal(err)
		}
		s := night.StoredDay{
			Day: day, Proved: strings.Contains(marks, "p"), Vouched: strings.Contains(marks, "v"),
			Failed: strings.Contains(marks, "f"), Removing: strings.Contains(marks, "r"),
		}
		if strings.Contains(marks, "h") {
			s.Hold = "held"
		}
		out = append(out, s)
	}
	return out
}

// removed lists the days that go.
func removed(fates []night.Fate) string {
	var out []string
	for _, f := range fates {
		if f.Remove {
			out = append(out, f.Day.String())
		}
	}
	return strings.Join(out, " ")
}

func TestWhatGoes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ keep, days, gone string }{
		"no rule, all stays":       {"", "2016-06-01:p 2016-06-02:p 2016-06-03:p 2016-06-04:p", ""},
		"the last days":            {"3d", "2016-06-01:p 2016-06-02:p 2016-06-03:p 2016-06-04:p", "2016-06-01"},
		"in any order":             {"3d", "2016-06-04:p 2016-06-01:p 2016-06-03:p 2016-06-02:p", "2016-06-01"},
		"never the newest two":     {"1d", "2016-06-01:p 2016-06-02:p 2016-06-03:p", "2016-06-01"},
		"a gap costs no day":       {"3d", "2016-05-01:p 2016-05-02:p 2016-06-03:p 2016-06-04:p", "2016-05-01"},
		"a week ends on Sunday":    {"2w", "2016-05-28:p 2016-05-29:p 2016-06-04:p 2016-06-05:p", "2016-05-28"},
		"the newest of a month":    {"2m", "2016-04-30:p 2016-05-30:p 2016-05-31:p 2016-06-01:p 2016-06-02:p", "2016-04-30 2016-05-30"},
		"the newest of a year":     {"2y", "2014-12-31:p 2015-12-30:p 2015-12-31:p 2016-01-01:p 2016-01-02:p", "2014-12-31 2015-12-30"},
		"weeks of the turn":        {"2w", "2015-12-27:p 2015-12-31:p 2016-01-02:p 2016-01-03:p", "2015-12-31"},
		"rules add up":             {"2d 2m", "2016-04-30:p 2016-05-30:p 2016-05-31:p 2016-06-01:p 2016-06-02:p", "2016-04-30 2016-05-30"},
		"one good day is too few":  {"1d", "2016-06-01 2016-06-02 2016-06-03:p", ""},
		"none is too few":          {"1d", "2016-06-01 2016-06-02 2016-06-03", ""},
		"tonight has no verdict":   {"2d", "2016-06-01:p 2016-06-02:p 2016-06-03:p 2016-06-04", "2016-06-01"},
		"a week without a verdict": {"2d", "2016-06-01:p 2016-06-02:p 2016-06-03 2016-06-04 2016-06-05", ""},
		"nights without a drill push none out": {
			"3d", "2016-06-01:p 2016-06-02:p 2016-06-03 2016-06-04:p 2016-06-05:p", "2016-06-01",
		},
		"the newest drill failed":         {"1d", "2016-06-01:p 2016-06-02:p 2016-06-03:p 2016-06-04:f", ""},
		"and has none after it":           {"1d", "2016-06-01:p 2016-06-02:p 2016-06-03:p 2016-06-04:f 2016-06-05", ""},
		"an older failure goes":           {"2d", "2016-06-02:f 2016-06-03:p 2016-06-04:p", "2016-06-02"},
		"a failure is not its week's day": {"2w 1d", "2016-05-27:p 2016-05-28:f 2016-06-04:p 2016-06-05:p", "2016-05-28"},
		"but better than none":            {"3w 1d", "2016-05-21:p 2016-05-27:f 2016-05-28:f 2016-06-04:p 2016-06-05:p", "2016-05-27"},
		"held days stay":                  {"1d", "2016-06-01:ph 2016-06-02:p 2016-06-03:p 2016-06-04:p", "2016-06-02"},
		"held and without a verdict":      {"1d", "2016-06-01:h 2016-06-02 2016-06-03:p 2016-06-04:p", "2016-06-02"},
		"begun is finished":               {"9d", "2016-06-01:r 2016-06-02:p 2016-06-03:p 2016-06-04:p", "2016-06-01"},
		"begun without a rule":            {"", "2016-06-01:r 2016-06-02:p 2016-06-03:p", "2016-06-01"},
		"begun while drills fail":         {"9d", "2016-06-01:r 2016-06-02:p 2016-06-03:f", "2016-06-01"},
		"begun and held":                  {"9d", "2016-06-01:rh 2016-06-02:p 2016-06-03:p", ""},
		"begun stands for no period":      {"3d", "2016-06-01:p 2016-06-02:p 2016-06-03:pr 2016-06-04:p", "2016-06-03"},
		"old days count when named":       {"3d", "2016-06-01:v 2016-06-02:v 2016-06-03:p 2016-06-04:p", "2016-06-01"},
		"but prove nothing":               {"1d", "2016-06-01:v 2016-06-02:v 2016-06-03:v 2016-06-04:p", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keep, err := night.ParseKeep(c.keep)
			if err != nil {
				t.Fatal(err)
			}
			fates := keep.Judge(storedDays(t, c.days))
			if got := removed(fates); got != c.gone {
				t.Errorf("%q removes %q, want %q\n%+v", c.keep, got, c.gone, fates)
			}
			for _, f := range fates {
				if len(f.Why) == 0 {
					t.Errorf("%s: no reason", f.Day)
				}
			}
		})
	}
}

func TestReasonsNameTheRuleAndThePeriod(t *testing.T) {
	t.Parallel()
	keep := night.Keep{Days: 2, Weeks: 2, Months: 2, Years: 1}
	fates := keep.Judge(storedDays(t, "2016-05-01:p 2016-05-31:p 2016-06-03:p 2016-06-04:p"))
	for i, want := range []string{
		"2w: newest of 2016-W17",
		"2m: newest of 2016-05",
		"2d|one of the newest two with a passed drill",
		"2d|2w: newest of 2016-W22|2m: newest of 2016-06|1y: newest of 2016|one of the newest two with a passed drill",
	} {
		if got := strings.Join(fates[i].Why, "|"); got != want {
			t.Errorf("%s: %q, want %q", fates[i].Day, got, want)
		}
	}
}

// Whatever the days and the rules, what must never go never goes.
func TestTheNewestProvedDaysNeverGo(t *testing.T) {
	t.Parallel()
	first := storedDays(t, "2016-01-01")[0].Day
	for seed := range 2000 {
		n := seed*7919 + 13
		next := func(below int) int { n = n*1103515245 + 12345; return (n >> 16 & 0x7fff) % below }
		var days []night.StoredDay
		for i := range 3 + next(40) {
			if next(5) == 0 {
				continue
			}
			s := night.StoredDay{Day: first.Add(i), Proved: next(3) > 0}
			s.Failed = !s.Proved && next(2) == 0
			if next(9) == 0 {
				s.Hold = "held"
			}
			days = append(days, s)
		}
		keep := night.Keep{Days: next(4), Weeks: next(4), Months: next(3), Years: next(3)}
		gone := removed(keep.Judge(days))
		proved := 0
		for _, s := range slices.Backward(days) {
			if lost := strings.Contains(gone, s.Day.String()); lost && (s.Hold != "" || proved < 2) {
				t.Fatalf("%s goes: %s of %s", s.Day, keep, fmt.Sprint(days))
			}
			if s.Proved {
				proved++
			}
		}
	}
}
