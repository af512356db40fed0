package events_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	nightshardv1 "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

func TestEverySubjectHasItsOwnMessage(t *testing.T) {
	t.Parallel()
	for _, subject := range events.Subjects() {
		got, ok := events.SubjectOf(events.NewMessage(subject))
		if !ok || got != subject {
			t.Errorf("SubjectOf(NewMessage(%s)) = %s, %v", subject, got, ok)
		}
	}
	if _, ok := events.SubjectOf(&nightshardv1.Progress{}); ok {
		t.Error("progress is not an event of the stream")
	}
	if _, ok := events.SubjectOf(nil); ok {
		t.Error("nil is not an event")
	}
	if events.NewMessage("backup.wished") != nil {
		t.Error("an unknown subject has a message")
	}
}

func TestEncodingIsCompactAndKeepsDefaults(t *testing.T) {
	t.Parallel()
	body, err := events.Encode(&nightshardv1.BackupCompleted{
		Day: "2026-11-22", Bytes: 1 << 60, CarriedForward: 2,
		Cutoff: timestamppb.New(time.Date(2026, 11, 22, 23, 55, 0, 0, time.UTC)),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"day":"2026-11-22","container":"","database":"","shards":0,"bytes":"1152921504606846976",` +
		`"carriedForward":2,"cutoff":"2026-11-22T23:55:00Z","manifest":"","productionVersion":"","warnings":[],"schema":1}`
	if string(body) != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
}

func TestDecodeReadsWhatOperatorsType(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}`, ` { } `, `{"reason":"x","newField":{"a":[1]}}`, `{"day":"2026-11-22"}`} {
		if _, err := events.Decode(events.BackupRequested, []byte(body)); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, body := range []string{``, `[]`, `null`, `{`, `{"day":5}`, `{} x`, "\xff", `{"force":"yes"}`} {
		if msg, err := events.Decode(events.BackupRequested, []byte(body)); err == nil {
			t.Errorf("%q was read as %v", body, msg)
		}
	}
	if _, err := events.Decode("backup.wished", []byte(`{}`)); !errors.Is(err, events.ErrUnknownSubject) {
		t.Errorf("unknown subject: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for i, subject := range events.Subjects() {
		f.Add(uint8(i), []byte(`{}`))
		body, err := events.Encode(events.NewMessage(subject))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), body)
	}
	f.Add(uint8(4), []byte(`{"day":"2026-11-22","verdict":{"differences":[{"shard":"5","gone":1}]}}`))
	f.Fuzz(func(t *testing.T, n uint8, body []byte) {
		subject := events.Subjects()[int(n)%len(events.Subjects())]
		msg, err := events.Decode(subject, body)
		if err != nil {
			return
		}
		again, err := events.Encode(msg)
		if err != nil {
			t.Fatalf("encode what was decoded: %v", err)
		}
		back, err := events.Decode(subject, again)
		if err != nil || !proto.Equal(msg, back) {
			t.Fatalf("%s became %v: %v", again, back, err)
		}
	})
}

func TestSlugsFitNATSAndDiffer(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 61)
	names := []string{
		"", " ", "cpu", "cpu_load-1", "cpu.load", "cpu load", "cpu*load", "disk/größe", "💾", "💿", ">", "$", "a\nb", "_", "__",
		long, long + "b", strings.Repeat("é", 100), "cpu/load",
	}
	seen := map[string]string{}
	for _, name := range names {
		slug := events.Slug(name)
		if len(slug) == 0 || len(slug) > 60 || strings.Trim(slug, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
			t.Errorf("Slug(%q) = %q", name, slug)
		}
		if other, ok := seen[slug]; ok {
			t.Errorf("%q and %q have the slug %q", name, other, slug)
		}
		seen[slug] = name
	}
	for _, name := range []string{"cpu", "cpu_load-1", "_"} {
		if events.Slug(name) != name {
			t.Errorf("Slug(%q) = %q, want it unchanged", name, events.Slug(name))
		}
	}
	if slug := events.Slug("cpu.load"); !strings.HasPrefix(slug, "cpu_load-") {
		t.Errorf("Slug(cpu.load) = %q cannot be read", slug)
	}
}

func TestSlugsOfRandomNamesDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for range 5000 {
		name := make([]rune, rand.IntN(5))
		for i := range name {
			name[i] = rune(32 + rand.IntN(200))
		}
		slug := events.Slug(string(name))
		if other, ok := seen[slug]; ok && other != string(name) {
			t.Fatalf("%q and %q have the slug %q", string(name), other, slug)
		}
		seen[slug] = string(name)
	}
}

func TestErrorsCarryOutcomeAndStep(t *testing.T) {
	t.Parallel()
	cause := errors.New("no such day")
	err := fmt.Errorf("backup: %w", events.Permanent(events.Step("name day", cause)))
	if !events.IsPermanent(err) || events.StepOf(err) != "name day" || !errors.Is(err, cause) {
		t.Errorf("lost in the chain: %v, %q", events.IsPermanent(err), events.StepOf(err))
	}
	if err.Error() != "backup: no such day" {
		t.Errorf("text changed: %q", err)
	}
	if events.StepOf(events.Step("outer", events.Step("inner", cause))) != "outer" {
		t.Error("the outermost step names the failure")
	}
	if events.Permanent(nil) != nil || events.Step("x", nil) != nil || events.IsPermanent(cause) || events.StepOf(nil) != "" {
		t.Error("nothing became something")
	}
}

func TestEachRetryWaitsLonger(t *testing.T) {
	t.Parallel()
	for first, want := range map[time.Duration]string{
		events.DefaultRetryWait: "[5s 30s 2m0s 5m0s 5m0s]",
		100 * time.Millisecond:  "[100ms 600ms 2.4s 6s 6s]",
	} {
		var got []time.Duration
		for attempt := 1; attempt <= 5; attempt++ {
			got = append(got, events.RetryAfter(first)(attempt))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("after %s: got %v, want %s", first, got, want)
		}
	}
}
