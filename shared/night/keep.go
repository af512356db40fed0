package night

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// minProved is how many of the newest days with a passed drill stay whatever
// the rules say: tonight's backup copies from the newest, and should that turn
// out to be bad there is one more.
const minProved = 2

// Keep says which days of the past stay: the newest day of each of the last so
// many days, weeks, months and years, as restic and borg count them. A period
// without a good day is not counted, so a gap costs no day. The zero value
// keeps all.
type Keep struct {
	Days, Weeks, Months, Years int
}

// ParseKeep reads rules such as "14d 8w 12m 3y": parts in any order, each unit
// once. The empty text keeps all.
func ParseKeep(text string) (Keep, error) {
	var k Keep
	bad := func(part, reason string) error {
		return fmt.Errorf("parse retention %q: %q %s; want parts such as 14d 8w 12m 3y (days, weeks, months, years), or nothing to keep all", text, part, reason)
	}
	for part := range strings.FieldsSeq(text) {
		digits, unit := part[:len(part)-1], part[len(part)-1]
		n := k.of(unit)
		if n == nil {
			return Keep{}, bad(part, "does not end in d, w, m or y")
		}
		count, err := strconv.ParseUint(digits, 10, 16)
		switch {
		case err != nil:
			return Keep{}, bad(part, "has no whole number up to 65535 before its unit")
		case count == 0:
			return Keep{}, bad(part, "keeps nothing: leave it out")
		case *n > 0:
			return Keep{}, bad(part, "names its unit a second time")
		}
		*n = int(count)
	}
	return k, nil
}

// of is the number that a unit's letter stands for, nil for any other letter.
func (k *Keep) of(unit byte) *int {
	switch unit {
	case 'd':
		return &k.Days
	case 'w':
		return &k.Weeks
	case 'm':
		return &k.Months
	case 'y':
		return &k.Years
	}
	return nil
}

// All says that there is no rule: every day stays.
func (k Keep) All() bool { return k == Keep{} }

// String writes the rules as ParseKeep reads them, longest period last.
func (k Keep) String() string {
	var parts []string
	for _, r := range k.rules() {
		parts = append(parts, r.name)
	}
	return strings.Join(parts, " ")
}

// rule is one part of Keep.
type rule struct {
	name   string           // as it was written: 14d
	count  int              // periods
	period func(Day) string // the period that a day is in
}

func (k Keep) rules() []rule {
	var out []rule
	for _, r := range []rule{
		{name: "d", count: k.Days, period: Day.String},
		{name: "w", count: k.Weeks, period: Day.week},
		{name: "m", count: k.Months, period: func(d Day) string { return d.text[:7] }},
		{name: "y", count: k.Years, period: func(d Day) string { return d.text[:4] }},
	} {
		if r.count > 0 {
			r.name = strconv.Itoa(r.count) + r.name
			out = append(out, r)
		}
	}
	return out
}

// week is the day's ISO week: 2016-W22, Monday to Sunday.
func (d Day) week() string {
	y, w := d.noon().ISOWeek()
	return fmt.Sprintf("%04d-W%02d", y, w)
}

// StoredDay is a day as the rules of retention see it.
type StoredDay struct {
	Day Day
	// Proved says that its backup is finished and that a restore of it passed
	// its drill.
	Proved bool
	// Vouched says that the day counts like a proved one although nothing
	// proves it: an old script's, which the operator has named.
	Vouched bool
	// Failed says that the last restore of its backup failed.
	Failed bool
	// Hold says why the day must not be removed, whatever the rules say; empty
	// when nothing holds it.
	Hold string
	// Removing says that its removal was begun: what is left is no backup.
	Removing bool
}

// good says that the day may stand for its period.
func (s StoredDay) good() bool { return (s.Proved || s.Vouched) && !s.Removing }

// Fate is what the rules say of a day.
type Fate struct {
	Day    Day
	Remove bool
	// Why are the reasons to keep it, all of them, or the one to remove it.
	Why []string
}

// Judge says of each day whether it stays, and why. The answer has the order of
// days. What is not certain stays: a day goes only if its own period has a
// newer good day, or lies before all periods that the rules name, and at least
// two newer days have passed their drill.
func (k Keep) Judge(days []StoredDay) []Fate {
	sorted := slices.Clone(days)
	slices.SortFunc(sorted, func(a, b StoredDay) int { return strings.Compare(b.Day.text, a.Day.text) })
	why := map[Day][]string{}
	for _, r := range k.rules() {
		r.pick(sorted, why)
	}
	pinned := pin(sorted, why)
	out := make([]Fate, 0, len(days))
	for _, s := range days {
		out = append(out, k.fate(s, why[s.Day], pinned))
	}
	return out
}

func (k Keep) fate(s StoredDay, why []string, pinned string) Fate {
	switch {
	case s.Hold != "":
		why = append(why, s.Hold)
	case s.Removing:
		return Fate{Day: s.Day, Remove: true, Why: []string{"its removal was begun"}}
	case k.All():
		why = []string{"no rule is set"}
	case pinned != "":
		why = append(why, pinned)
	}
	if len(why) == 0 {
		return Fate{Day: s.Day, Remove: true, Why: []string{"no rule keeps it"}}
	}
	return Fate{Day: s.Day, Why: why}
}

// pick keeps one day of each period: the newest good one, or where there is
// none the newest. Only periods with a good day count, so that nights that went
// wrong push no good day out.
func (r rule) pick(newestFirst []StoredDay, why map[Day][]string) {
	counted := 0
	for i := 0; i < len(newestFirst) && counted < r.count; {
		period := r.period(newestFirst[i].Day)
		end := i
		for end < len(newestFirst) && r.period(newestFirst[end].Day) == period {
			end++
		}
		chosen := newestFirst[i:end]
		if at := slices.IndexFunc(chosen, StoredDay.good); at >= 0 {
			chosen = chosen[at:]
			counted++
		}
		day := chosen[0].Day
		why[day] = append(why[day], r.reason(period))
		i = end
	}
}

func (r rule) reason(period string) string {
	if len(period) == len(layout) {
		return r.name
	}
	return r.name + ": newest of " + period
}

// pin keeps the newest proved days and all that are newer. It returns why every
// day stays, empty if it does not.
func pin(newestFirst []StoredDay, why map[Day][]string) string {
	proved, judged := 0, false
	for _, s := range newestFirst {
		if s.Removing {
			continue
		}
		if s.Failed && !judged {
			return fmt.Sprintf("the newest drill failed, that of %s: nothing is removed until one passes", s.Day)
		}
		judged = judged || s.Proved
		switch {
		case proved >= minProved:
			return ""
		case s.Proved:
			proved++
			why[s.Day] = append(why[s.Day], "one of the newest two with a passed drill")
		default:
			why[s.Day] = append(why[s.Day], "newer than the newest two with a passed drill")
		}
	}
	if proved < minProved {
		return "fewer than two days have a passed drill: nothing is removed until then"
	}
	return ""
}
