package night_test

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"nightshard/shared/night"
)

func manifest(t *testing.T) *night.Manifest {
	t.Helper()
	d := day(t, "2016-06-01")
	at := time.Date(2016, 6, 1, 23, 55, 0, 0, time.UTC)
	name := night.ShardName{Database: "sensu_db", RetentionPolicy: "default", ID: 20}
	return &night.Manifest{
		Schema: 1, Day: d.String(), Database: "sensu_db", TimeZone: "UTC", Request: "7@1",
		Production: night.Production{URL: "http://p:8086", Snapshot: "p:8088", ClusterID: "18446744073709551615"},
		Cutoff:     at, StartedAt: at, FinishedAt: at.Add(time.Minute),
		RetentionPolicies: []night.RetentionPolicy{{Name: "default", Default: true, Duration: "0s", ShardGroupDuration: "168h0m0s"}},
		Meta:              night.Stored{Object: night.MetaObject(d), Bytes: 5, MD5: "m"},
		Shards: []night.Shard{{
			Stored: night.Stored{Object: name.Object(d), Bytes: 1024, MD5: "a", Listed: "b"},
			ID:     20, RetentionPolicy: "default", Start: at, End: at.Add(time.Hour),
			Files:  []night.File{{Name: "000000001-000000001.tsm", Bytes: 9, SHA256: "s"}},
			Counts: night.Fingerprint{"cpu": {"idle": {Min: 3, Max: 3}, "user": {Min: 1, Max: 2}}},
		}},
	}
}

func TestManifestComesBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	m := manifest(t)
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := night.ParseManifest(day(t, "2016-06-01"), data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, back) {
		t.Errorf("manifest came back as %+v", back)
	}
	if m.Bytes() != 1029 || len(m.Objects()) != 2 {
		t.Errorf("bytes %d, objects %d", m.Bytes(), len(m.Objects()))
	}
}

func TestManifestsThatCannotBeTrustedAreRefused(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*night.Manifest){
		"schema":         func(m *night.Manifest) { m.Schema = 2 },
		"manifest of":    func(m *night.Manifest) { m.Day = "2016-06-02" },
		"missing":        func(m *night.Manifest) { m.Meta.Object = "elsewhere" },
		"shard 20 under": func(m *night.Manifest) { m.Shards[0].Object = "2016-06-01/shards/sensu_db.default.00020.00" },
		"once under":     func(m *night.Manifest) { m.Shards = append(m.Shards, m.Shards[0]) },
	} {
		m := manifest(t)
		change(m)
		data, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := night.ParseManifest(day(t, "2016-06-01"), data); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: error %v", what, err)
		}
	}
	if _, err := night.ParseManifest(day(t, "2016-06-01"), []byte(`{"schema":1`)); err == nil {
		t.Error("half a manifest was taken")
	}
}

