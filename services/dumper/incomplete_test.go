package main

import (
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"nightshard/shared/events"
	"nightshard/shared/intermediary"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/objstore/memory"
)

// stored is a day in Swift: its manifest, and whether its dump is marked
// complete ("" for no dump).
type stored struct{ day, manifest, complete string }

// TestAChangeOfFormatWritesOnlyWhatWasIncomplete: the day before last has its
// dump, whatever the format.
func TestAChangeOfFormatWritesOnlyWhatWasIncomplete(t *testing.T) {
	t.Parallel()
	p := &dumper{cfg: &config{Format: "parquet"}, store: memory.New(), loc: time.UTC, log: zerolog.Nop()}
	early := func(day string) string { return `{"schema":1,"cutoff":"` + day + `T23:55:00Z"}` }
	p.keep(t, stored{"2016-06-01", early("2016-06-01"), "false"})
	p.keep(t, stored{"2016-05-31", early("2016-05-31"), "true"})
	today, err := night.ParseDay("2016-06-02")
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.incomplete(t.Context(), "cpu", today, intermediary.Identity{Cutoff: time.Date(2016, 6, 2, 23, 55, 0, 0, time.UTC)})
	if err != nil || len(got) != 1 || got[0].String() != "2016-06-01" {
		t.Errorf("%v, %v; want 2016-06-01 alone", got, err)
	}
}

func TestDaysWhoseDumpEndsAtTheCutoffAreFound(t *testing.T) {
	t.Parallel()
	early := func(day string) string { return `{"schema":1,"cutoff":"` + day + `T23:55:00Z"}` }
	for name, c := range map[string]struct {
		days []stored
		want []string
	}{
		"none stored":            {nil, nil},
		"yesterday":              {[]stored{{"2016-06-01", early("2016-06-01"), "false"}}, []string{"2016-06-01"}},
		"yesterday without dump": {[]stored{{"2016-06-01", early("2016-06-01"), ""}}, []string{"2016-06-01"}},
		"yesterday is complete":  {[]stored{{"2016-06-01", early("2016-06-01"), "true"}, {"2016-05-31", early("2016-05-31"), "false"}}, nil},
		"a night failed between": {[]stored{{"2016-05-31", early("2016-05-31"), "false"}}, []string{"2016-05-31"}},
		"two nights": {
			[]stored{{"2016-06-01", early("2016-06-01"), "false"}, {"2016-05-31", early("2016-05-31"), "false"}},
			[]string{"2016-05-31", "2016-06-01"},
		},
		"after midnight":         {[]stored{{"2016-06-01", `{"cutoff":"2016-06-02T00:10:00Z"}`, "false"}}, nil},
		"a damaged manifest":     {[]stored{{"2016-06-01", `{"cutoff":`, "false"}, {"2016-05-31", early("2016-05-31"), "false"}}, []string{"2016-05-31"}},
		"a manifest of nothing":  {[]stored{{"2016-06-01", `{}`, "false"}}, nil},
		"another database's":     {[]stored{{"2016-06-01", `{"database":"other","cutoff":"2016-06-01T23:55:00Z"}`, "false"}}, nil},
		"longer ago than a week": {[]stored{{"2016-05-25", early("2016-05-25"), "false"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &dumper{cfg: &config{Format: "json"}, store: memory.New(), loc: time.UTC, log: zerolog.Nop()}
			for _, d := range c.days {
				p.keep(t, d)
			}
			today, err := night.ParseDay("2016-06-02")
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.incomplete(t.Context(), "cpu", today, intermediary.Identity{Cutoff: time.Date(2016, 6, 2, 23, 55, 0, 0, time.UTC)})
			if err != nil || len(got) != len(c.want) {
				t.Fatalf("%v, %v; want %v", got, err, c.want)
			}
			for i, day := range got {
				if day.String() != c.want[i] {
					t.Errorf("%v, want %v", got, c.want)
				}
			}
		})
	}
}

func TestADumpIsNotWrittenIntoAnotherDatabasesDay(t *testing.T) {
	t.Parallel()
	p := &dumper{cfg: &config{}, store: memory.New(), loc: time.UTC, log: zerolog.Nop()}
	p.cfg.Database = "sensu_db"
	p.keep(t, stored{"2016-06-01", `{"database":"sensu_db","cutoff":"2016-06-01T23:55:00Z"}`, ""})
	p.keep(t, stored{"2016-06-03", `{"database":"telegraf","cutoff":"2016-06-03T23:55:00Z"}`, ""})
	var days []night.Day
	for _, text := range []string{"2016-06-01", "2016-06-02", "2016-06-03"} {
		day, err := night.ParseDay(text)
		if err != nil {
			t.Fatal(err)
		}
		days = append(days, day)
	}
	if err := p.ours(t.Context(), days[:2]); err != nil {
		t.Errorf("its own day, and one without a backup: %v", err)
	}
	err := p.ours(t.Context(), days)
	if !events.IsPermanent(err) || !strings.Contains(err.Error(), `"sensu_db" to container 2016-06-03: it holds the backup of database "telegraf"`) {
		t.Errorf("another database's day: %v", err)
	}
}

// keep stores a day.
func (p *dumper) keep(t *testing.T, d stored) {
	t.Helper()
	day, err := night.ParseDay(d.day)
	if err != nil {
		t.Fatal(err)
	}
	put := func(object, content string, meta map[string]string) {
		if _, err := p.store.Put(t.Context(), d.day, object, objstore.NewSource([]byte(content)), objstore.PutOptions{Meta: meta}); err != nil {
			t.Fatal(err)
		}
	}
	put(night.ManifestObject(day), d.manifest, nil)
	if d.complete == "" {
		return
	}
	object, err := night.DumpObject(day, "cpu")
	if err != nil {
		t.Fatal(err)
	}
	put(object, "[\n]\n", map[string]string{metaComplete: d.complete})
}
