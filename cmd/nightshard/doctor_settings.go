package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/rs/zerolog"

	"nightshard/shared/night"
	"nightshard/shared/service"
)

// commonOf reads what all services share, as far as it can be read.
func commonOf(e map[string]string) service.Common {
	c := service.Common{
		NATS: service.NATS{
			URL: e["NATS_URL"], Creds: e["NATS_CREDS"], User: e["NATS_USER"], Password: e["NATS_PASSWORD"],
			Token: e["NATS_TOKEN"], NKey: e["NATS_NKEY"], CA: e["NATS_CA"], Cert: e["NATS_CERT"], Key: e["NATS_KEY"],
		},
		Database: e["NIGHTSHARD_DATABASE"], TimeZone: e["NIGHTSHARD_TIMEZONE"], SubjectPrefix: e["NIGHTSHARD_SUBJECT_PREFIX"],
	}
	if n, err := strconv.Atoi(e["NIGHTSHARD_STREAM_REPLICAS"]); err == nil {
		c.Replicas = n
	}
	return c
}

// judges say what is wrong with the value of a setting. Each stands for what the
// service that reads the setting refuses.
func judges() map[string]func(string) error {
	duration := func(least time.Duration) func(string) error {
		return func(text string) error {
			d, err := time.ParseDuration(text)
			if err == nil && d < least {
				err = errors.New("it must be above zero")
			}
			return err
		}
	}
	return map[string]func(string) error{
		"NIGHTSHARD_ACK_WAIT": duration(1), "NIGHTSHARD_IDLE_TIMEOUT": duration(1), "NIGHTSHARD_RETRY_WAIT": duration(1),
		"NIGHTSHARD_WORK_TIMEOUT": duration(1), "NIGHTSHARD_COUNT_PAUSE": duration(0), "NIGHTSHARD_DUMPER_WAIT": duration(0),
		"NIGHTSHARD_COUNT_PARALLEL": number(1), "NIGHTSHARD_DUMP_PARALLEL": number(1), "NIGHTSHARD_DUMP_RECORDS": number(1),
		"NIGHTSHARD_FULL_EVERY": number(1), "NIGHTSHARD_PARALLEL": number(1), "NIGHTSHARD_RESTORE_FULL_EVERY": number(1),
		"NIGHTSHARD_SEGMENT_BYTES": number(0), "NIGHTSHARD_STREAM_REPLICAS": oneOf("1", "3", "5"),
		"NIGHTSHARD_DAY":        parsed(night.ParseRule),
		"NIGHTSHARD_KEEP":       parsed(night.ParseKeep),
		"NIGHTSHARD_KEEP_OLD":   parsed(strconv.ParseBool),
		"NIGHTSHARD_TIMEZONE":   parsed(time.LoadLocation),
		"NIGHTSHARD_SCHEDULE":   parsed(schedule),
		"NIGHTSHARD_LOG_LEVEL":  parsed(zerolog.ParseLevel),
		"NIGHTSHARD_LOG_FORMAT": oneOf("json", "console", "journal"), "NIGHTSHARD_RESTORE_MODE": oneOf("online", "incremental", "offline"),
		"NIGHTSHARD_PRODUCTION_URL": httpURL, "NIGHTSHARD_INTERMEDIARY_URL": httpURL,
		"NIGHTSHARD_PRODUCTION_SNAPSHOT": hostPort, "NIGHTSHARD_INTERMEDIARY_SNAPSHOT": hostPort, "NIGHTSHARD_LISTEN": hostPort,
		"NIGHTSHARD_MEASUREMENTS": measurements,
		"NIGHTSHARD_SPOOL_DIR":    folder,
		"NATS_CREDS":              file, "NATS_NKEY": file, "NATS_CA": file, "NATS_CERT": file, "NATS_KEY": file, "OS_CACERT": file,
	}
}

// parsed is the judge that a parser is.
func parsed[T any](parse func(string) (T, error)) func(string) error {
	return func(text string) error {
		_, err := parse(text)
		return err
	}
}

func number(least int64) func(string) error {
	return func(text string) error {
		n, err := strconv.ParseInt(text, 10, 64)
		if err == nil && n < least {
			err = fmt.Errorf("it must be %d or more", least)
		}
		return err
	}
}

func oneOf(words ...string) func(string) error {
	return func(text string) error {
		if !slices.Contains(words, text) {
			return fmt.Errorf("want %s", strings.Join(words, ", "))
		}
		return nil
	}
}

func measurements(text string) error {
	names, err := night.ParseMeasurements(text)
	if err != nil {
		return err //nolint:wrapcheck // the caller names the setting
	}
	for _, name := range names {
		if _, err := night.DumpObject(night.DayOf(time.Unix(0, 0), time.UTC), name); err != nil {
			return err //nolint:wrapcheck // it names the measurement
		}
	}
	return nil
}

func httpURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("want an address such as http://influx-1:8086")
	case u.User != nil:
		return errors.New("put user and password into their own settings, an address is printed in logs")
	}
	return nil
}

func hostPort(text string) error {
	_, _, err := net.SplitHostPort(text)
	return err //nolint:wrapcheck // the caller names the setting
}

func folder(text string) error {
	info, err := os.Stat(text)
	if err == nil && !info.IsDir() {
		err = errors.New("it is no folder")
	}
	return err
}

