package night

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ParseMeasurements reads the names of measurements as NIGHTSHARD_MEASUREMENTS holds
// them: a JSON array of strings, or names between commas. `\,`
// is a comma inside a name and `\\` a backslash; white space around a name goes.
func ParseMeasurements(text string) ([]string, error) {
	var names []string
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		if err := json.Unmarshal([]byte(text), &names); err != nil {
			return nil, fmt.Errorf("read JSON array: %w", err)
		}
	} else {
		names = splitNames(text)
	}
	if len(names) == 0 {
		return nil, errors.New("no measurement is named")
	}
	for i, name := range names {
		if name == "" {
			return nil, errors.New("an empty name: remove the comma too many")
		}
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("%q is named twice", name)
		}
	}
	return names, nil
}

func splitNames(text string) []string {
	var names []string
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
