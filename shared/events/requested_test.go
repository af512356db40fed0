package events_test

import (
	"strconv"
	"testing"
	"time"

	nightshardv1 "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

// Among many events, of which some are gone, the search must not miss the one
// stored at the very moment that it looks from.
func TestRequestIsFoundAmongManyWhereverTheLookBegins(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus := connect(t, srv.URL)
	for i := range 40 {
		publish(t, bus, &nightshardv1.BackupRequested{}, "nightly/"+strconv.Itoa(i))
		publish(t, bus, &nightshardv1.RestoreRequested{}, "")
	}
	stream, err := plainJS(t, srv.URL).Stream(t.Context(), "NIGHTSHARD")
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range []uint64{1, 2, 21, 22, 80} {
		if err := stream.DeleteMsg(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
	}
	all := history(t, bus, events.BackupRequested)
	if len(all) != 38 {
		t.Fatalf("%d requests, want 38", len(all))
	}
	for i, e := range all {
		for since, want := range map[time.Time]bool{e.Time: true, e.Time.Add(time.Nanosecond): false, all[0].Time: true} {
			got, err := bus.Requested(t.Context(), events.BackupRequested, e.ID, since)
			if err != nil || got != want {
				t.Errorf("request %d since %v: %v, %v, want %v", i, since, got, err, want)
			}
		}
	}
}
