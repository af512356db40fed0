package objstore_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"nightshard/shared/objstore"
)

func TestNamesThatNoServerCanHoldAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		container, name string
		ok              bool
	}{
		{"2026-11-23", "2026-11-23/shards/meta.00", true},
		{strings.Repeat("c", 256), strings.Repeat("o", 1024), true},
		{"☃", "☃/%\n", true},
		{"", "a", false},
		{"a/b", "c", false},
		{"a", "", false},
		{strings.Repeat("c", 257), "a", false},
		{"a", strings.Repeat("o", 1025), false},
		{"a", "\xff", false},
		{"a", "nul\x00", false},
	} {
		err := objstore.CheckNames(c.container, c.name)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, objstore.ErrName) {
			t.Errorf("CheckNames(%.20q, %.20q) = %v", c.container, c.name, err)
		}
	}
}

func TestErrorsTellWhatHappened(t *testing.T) {
	t.Parallel()
	status := &objstore.StatusError{Code: 503, Text: "Service Unavailable"}
	if got := status.Error(); got != "HTTP status 503: Service Unavailable" {
		t.Error(got)
	}
	source := &objstore.SourceError{Err: io.ErrUnexpectedEOF}
	if got := source.Error(); got != "read source: unexpected EOF" || !errors.Is(source, io.ErrUnexpectedEOF) {
		t.Error(got)
	}
}

func TestSourceBeginsAnewEachTime(t *testing.T) {
	t.Parallel()
	src := objstore.NewSource([]byte("content"))
	for range 2 {
		rc, err := src(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(rc); err != nil || string(data) != "content" || rc.Close() != nil {
			t.Errorf("source gave %q, %v", data, err)
		}
	}
}
