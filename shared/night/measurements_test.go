package night_test

import (
	"strings"
	"testing"

	"nightshard/shared/night"
)

func TestMeasurementsAreReadInBothForms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"cpu":                    "cpu",
		"cpu, mem ,disk":         "cpu|mem|disk",
		`a\,b,c\\,d e`:           `a,b|c\|d e`,
		`["a,b"," spaced ","ü"]`: "a,b| spaced |ü",
		`C:\x`:                   `C:\x`,
	} {
		got, err := night.ParseMeasurements(text)
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("ParseMeasurements(%q) = %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", " ", "a,,b", "a,", "a,a", "[]", `["a"`, `[1]`} {
		if got, err := night.ParseMeasurements(text); err == nil {
			t.Errorf("ParseMeasurements(%q) = %q, want an error", text, got)
		}
	}
}

func FuzzMeasurements(f *testing.F) {
	f.Add("cpu, mem")
	f.Add(`a\,b`)
	f.Add(`["x"]`)
	f.Fuzz(func(t *testing.T, text string) {
		names, err := night.ParseMeasurements(text)
		for _, n := range names {
			if err == nil && n == "" {
				t.Errorf("%q gives an empty name", text)
			}
		}
	})
}
