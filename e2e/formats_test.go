package e2e_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/parquet-go/parquet-go"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/testbed"
)

// TestANightAsParquetAndThenAsCSV changes the format after a night, and asks the
// services over NATS what they do.
func TestANightAsParquetAndThenAsCSV(t *testing.T) {
	t.Parallel()
	h := build(t, testbed.InfluxOptions{}, testbed.InfluxOptions{})
	h.fillWeek(3)
	h.fillOdd(weekday0().AddDate(0, 0, 1))
	measurements := "NIGHTSHARD_MEASUREMENTS=" + string(sure(json.Marshal([]string{"cpu", oddMeasurement})))
	h.start("backup")
	h.start("restore")
	dumper := h.start("dumper", measurements, "NIGHTSHARD_DUMP_FORMAT=parquet")
	_, _, dumps := h.night(&pb.BackupRequested{Day: dayName(1)}, 2)
	for _, d := range dumps {
		file := sure(parquet.OpenFile(bytes.NewReader(h.read(d.GetDay(), d.GetObject())), d.GetBytes()))
		if file.NumRows() != d.GetRecords() || !strings.HasSuffix(d.GetObject(), "-00:00:00.parquet") {
			t.Errorf("%s: %d rows, %d records", d.GetObject(), file.NumRows(), d.GetRecords())
		}
	}
	for _, service := range []string{"backup", "restore", "dumper"} {
		if said := h.natsCommand("req", "--raw", "status."+service, ""); !strings.Contains(said, `"service":"`+service+`"`) || !strings.Contains(said, `"failed":0`) {
			t.Errorf("%s says of itself: %s", service, said)
		}
		if said := h.natsCommand("service", "info", "nightshard-"+service); !strings.Contains(said, "status."+service) || !strings.Contains(said, database) {
			t.Errorf("nats service info says of %s: %s", service, said)
		}
	}

	if err := dumper.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.start("dumper", measurements, "NIGHTSHARD_DUMP_FORMAT=csv.gz")
	seq := h.publish(events.DumpRequested, &pb.DumpRequested{Measurement: oddMeasurement, From: dayName(1)})
	d := h.dumps(seq, 1)[0]
	want := sure(night.DumpObjectIn(sure(night.ParseDay(dayName(1))), oddMeasurement, night.CSVGz))
	if d.GetObject() != want {
		t.Errorf("the dump is %s, want %s", d.GetObject(), want)
	}
	held := h.list(dayName(1))
	for _, object := range []string{want, strings.TrimSuffix(want, "csv.gz") + "parquet"} {
		if _, ok := held[object]; !ok {
			t.Errorf("%s is not there", object)
		}
	}
	h.csvEqualsProduction(h.read(dayName(1), want))
}

// sure gives what a call returns that cannot fail.
func sure[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// natsCommand runs the nats CLI.
func (h *house) natsCommand(args ...string) string {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), "go", append([]string{"tool", "-modfile=../tools/go.mod", "nats"}, args...)...)
	cmd.Env = append(os.Environ(), "NATS_URL="+h.nats.URL)
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.t.Errorf("nats %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// readCSV gives the records of a compressed CSV as lines of JSON, empty cells left
// out.
const readCSV = `
import csv, gzip, json, sys
with gzip.open(sys.stdin.buffer, "rt", encoding="utf-8", newline="") as text:
    for r in csv.DictReader(text, strict=True):
        print(json.dumps({k: v for k, v in r.items() if v != ""}, sort_keys=True))
`

// csvEqualsProduction compares the odd measurement's dump with what production
// answers, each value as text.
func (h *house) csvEqualsProduction(data []byte) {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), "python3", "-c", readCSV)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("Python does not read the dump: %v", err)
	}
	day := weekday0().AddDate(0, 0, 1)
	statement := `SELECT * FROM "sensu_db"."main".` + quoteIdent(oddMeasurement) +
		" WHERE time >= " + strconv.FormatInt(day.UnixNano(), 10) + " AND time < " + strconv.FormatInt(day.AddDate(0, 0, 1).UnixNano(), 10)
	got, want := textRecords(h.t, strings.Split(strings.TrimSpace(string(out)), "\n")), textRecords(h.t, records(h.t, h.prod, statement))
	if !slices.Equal(got, want) {
		h.t.Errorf("the dump has\n%s\nproduction has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func quoteIdent(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// textRecords writes every value of records as text, in one order; empty ones are
// left out.
func textRecords(t *testing.T, lines []string) []string {
	t.Helper()
	var out []string
	for _, line := range lines {
		dec := json.NewDecoder(strings.NewReader(line))
		dec.UseNumber()
		var r map[string]any
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		texts := map[string]string{}
		for k, v := range r {
			switch v := v.(type) {
			case bool:
				texts[k] = strconv.FormatBool(v)
			case json.Number:
				texts[k] = v.String()
			case string:
				texts[k] = v
			}
			if texts[k] == "" {
				delete(texts, k)
			}
		}
		out = append(out, string(sure(json.Marshal(texts))))
	}
	slices.Sort(out)
	return out
}
