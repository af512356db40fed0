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
		{"NIGHTSHARD_RESTORE_MODE=fast", `NIGHTSHARD_RESTORE_MODE is "fast", want online, incremental or offline`},
		{"NIGHTSHARD_RESTORE_FULL_EVERY=0", `NIGHTSHARD_RESTORE_FULL_EVERY is 0, want a number above zero`},
		{"NIGHTSHARD_SPOOL_DIR=/no/where", `NIGHTSHARD_SPOOL_DIR is "/no/where": no such file or directory; want a folder that the service may write to`},
		{"NIGHTSHARD_SPOOL_DIR=/etc/passwd", `NIGHTSHARD_SPOOL_DIR is "/etc/passwd": it is no folder; want a folder that the service may write to`},
		{"NIGHTSHARD_HEARTBEAT_URL=sesame", `NIGHTSHARD_HEARTBEAT_URL is no URL, want one such as https://example.com/path`},
		{"NIGHTSHARD_DUMPER_WAIT=-2m", `NIGHTSHARD_DUMPER_WAIT is -2m0s, want 0s or a time above zero, such as 30s`},
		{"NIGHTSHARD_INTERMEDIARY_URL=ftp://x", `NIGHTSHARD_INTERMEDIARY_URL is "ftp://x": it does not begin with http:// or https:// and a host, want an address such as http://influx-1:8086`},
		{"NIGHTSHARD_INTERMEDIARY_SNAPSHOT=influx:eight", `NIGHTSHARD_INTERMEDIARY_SNAPSHOT is "influx:eight", want host:port, such as influx-2:8088`},
		{"NIGHTSHARD_COUNT_PARALLEL=-2", `NIGHTSHARD_COUNT_PARALLEL is -2, want a number above zero`},
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
