package main

import (
	"encoding/json"
	"strings"
)

// measurementsOf reads NIGHTSHARD_MEASUREMENTS as the dumper does: a JSON array,
// or names between commas, with \, for a comma in a name. What cannot be read is
// none; the dumper says why.
func measurementsOf(text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	var names []string
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		if json.Unmarshal([]byte(text), &names) != nil {
			return nil
		}
		return names
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text) && (text[i+1] == ',' || text[i+1] == '\\'):
			i++
			b.WriteByte(text[i])
		case c == ',':
			names = append(names, strings.TrimSpace(b.String()))
			b.Reset()
		default:
			b.WriteByte(c)
		}
	}
	return append(names, strings.TrimSpace(b.String()))
}
