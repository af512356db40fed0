package main

import (
	"strings"
	"testing"

	"nightshard/shared/night"
	"nightshard/shared/service"
)

func TestShowTellsAllAboutAFinishedDay(t *testing.T) {
	t.Parallel()
	env := map[string]string{"NIGHTSHARD_TIMEZONE": "Europe/Berlin"}
	r := cli{env: env, store: house(t)}.run(t, "show", "2016-06-01").done(t)
	r.shows(t,
		"State        finished\n", "Database     db\n", "http://influx-1:8086, snapshots from influx-1:8088, InfluxDB 1.8.10",
		"Cut-off      2016-06-02 01:55:00 CEST\n", "in 1m00s\n", "autogen (default), keeps everything, shards of 7d\n",
		"Counts       4,000 to 4,001 values in 2 fields of 1 measurement\n", "Size         1.1 kB in 2 shards\n",
		"SHARD  POLICY", "    9  autogen  2016-06-01 02:00  2016-06-02 02:00  500 B      1  2,000 to 2,001\n",
		"read 2016-05-20\n",
		"Drill: passed, 4 counts compared, 4,000 values", "DUMP", "cpu", "yes\n", "disk/free", "not yet\n",
	)
	if strings.Contains(r.out, "Warning") {
		t.Errorf("a warning about a good day:\n%s", r.out)
	}
}

func TestShowNamesTheDifferencesOfAFailedDrill(t *testing.T) {
	t.Parallel()
	cli{store: house(t)}.run(t, "show", "2016-06-02").done(t).shows(t,
		"Drill: FAILED, 1 difference", `shard 9 "autogen"."cpu" field "idle": 999 values, want 1000`, "Dumps: none")
}

func TestShowWarnsOfTheOldForm(t *testing.T) {
	t.Parallel()
	r := cli{store: house(t)}.run(t, "show", "2016-05-25").done(t)
	r.shows(t, "State        old script's", "db.autogen.00010.00   5 B  old form\n", "db.autogen.00009.00   5 B\n",
		"Warning: 1 archive in the old scripts' form", "nightshard request restore 2016-05-25", "Drill: none")
}

func TestShowSaysWhatWasUnusual(t *testing.T) {
	t.Parallel()
	store := house(t)
	m := fullDay(t, store, "2016-06-03")
	m.Warnings = []string{`measurement "mem" vanished: it had 10 values on 2016-06-02`}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, "2016-06-03", night.ManifestObject(mustDay(t, "2016-06-03")), data, nil)
	cli{store: store}.run(t, "show", "2016-06-03").done(t).shows(t, "State        finished\n", `Warning: measurement "mem" vanished`)
}

func TestShowWarnsOfAnUnfinishedAndOfAnEmptyDay(t *testing.T) {
	t.Parallel()
	cli{store: house(t)}.run(t, "show", "2016-06-04").done(t).shows(t, "unfinished", "nightshard request backup --day 2016-06-04")
	cli{store: house(t)}.run(t, "show", "2016-06-05").done(t).shows(t, "the container holds no shard")
}

func TestShowOfAnUnknownDayFailsAndSaysWhereToLook(t *testing.T) {
	t.Parallel()
	r := cli{store: house(t)}.run(t, "show", "2016-06-03")
	if r.code != service.ExitFailed || !strings.Contains(r.err, "nightshard list") {
		t.Errorf("exit code %d\n%s", r.code, r.err)
	}
}

func TestShowHoldsTheListingAgainstTheManifest(t *testing.T) {
	t.Parallel()
	store := house(t)
	day := mustDay(t, "2016-06-01")
	shard := func(id uint64) string {
		return night.ShardName{Database: "db", RetentionPolicy: "autogen", ID: id}.Object(day)
	}
	put(t, store, "2016-06-01", shard(9), []byte("short"), nil)
	put(t, store, "2016-06-01", shard(11), []byte("x"), nil)
	if err := store.Delete(t.Context(), "2016-06-01", shard(10)); err != nil {
		t.Fatal(err)
	}
	put(t, store, "2016-06-01", "2016-06-01/incoming/run.json", []byte("{}"), nil)
	cli{store: store}.run(t, "show", "2016-06-01").done(t).shows(t,
		shard(9)+": it has 5 bytes, 500 were sent", shard(10)+": it is not listed",
		shard(11)+": the manifest does not name it", "another run of this day is under way")
}

func TestManifestThatCannotBeTrustedIsAWarning(t *testing.T) {
	t.Parallel()
	store := house(t)
	put(t, store, "2016-06-01", "2016-06-01/manifest.json", []byte(`{"schema":1,"day":"2016-06-02"}`), nil)
	put(t, store, "2016-06-01", "2016-06-01/drill.json", []byte(`{"schema":99}`), nil)
	cli{store: store}.run(t, "show", "2016-06-01").done(t).shows(t,
		"manifest.json: it cannot be trusted", "the drill cannot be read", "use a newer nightshard")
}

func TestShowAsJSON(t *testing.T) {
	t.Parallel()
	r := decode[dayReport](t, cli{store: house(t)}.run(t, "show", "2016-06-01", "--json").done(t))
	if r.Day != "2016-06-01" || r.State != stateFinished || r.Manifest == nil || r.Manifest.Database != "db" {
		t.Errorf("report %+v", r)
	}
	if len(r.Shards) != 2 || r.Shards[0].ID != 9 || r.Shards[0].ValuesMax != 2001 || r.Counts.ValuesMax != 4001 {
		t.Errorf("shards %+v, counts %+v", r.Shards, r.Counts)
	}
	if r.Drill == nil || !r.Drill.Passed || len(r.Warnings) != 0 {
		t.Errorf("drill %+v, warnings %v", r.Drill, r.Warnings)
	}
	if len(r.Dumps) != 2 || r.Dumps[1].Measurement != "disk/free" || r.Dumps[1].Complete == nil || *r.Dumps[1].Complete {
		t.Errorf("dumps %+v", r.Dumps)
	}
}

func TestDumpOfAnOldScriptSaysNothingOfCompleteness(t *testing.T) {
	t.Parallel()
	store := house(t)
	dumpOf(t, store, "2016-05-25", "cpu", "")
	r := decode[dayReport](t, cli{store: store}.run(t, "show", "2016-05-25", "--json").done(t))
	if len(r.Dumps) != 1 || r.Dumps[0].Complete != nil || r.Manifest != nil {
		t.Errorf("report %+v", r)
	}
}
