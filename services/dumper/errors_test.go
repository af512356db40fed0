package main

import (
	"errors"
	"strings"
	"testing"

	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// problemsOf reads the settings as the service does when it starts.
func problemsOf(t *testing.T, env string) []string {
	t.Helper()
	name, value, _ := strings.Cut(env, "=")
	t.Setenv(name, value)
	config, _ := errors.AsType[*service.ConfigError](service.Load(&config{}))
	if config == nil {
		return nil
	}
	return config.Problems
}

// Each row is one wrong setting and the whole of what its operator reads: the
// setting with its value, the reason, and what to do. A secret is never told.
func TestEachWrongSettingSaysWhatToDo(t *testing.T) {
	testbed.ClearSettings(t)
	t.Setenv("NIGHTSHARD_DATABASE", "db")
	t.Setenv("NIGHTSHARD_MEASUREMENTS", "cpu")
	for _, row := range []struct{ env, want string }{
		{"NIGHTSHARD_MEASUREMENTS=cpu,,mem", `NIGHTSHARD_MEASUREMENTS is "cpu,,mem": an empty name: remove the comma too many; it sets: measurements to dump, separated by commas (\, for a comma), or a JSON array`},
		{"NIGHTSHARD_MEASUREMENTS=cpu,cpu", `NIGHTSHARD_MEASUREMENTS is "cpu,cpu": "cpu" is named twice; it sets: measurements to dump, separated by commas (\, for a comma), or a JSON array`},
		{"NIGHTSHARD_MEASUREMENTS=[cpu]", `NIGHTSHARD_MEASUREMENTS is "[cpu]": read JSON array: invalid character 'c' looking for beginning of value; it sets: measurements to dump, separated by commas (\, for a comma), or a JSON array`},
		{"NIGHTSHARD_DUMP_FORMAT=xml", `NIGHTSHARD_DUMP_FORMAT: read format "xml": want one of json, ndjson, csv, json.gz, ndjson.gz, csv.gz, parquet`},
		{"NIGHTSHARD_DUMP_RECORDS=0", `NIGHTSHARD_DUMP_RECORDS is 0, want a number above zero`},
		{"NIGHTSHARD_DUMP_RECORDS=all", `NIGHTSHARD_DUMP_RECORDS is "all": want a whole number; it sets: records that the intermediary sends in one increment`},
		{"NIGHTSHARD_DUMP_PARALLEL=-1", `NIGHTSHARD_DUMP_PARALLEL is -1, want a number above zero`},
		{"NIGHTSHARD_INTERMEDIARY_URL=8086", `NIGHTSHARD_INTERMEDIARY_URL is "8086": it does not begin with http:// or https:// and a host, want an address such as http://influx-1:8086`},
	} {
		t.Run(row.env, func(t *testing.T) {
			problems := problemsOf(t, row.env)
			if len(problems) != 1 || problems[0] != row.want {
				t.Fatalf("problems %q,\nwant %q", problems, row.want)
			}
			name, _, _ := strings.Cut(row.env, "=")
			testbed.Message(t, problems[0], name)
		})
	}
}
