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
	for _, row := range []struct{ env, want string }{
		{"NIGHTSHARD_TIMEZONE=Mars", `NIGHTSHARD_TIMEZONE is "Mars": unknown time zone Mars; want a name such as Europe/Berlin`},
		{"NIGHTSHARD_LOG_LEVEL=loud", `NIGHTSHARD_LOG_LEVEL is "loud", want debug, info, warn or error`},
		{"NIGHTSHARD_LOG_FORMAT=xml", `NIGHTSHARD_LOG_FORMAT is "xml", want json, console or journal`},
		{"NIGHTSHARD_STREAM_REPLICAS=2", `NIGHTSHARD_STREAM_REPLICAS is 2, want 1, 3 or 5`},
		{"NIGHTSHARD_STREAM_REPLICAS=two", `NIGHTSHARD_STREAM_REPLICAS is "two": want a whole number; it sets: copies of the event stream: 1, 3 or 5; a stream that has more keeps them`},
		{"NIGHTSHARD_SEGMENT_BYTES=-1", `NIGHTSHARD_SEGMENT_BYTES is -1, want 0 for Swift's own limit or a number of bytes`},
		{"NIGHTSHARD_SEGMENT_BYTES=5G", `NIGHTSHARD_SEGMENT_BYTES is "5G": want a whole number; it sets: size above which an object is stored in segments of that size; 0 is Swift's own limit, about 5 GiB`},
		{"NIGHTSHARD_WEBHOOK_FORMAT=teams", `NIGHTSHARD_WEBHOOK_FORMAT is "teams", want json or slack`},
		{"NIGHTSHARD_WEBHOOK_URL=sesame", `NIGHTSHARD_WEBHOOK_URL is no URL, want one such as https://example.com/path`},
		{"NIGHTSHARD_WEBHOOK_URL_FILE=/no/where", `NIGHTSHARD_WEBHOOK_URL_FILE is "/no/where": no such file or directory; want a file that holds the secret`},
		{"NIGHTSHARD_PRODUCTION_PASSWORD_FILE=/", `NIGHTSHARD_PRODUCTION_PASSWORD_FILE is "/": is a directory; want a file that holds the secret`},
		{"NIGHTSHARD_IDLE_TIMEOUT=60", `NIGHTSHARD_IDLE_TIMEOUT is "60": want a time with its unit, such as 90s, 5m or 2h; it sets: how long a server may stay silent before the call fails`},
		{"NIGHTSHARD_IDLE_TIMEOUT=0s", `NIGHTSHARD_IDLE_TIMEOUT is 0s, want a time above zero, such as 30s`},
		{"NIGHTSHARD_WORK_TIMEOUT=-30m", `NIGHTSHARD_WORK_TIMEOUT is -30m0s, want a time above zero, such as 30s`},
		{"NIGHTSHARD_SHEDULE=off", `NIGHTSHARD_SHEDULE is set, but no service knows it: correct the name or unset it (--help lists all)`},
		{"NIGHTSHARD_DAY=tomorrow", `NIGHTSHARD_DAY: parse day rule "tomorrow": want "today" or "yesterday"`},
		{"NIGHTSHARD_UNUSUAL=ignore", `NIGHTSHARD_UNUSUAL is "ignore", want warn or fail`},
		{"NIGHTSHARD_KEEP=14", `NIGHTSHARD_KEEP: parse retention "14": "14" does not end in d, w, m or y; want parts such as 14d 8w 12m 3y (days, weeks, months, years), or nothing to keep all`},
		{"NIGHTSHARD_KEEP_OLD=maybe", `NIGHTSHARD_KEEP_OLD is "maybe": want true or false; it sets: whether all days of the old scripts stay; false: NIGHTSHARD_KEEP is for them too`},
		{"NIGHTSHARD_SCHEDULE=55", `NIGHTSHARD_SCHEDULE is "55": expected exactly 5 fields, found 1: [55]; want five fields such as "55 23 * * *", or off`},
		{"NIGHTSHARD_PARALLEL=0", `NIGHTSHARD_PARALLEL is 0, want a number above zero`},
		{"NIGHTSHARD_COUNT_PAUSE=-1s", `NIGHTSHARD_COUNT_PAUSE is -1s, want 0s or a time above zero, such as 30s`},
		{"NIGHTSHARD_PRODUCTION_URL=influx:8086", `NIGHTSHARD_PRODUCTION_URL is "influx:8086": it does not begin with http:// or https:// and a host, want an address such as http://influx-1:8086`},
		{"NIGHTSHARD_PRODUCTION_URL=http://u:sesame@influx:8086", `NIGHTSHARD_PRODUCTION_URL is that of influx:8086 and holds a user: put user and password into their own settings, an address is printed in logs`},
		{"NIGHTSHARD_PRODUCTION_URL=http://u:sesame%@influx:8086", `NIGHTSHARD_PRODUCTION_URL cannot be read as an address, want one such as http://influx-1:8086, without user and password`},
		{"NIGHTSHARD_PRODUCTION_SNAPSHOT=influx", `NIGHTSHARD_PRODUCTION_SNAPSHOT is "influx", want host:port, such as influx-1:8088`},
		{"NIGHTSHARD_PRODUCTION_SNAPSHOT=http://influx:8088", `NIGHTSHARD_PRODUCTION_SNAPSHOT is "http://influx:8088", want host:port, such as influx-1:8088`},
		{"NIGHTSHARD_LISTEN=nowhere", `NIGHTSHARD_LISTEN is "nowhere", want host:port, such as 127.0.0.1:9421`},
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
