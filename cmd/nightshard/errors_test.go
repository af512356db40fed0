package main

import (
	"strings"
	"testing"
	"time"

	"nightshard/shared/objstore/memory"
	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// Each row is one command that cannot be done, with its exit code and the whole
// of what its operator reads before the word on where to look.
func TestEachWrongCommandSaysWhatToDo(t *testing.T) {
	t.Parallel()
	const misused, failed = service.ExitMisuse, service.ExitFailed
	clock := func(a *app) { a.now = func() time.Time { return time.Date(2016, 6, 3, 12, 0, 0, 0, time.UTC) } }
	dir := t.TempDir()
	for _, row := range []struct {
		args string
		code int
		want string
	}{
		{"bogus", misused, `unknown command "bogus" for "nightshard"`},
		{"--bogus", misused, `unknown flag: --bogus`},
		{"list extra", misused, `nightshard list takes no argument, got "extra"`},
		{"list --last -1", misused, `--last is -1, want a number above zero`},
		{"list --last x", misused, `--last is "x", want a whole number`},
		{"list --json=often", misused, `--json is "often", want true or false`},
		{"show", misused, `nightshard show takes DAY, got nothing`},
		{"show a b", misused, `nightshard show takes DAY, got "a" "b"`},
		{"show 2016-06-31", misused, `parse day "2016-06-31": want a calendar date such as 2016-06-01`},
		{"show 2016-01-01", failed, `show 2016-01-01: Swift at memory has no container of that name: see nightshard list`},
		{"verify", misused, `nightshard verify takes DAY or all, got nothing`},
		{"verify 2016-13-01", misused, `parse day "2016-13-01": want a calendar date such as 2016-06-01, or all`},
		{"verify 2016-06-01 --level deep", misused, `--level: level "deep" is not known; want listing, content or restored`},
		{"verify 2016-01-01", failed, `verify 2016-01-01: Swift at memory has no container of that name: see nightshard list`},
		{"request", misused, `say what to request: nightshard request backup, restore or dump`},
		{"request bogus", misused, `unknown command "bogus" for "nightshard request"`},
		{"request restore", misused, `nightshard request restore takes DAY or newest, got nothing`},
		{"request restore yesterday", misused, `parse day "yesterday": want a calendar date such as 2016-06-01`},
		{"request restore 2999-01-01", misused, `day 2999-01-01 has not come yet, today is 2016-06-03 in UTC (NIGHTSHARD_TIMEZONE): ask for a day up to today`},
		{"request backup --timeout 1h", misused, `--timeout is 1h0m0s: it needs --follow and a time above zero, such as 2h`},
		{"request backup --timeout 10", misused, `--timeout is "10", want a time with its unit, such as 90s or 24h`},
		{"request dump --measurement cpu", misused, `--measurement is "cpu" and --from is "": both are required, such as --measurement cpu --from 2016-06-01`},
		{"request dump --measurement cpu --from 2016-06-02 --to 2016-06-01", misused, `--to 2016-06-01 is before --from 2016-06-02: give the earlier day as --from`},
		{"dumps 2016-06", misused, `nightshard dumps takes SPAN and DIR, got "2016-06"`},
		{"dumps x DIR", misused, `parse span "x": want a day, a month (2016-06), a year, 2016-06-01..2016-06-15 or a pattern (2016-06-0*)`},
		{"dumps 2016-06-02..2016-06-01 DIR", misused, `parse span "2016-06-02..2016-06-01": it ends before it begins, give the earlier day first`},
		{"dumps 2016-06 DIR --format xml", misused, `--format: read format "xml": want one of json, ndjson, csv, json.gz, ndjson.gz, csv.gz, parquet`},
		{"dumps 2016-06 DIR --parallel 0", misused, `--parallel is 0, want a number above zero`},
		{"dumps 2015 DIR", failed, `bring dumps: there is none in 2015: see nightshard list`},
		{"restore-files 2016-06-01", misused, `nightshard restore-files takes DAY and DIR, got "2016-06-01"`},
		{"restore-files 2016-06-01 DIR --parallel 0", misused, `--parallel is 0, want a number above zero`},
		{"restore-files 2016-01-01 DIR", failed, `bring 2016-01-01: Swift at memory has no container of that name: see nightshard list`},
		{"restore-files 2016-06-04 DIR", failed, `bring 2016-06-04: its backup is unfinished, it has no manifest: back the day up again, or take another`},
		{"watch --since x", misused, `--since is "x", want a time with its unit, such as 90s or 24h`},
		{"watch --since -1h", misused, `--since is -1h0m0s, want a time above zero, such as 24h`},
		{"prune --keep 14", misused, `--keep: parse retention "14": "14" does not end in d, w, m or y; want parts such as 14d 8w 12m 3y (days, weeks, months, years), or nothing to keep all`},
		{"prune --dry-run", misused, `no rule says what stays: set NIGHTSHARD_KEEP as for the backup service, or give --keep, such as --keep "14d 8w 12m 3y"`},
	} {
		t.Run(row.args, func(t *testing.T) {
			t.Parallel()
			r := cli{store: house(t), change: clock}.run(t, strings.Fields(strings.ReplaceAll(row.args, "DIR", dir))...)
			text, _, _ := strings.Cut(r.err, "\nSee: nightshard")
			text = strings.TrimSuffix(strings.TrimPrefix(text, "nightshard: "), "\n")
			if r.code != row.code || text != row.want {
				t.Fatalf("exit code %d, %q,\nwant %d, %q", r.code, text, row.code, row.want)
			}
			testbed.Message(t, text)
		})
	}
}

// Each row is one wrong setting of the command.
func TestEachWrongSettingOfTheCommandSaysWhatToDo(t *testing.T) {
	t.Parallel()
	const v1 = "ST_AUTH=http://127.0.0.1:1/auth/v1.0 ST_USER=u:v ST_KEY=sesame "
	for _, row := range []struct{ env, args, want string }{
		{"NIGHTSHARD_FOO=x", "list", `NIGHTSHARD_FOO is set, but nothing reads it: correct the name or unset it`},
		{"NATS_PASSWORD_FILE=/no/where", "list", `NATS_PASSWORD_FILE is "/no/where": no such file or directory; want a file that holds the secret`},
		{"NATS_PASSWORD=sesame", "status", `NATS_PASSWORD is set without a user: set NATS_USER too`},
		{"NATS_URL=nats://u:sesame%@h", "request backup", `NATS_URL: the NATS URL cannot be read: use nats://HOST:PORT, with special characters of a password percent-encoded`},
		{"NATS_CERT=/no/where", "request backup", `NATS_CERT is set without NATS_KEY: a client certificate and its key are needed together, set both`},
		{"NATS_KEY=/no/where", "request backup", `NATS_KEY is set without NATS_CERT: a client certificate and its key are needed together, set both`},
		{"NATS_CREDS=/no/where", "request backup", `NATS_CREDS is "/no/where": no such file or directory; want a credentials file as nsc writes it, with the user's JWT and seed`},
		{"NIGHTSHARD_SUBJECT_PREFIX=a..b", "request backup", `NIGHTSHARD_SUBJECT_PREFIX is "a..b", want tokens of A-Z a-z 0-9 _ - joined by dots`},
		{"ST_AUTH=nonsense ST_USER=u ST_KEY=sesame", "list", `Swift login: set ST_AUTH to a URL that begins with http:// or https://, it is "nonsense"`},
		{"ST_AUTH=u:sesame@nonsense ST_USER=u ST_KEY=sesame", "list", `Swift login: set ST_AUTH to a URL that begins with http:// or https://, without user and password`},
		{"ST_USER=u ST_KEY=sesame", "list", `Swift login: set ST_AUTH (where to log in, such as http://HOST:8080/auth/v1.0)`},
		{v1 + "ST_KEY_FILE=/no/where", "list", `ST_KEY and ST_KEY_FILE are both set: unset one of them`},
		{v1 + "OS_CACERT=/no/where", "list", `Swift login: OS_CACERT is "/no/where": no such file or directory; want a PEM file of the authorities to trust`},
		{v1 + "OS_ENDPOINT_TYPE=secret", "list", `Swift login: set OS_ENDPOINT_TYPE (or OS_INTERFACE) to public, internal or admin, it is "secret"`},
		{v1, "list", `open Swift: log in to Swift at http://127.0.0.1:1/auth/v1.0: Get "http://127.0.0.1:1/auth/v1.0": dial tcp 127.0.0.1:1: connect: connection refused: check that it runs and that ST_* or OS_* name it`},
	} {
		t.Run(row.env, func(t *testing.T) {
			t.Parallel()
			c := cli{env: map[string]string{}, change: hasty}
			if row.args == "status" {
				c.store = memory.New()
			}
			for entry := range strings.FieldsSeq(row.env) {
				name, value, _ := strings.Cut(entry, "=")
				c.env[name] = value
			}
			r := c.run(t, strings.Fields(row.args)...)
			shown, _, _ := strings.Cut(r.err+r.out, "\nSee: nightshard")
			found := ""
			for line := range strings.Lines(shown) {
				if line = strings.TrimSpace(line); strings.HasSuffix(line, row.want) {
					found = line
				}
			}
			if r.code == service.ExitDone || found == "" {
				t.Fatalf("exit code %d, %q,\nwant a line %q", r.code, r.err+r.out, row.want)
			}
			testbed.Message(t, found)
		})
	}
}
