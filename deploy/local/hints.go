package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// hints prints what to try next. Each line works as it is printed, in a shell of
// its own once the first block is pasted there.
func (h *house) hints(n *outcome) {
	var b strings.Builder
	b.WriteString("\nEverything stays up until Ctrl-C. In another shell:\n\n")
	settings := map[string]string{"NATS_URL": h.natsURL, "NIGHTSHARD_DATABASE": h.set.database}
	maps.Copy(settings, h.swift)
	if prefix := h.set.prefix(); prefix != "" {
		settings["NIGHTSHARD_SUBJECT_PREFIX"] = prefix
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "  export %s=%s\n", name, shell(settings[name]))
	}
	fmt.Fprintf(&b, "  export PATH=%s:\"$PATH\"\n", shell(h.bins.path))
	day := ""
	if n.backup != nil {
		day = n.backup.GetDay()
	}
	prefix := ""
	if p := h.set.prefix(); p != "" {
		prefix = p + "."
	}
	fmt.Fprintf(&b, `
  nightshard list                                 # the days in Swift
  nightshard show %[1]s                      # one day
  nightshard status                               # who works on what
  nightshard request backup --follow              # one more night
  nats pub -J %[2]sbackup.requested '{}'               # the same with the nats CLI
  nats sub '%[2]s*.completed'                          # each step's end, as it comes
  swift list %[1]s                           # the objects of the day
  swift download %[1]s -p %[1]s/influxdb/    # the dumps
  curl -sG %[3]s/query --data-urlencode db=%[4]s --data-urlencode 'q=SHOW MEASUREMENTS'

`, day, prefix, h.intermediary.URL, shell(h.set.database))
	h.show.text(b.String())
}

// shell quotes a word for a POSIX shell where it needs to be.
func shell(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/:@+,=", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