func file(text string) error {
	f, err := os.Open(text) //nolint:gosec // the operator's own setting
	if err == nil {
		err = f.Close()
	}
	return err //nolint:wrapcheck // it names the file
}

// noSecret hides a password in a value that may be an address.
func noSecret(value string) string {
	if u, err := url.Parse(value); err == nil && u.User != nil {
		return u.Redacted()
	}
	return value
}

// schedule reads NIGHTSHARD_SCHEDULE; nil for off.
func schedule(text string) (cron.Schedule, error) {
	if text == "off" {
		return nil, nil //nolint:nilnil // no schedule is a valid setting, not an error
	}
	s, err := cron.ParseStandard(text)
	if err != nil {
		return nil, fmt.Errorf("%w; want five fields such as \"55 23 * * *\", or off", err)
	}
	return s, nil
}

// checkSettings judges every value that is set here, whichever service reads it.
func (d *doctor) checkSettings(context.Context) findings {
	var f findings
	const why = "the services that read it do not start"
	for _, p := range d.wrong {
		f.problem(p, why, "correct it")
	}
	judges, set := judges(), 0
	for name, value := range d.vars {
		ours := strings.HasPrefix(name, "NIGHTSHARD_")
		if ours && !service.Known(name) {
			f.problem(name+" is set, but nothing reads it", "no service starts with a setting that somebody believes in and nobody reads", "correct the name or unset it")
			continue
		}
		judge := judges[name]
		if value == "" || judge == nil {
			continue
		}
		set++
		if err := judge(value); err != nil {
			f.problem(fmt.Sprintf("%s is %q: %v", name, noSecret(value), err), why, "correct it; each service prints its settings with --help")
		}
	}
	d.required(&f)
	slices.SortFunc(f, func(x, y finding) int { return strings.Compare(x.What, y.What) })
	if len(f) == 0 {
		f.ok("%s can be read, and none is wrong", plural(set, "setting"))
	}
	return f
}

// required names what no service starts without.
func (d *doctor) required(f *findings) {
	for name, what := range map[string]string{
		"NIGHTSHARD_DATABASE":     "no service starts without the name of the database",
		"NIGHTSHARD_MEASUREMENTS": "the dumper does not start without the names of its measurements",
	} {
		if d.vars[name] == "" {
			f.unknown(name+" is not set here", what, "run the doctor with the settings of the services")
		}
	}
	if d.vars["NIGHTSHARD_RESTORE_MODE"] != "offline" {
		return
	}
	for _, name := range []string{"NIGHTSHARD_RESTORE_METADIR", "NIGHTSHARD_RESTORE_DATADIR"} {
		if err := folder(d.vars[name]); err != nil {
			f.problem(fmt.Sprintf("%s is %q: %v", name, d.vars[name], err), "an offline restore writes there", "name the intermediary's folder, on the machine of the restore service")
		}
	}
	for _, name := range []string{"NIGHTSHARD_RESTORE_STOP", "NIGHTSHARD_RESTORE_START"} {
		if d.vars[name] == "" {
			f.problem(name+" is missing", "an offline restore stops the intermediary and starts it again", "set it to a command, such as systemctl stop influxdb")
		}
	}
}

// checkSchedule says when the next night begins.
func (d *doctor) checkSchedule(context.Context) findings {
	var f findings
	text := orElse(d.vars["NIGHTSHARD_SCHEDULE"], "55 23 * * *")
	loc, err := time.LoadLocation(d.vars["NIGHTSHARD_TIMEZONE"])
	if err != nil {
		return nil // the settings say it
	}
	s, err := schedule(text)
	if err != nil {
		return nil // the settings say it
	}
	if s == nil {
		f.warning("NIGHTSHARD_SCHEDULE is off", "no night begins by itself", "have something publish backup.requested every night, or set a schedule")
		return f
	}
	next := s.Next(d.now().In(loc))
	if next.IsZero() {
		f.problem(fmt.Sprintf("NIGHTSHARD_SCHEDULE %q never comes due", text), "no night begins", "correct it: five fields such as \"55 23 * * *\"")
		return f
	}
	rule := night.Rule(orElse(d.vars["NIGHTSHARD_DAY"], string(night.Today)))
	set := ""
	if d.vars["NIGHTSHARD_SCHEDULE"] == "" {
		set = ", by the default schedule, since none is set here"
	}
	f.ok("the next backup begins %s (%s), in %s, and carries %s%s", next.Format("Mon 2006-01-02 15:04 MST"),
		next.UTC().Format("15:04 UTC"), spanText(next.Sub(d.now())), rule.Day(next, loc), set)
	d.fits(&f, next, rule)
	return f
}

// fits holds the hour against the day that the backup carries.
func (d *doctor) fits(f *findings, next time.Time, rule night.Rule) {
	switch hour := next.Hour(); {
	case rule == night.Today && hour < 12:
		f.warning(fmt.Sprintf("the backup at %s carries the day that has just begun (NIGHTSHARD_DAY=today)", next.Format("15:04")),
			"its first dump holds only the hours since midnight; the night after completes it", "set NIGHTSHARD_DAY=yesterday for a schedule after midnight")
	case rule == night.Yesterday && hour >= 12:
		f.warning(fmt.Sprintf("the backup at %s carries the day before (NIGHTSHARD_DAY=yesterday)", next.Format("15:04")),
			"the present day is backed up only tomorrow", "set NIGHTSHARD_DAY=today for a schedule before midnight")
	}
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