func TestCountsAreOneNumberWhereBothEndsAreEqual(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(night.Fingerprint{"m": {"a": {Min: 9007199254740993, Max: 9007199254740993}, "b": {Min: 1, Max: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(data); got != `{"m":{"a":9007199254740993,"b":[1,2]}}` {
		t.Errorf("fingerprint is written as %s", got)
	}
	var r night.Range
	if err := json.Unmarshal([]byte(`"x"`), &r); err == nil {
		t.Error("a word was taken for a count")
	}
}

func TestFingerprintSpansBothCounts(t *testing.T) {
	t.Parallel()
	f := night.NewFingerprint(
		night.Counts{"cpu": {"idle": 10, "gone": 3}},
		night.Counts{"cpu": {"idle": 12, "new": 1}, "mem": {"used": 5}})
	want := night.Fingerprint{
		"cpu": {"idle": {Min: 10, Max: 12}, "gone": {Min: 0, Max: 3}, "new": {Min: 0, Max: 1}},
		"mem": {"used": {Min: 0, Max: 5}},
	}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("fingerprint %v, want %v", f, want)
	}
}

func TestCompareNamesEveryDifference(t *testing.T) {
	t.Parallel()
	f := night.Fingerprint{"cpu": {"idle": {Min: 10, Max: 12}, "user": {Min: 4, Max: 4}}, "mem": {"used": {Min: 2, Max: 2}}}
	shard := night.Shard{ID: 7, RetentionPolicy: "rp"}
	if n, diffs := f.Compare(shard, night.Counts{"cpu": {"idle": 11, "user": 4}, "mem": {"used": 2}}); n != 3 || len(diffs) != 0 {
		t.Errorf("equal counts: compared %d, differences %v", n, diffs)
	}
	n, diffs := f.Compare(shard, night.Counts{"cpu": {"idle": 13, "user": 4}, "disk": {"free": 1}})
	if n != 4 || len(diffs) != 3 {
		t.Fatalf("compared %d, differences %v", n, diffs)
	}
	want := []string{
		`shard 7 "rp"."cpu" field "idle": 13 values, want 10 to 12`,
		`shard 7 "rp"."disk" field "free": 1 values, want 0`,
		`shard 7 "rp"."mem" field "used": 0 values, want 2`,
	}
	for i, d := range diffs {
		if d.String() != want[i] {
			t.Errorf("difference %d: %s, want %s", i, d, want[i])
		}
	}
}

func TestListingMustShowWhatWasSent(t *testing.T) {
	t.Parallel()
	sent := []night.Stored{{Object: "a", Bytes: 1, MD5: "1"}, {Object: "b", Bytes: 2, MD5: "2"}, {Object: "large", Bytes: 9, MD5: "9", Listed: "etag"}}
	whole := map[string]night.Stored{"a": {Bytes: 1, MD5: "1"}, "b": {Bytes: 2, MD5: "2"}, "large": {Bytes: 9, MD5: "etag"}, "old": {}}
	problems, leftovers := night.CheckListing(sent, whole)
	if len(problems) != 0 || !reflect.DeepEqual(leftovers, []string{"old"}) {
		t.Errorf("problems %v, leftovers %v", problems, leftovers)
	}
	for what, change := range map[string]func(map[string]night.Stored){
		"a: it is not listed": func(l map[string]night.Stored) { delete(l, "a") },
		"b: it has 3 bytes":   func(l map[string]night.Stored) { l["b"] = night.Stored{Bytes: 3, MD5: "2"} },
		"b: it has MD5 x":     func(l map[string]night.Stored) { l["b"] = night.Stored{Bytes: 2, MD5: "x"} },
		"large: it has MD5 9": func(l map[string]night.Stored) { l["large"] = night.Stored{Bytes: 9, MD5: "9"} },
	} {
		listed := map[string]night.Stored{}
		maps.Copy(listed, whole)
		change(listed)
		if problems, _ := night.CheckListing(sent, listed); len(problems) != 1 || !strings.HasPrefix(problems[0], what) {
			t.Errorf("%s: problems %v", what, problems)
		}
	}
}

func TestReconcileFindsWhatCameAndWhatWent(t *testing.T) {
	t.Parallel()
	plan := night.Reconcile([]night.ShardKey{{ID: 1}, {ID: 2}}, []night.ShardKey{{ID: 2}, {ID: 3}})
	if len(plan.Missing) != 1 || plan.Missing[0].ID != 3 || len(plan.Deleted) != 1 || plan.Deleted[0].ID != 1 {
		t.Errorf("plan %+v", plan)
	}
}

func TestWindowIsCompleteOnlyWhenTheCutoffReachesItsEnd(t *testing.T) {
	t.Parallel()
	end := time.Date(2016, 6, 2, 0, 0, 0, 0, time.UTC)
	if night.Complete(end.Add(-time.Second), end) || !night.Complete(end, end) || !night.Complete(end.Add(1), end) {
		t.Error("the rule for complete days is wrong")
	}
}

func TestDrillComesBack(t *testing.T) {
	t.Parallel()
	d := &night.Drill{Schema: 1, Day: "2016-06-01", Passed: true, Compared: 4, Differences: []night.Difference{}, Note: night.NoFingerprint}
	data, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := night.ParseDrill(data)
	if err != nil || !reflect.DeepEqual(d, back) {
		t.Errorf("drill came back as %+v, %v", back, err)
	}
}

// A newer record is not damaged, whatever else is in it: its checksum and its
// fields are for the version that wrote it.
func TestNewerRecordsAreRefusedAndSayWhatToDo(t *testing.T) {
	t.Parallel()
	whole := manifest(t)
	whole.Schema = night.Schema + 1
	data, err := whole.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range []string{string(data), `{"schema":2}`, `{"schema":2,"day":{"year":2031},"compared":"four","shards":7}`} {
		_, manifestErr := night.ParseManifest(day(t, "2016-06-01"), []byte(record))
		_, drillErr := night.ParseDrill([]byte(record))
		for _, err := range []error{manifestErr, drillErr} {
			if !errors.Is(err, night.ErrNewer) || !strings.Contains(err.Error(), "schema is 2") ||
				!strings.Contains(err.Error(), "up to 1") || !strings.Contains(err.Error(), "newer nightshard") {
				t.Errorf("%.60s: %v", record, err)
			}
		}
	}
	for _, record := range []string{`{}`, `{"schema":0}`, `{"schema":-1}`} {
		if _, err := night.ParseDrill([]byte(record)); err == nil || errors.Is(err, night.ErrNewer) || !strings.Contains(err.Error(), "no version wrote") {
			t.Errorf("%s: %v", record, err)
		}
	}
}
