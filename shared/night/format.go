package night

import (
	"fmt"
	"slices"
	"strings"
)

// Format is how a dump is written. Its text is what the object's name ends with,
// behind a dot.
type Format string

// The formats. JSON is the old scripts' and the one that is asked for by
// default.
const (
	JSON     Format = "json"
	NDJSON   Format = "ndjson"
	CSV      Format = "csv"
	JSONGz   Format = "json.gz"
	NDJSONGz Format = "ndjson.gz"
	CSVGz    Format = "csv.gz"
	Parquet  Format = "parquet"
)

// gzipped is what the text of a format ends with that is another one, compressed.
const gzipped = ".gz"

// Formats lists all formats.
func Formats() []Format {
	return []Format{JSON, NDJSON, CSV, JSONGz, NDJSONGz, CSVGz, Parquet}
}

// ParseFormat reads the name of a format. Its error lists all.
func ParseFormat(text string) (Format, error) {
	if f := Format(text); slices.Contains(Formats(), f) {
		return f, nil
	}
	names := make([]string, 0, len(Formats()))
	for _, f := range Formats() {
		names = append(names, string(f))
	}
	return "", fmt.Errorf("read format %q: want one of %s", text, strings.Join(names, ", "))
}

// Plain is the format without its compression, and whether it has one.
func (f Format) Plain() (plain Format, compressed bool) {
	text, compressed := strings.CutSuffix(string(f), gzipped)
	return Format(text), compressed
}

// DumpObjectIn is the name of a measurement's dump in a format; see DumpObject.
func DumpObjectIn(day Day, measurement string, f Format) (string, error) {
	name := DumpPrefix(day) + escapeMeasurement(measurement) + dumpWindow(day) + string(f)
	if len(name) > maxObjectName {
		return "", fmt.Errorf("name dump of measurement %.40q…: %d bytes, Swift allows %d",
			measurement, len(name), maxObjectName)
	}
	return name, nil
}

// DumpFormat gives the format of a dump by its name; ok is false for a name that
// is no dump of the day.
func DumpFormat(day Day, object string) (f Format, ok bool) {
	if !strings.HasPrefix(object, DumpPrefix(day)) {
		return "", false
	}
	for _, f := range Formats() {
		if strings.HasSuffix(object, dumpWindow(day)+string(f)) {
			return f, true
		}
	}
	return "", false
}

// dumpWindow is the window in a dump's name, as the old scripts wrote it, with
// the dot before the format.
func dumpWindow(day Day) string {
	return fmt.Sprintf("_%s-00:00:00_%s-00:00:00.", day, day.Add(1))
}
