package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// bytesText gives a size in decimal units, as disks and Swift count: 1.2 MB.
func bytesText(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), 0
	for value >= 999.95 && unit < len(byteUnits)-1 {
		value /= 1000
		unit++
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + byteUnits[unit:unit+1] + "B"
}

// byteUnits are the prefixes of a byte, each a thousand of the one before. The
// first is not used.
const byteUnits = " kMGTPE"

// countText writes a number with commas: 1,234,567.
func countText[N int | int32 | int64 | uint64](n N) string {
	digits := fmt.Sprint(n)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// plural is "1 shard", "2 shards".
func plural[N int | int32 | int64 | uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return countText(n) + " " + noun + "s"
}

// spanText gives a duration in its largest unit that is not zero, or two for
// what is shorter than a day: 3d, 5h20m, 12m, 4s.
func spanText(d time.Duration) string {
	if d = d.Round(time.Second); d < 0 {
		d = 0
	}
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", int(d.Hours())/24)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}

// ageText is how long ago at was, "-" for the zero time.
func ageText(now, at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return spanText(now.Sub(at))
}

// orDash fills an empty cell.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// oneLine makes a text fit into a table's cell or a line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// shellWord is a word that a shell reads as it is.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r == '/' || r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// shellLine is a command for a shell.
func shellLine(args []string) string {
	words := make([]string, 0, len(args))
	for _, a := range args {
		words = append(words, shellWord(a))
	}
	return strings.Join(words, " ")
}
