package service

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kelseyhightower/envconfig"
)

// Common are the settings that every service has.
type Common struct {
	NATS
	Database      string `envconfig:"NIGHTSHARD_DATABASE" required:"true" desc:"InfluxDB database that is backed up, restored and dumped"`
	TimeZone      string `envconfig:"NIGHTSHARD_TIMEZONE" default:"UTC" desc:"time zone of days and of the schedule, such as Europe/Berlin"`
	SubjectPrefix string `envconfig:"NIGHTSHARD_SUBJECT_PREFIX" desc:"put before every subject, with a dot between"`
	Replicas      int    `envconfig:"NIGHTSHARD_STREAM_REPLICAS" default:"1" desc:"copies of the event stream: 1, 3 or 5; a stream that has more keeps them"`
	LogLevel      string `envconfig:"NIGHTSHARD_LOG_LEVEL" default:"info" desc:"debug, info, warn or error"`
	LogFormat     string `envconfig:"NIGHTSHARD_LOG_FORMAT" desc:"json, console or journal (for systemd's: levels without times); console is the default on a terminal"`
	// IdleTimeout is for every server that is asked: InfluxDB and Swift.
	IdleTimeout time.Duration `envconfig:"NIGHTSHARD_IDLE_TIMEOUT" default:"60s" desc:"how long a server may stay silent before the call fails"`
	// WorkTimeout is for InfluxDB: before an answer it may be silent for longer,
	// as long as it answers other questions within IdleTimeout.
	WorkTimeout  time.Duration `envconfig:"NIGHTSHARD_WORK_TIMEOUT" default:"30m" desc:"how long InfluxDB may work on one query, or take in one shard, before the call fails"`
	SegmentBytes int64         `envconfig:"NIGHTSHARD_SEGMENT_BYTES" default:"0" desc:"size above which an object is stored in segments of that size; 0 is Swift's own limit, about 5 GiB"`
	AckWait      time.Duration `envconfig:"NIGHTSHARD_ACK_WAIT" default:"60s" desc:"how long after a crash another replica takes the work over"`
	RetryWait    time.Duration `envconfig:"NIGHTSHARD_RETRY_WAIT" default:"5s" desc:"wait before the second attempt after an error; the later waits are 6, 24 and 60 times as long"`
	// WebhookURL may hold a secret: it is never told.
	WebhookURL    string `envconfig:"NIGHTSHARD_WEBHOOK_URL" desc:"URL that is told of each failure of this service, by POST"`
	WebhookFormat string `envconfig:"NIGHTSHARD_WEBHOOK_FORMAT" default:"json" desc:"what it is sent: json, or slack for an incoming webhook of Slack"`
}

// NATS are the settings of the connection to NATS, named as the nats CLI names
// them.
type NATS struct {
	URL      string `envconfig:"NATS_URL" default:"nats://127.0.0.1:4222" desc:"NATS servers, separated by commas"`
	Creds    string `envconfig:"NATS_CREDS" desc:"file with NATS credentials"`
	User     string `envconfig:"NATS_USER" desc:"NATS user"`
	Password string `envconfig:"NATS_PASSWORD" desc:"NATS password"`
	Token    string `envconfig:"NATS_TOKEN" desc:"NATS token"`
	NKey     string `envconfig:"NATS_NKEY" desc:"file with a NATS NKEY seed"`
	CA       string `envconfig:"NATS_CA" desc:"file with the certificate authority of the NATS servers"`
	Cert     string `envconfig:"NATS_CERT" desc:"file with a TLS client certificate for NATS"`
	Key      string `envconfig:"NATS_KEY" desc:"file with the key of NATS_CERT"`
}

// known are the NIGHTSHARD_ names that any part of the project reads. A service
// refuses every other one: it would be a setting that somebody believes in and
// nobody reads. A test of each service holds its settings against this list.
func known() []string {
	return []string{
		"NIGHTSHARD_ACK_WAIT",
		"NIGHTSHARD_COUNT_PARALLEL",
		"NIGHTSHARD_COUNT_PAUSE",
		"NIGHTSHARD_DATABASE",
		"NIGHTSHARD_DAY",
		"NIGHTSHARD_DUMPER_WAIT",
		"NIGHTSHARD_DUMP_FORMAT",
		"NIGHTSHARD_DUMP_PARALLEL",
		"NIGHTSHARD_DUMP_RECORDS",
		"NIGHTSHARD_FULL_EVERY",
		"NIGHTSHARD_HEARTBEAT_URL",
		"NIGHTSHARD_HEARTBEAT_URL_FILE",
		"NIGHTSHARD_IDLE_TIMEOUT",
		"NIGHTSHARD_INTERMEDIARY_CA",
		"NIGHTSHARD_INTERMEDIARY_CERT",
		"NIGHTSHARD_INTERMEDIARY_KEY",
		"NIGHTSHARD_INTERMEDIARY_PASSWORD",
		"NIGHTSHARD_INTERMEDIARY_PASSWORD_FILE",
		"NIGHTSHARD_INTERMEDIARY_SNAPSHOT",
		"NIGHTSHARD_INTERMEDIARY_URL",
		"NIGHTSHARD_INTERMEDIARY_USER",
		"NIGHTSHARD_KEEP",
		"NIGHTSHARD_KEEP_OLD",
		"NIGHTSHARD_LISTEN",
		"NIGHTSHARD_LOG_FORMAT",
		"NIGHTSHARD_LOG_LEVEL",
		"NIGHTSHARD_MEASUREMENTS",
		"NIGHTSHARD_PARALLEL",
		"NIGHTSHARD_PRODUCTION_CA",
		"NIGHTSHARD_PRODUCTION_CERT",
		"NIGHTSHARD_PRODUCTION_KEY",
		"NIGHTSHARD_PRODUCTION_PASSWORD",
		"NIGHTSHARD_PRODUCTION_PASSWORD_FILE",
		"NIGHTSHARD_PRODUCTION_SNAPSHOT",
		"NIGHTSHARD_PRODUCTION_URL",
		"NIGHTSHARD_PRODUCTION_USER",
		"NIGHTSHARD_RESTORE_DATADIR",
		"NIGHTSHARD_RESTORE_FULL_EVERY",
		"NIGHTSHARD_RESTORE_METADIR",
		"NIGHTSHARD_RESTORE_MODE",
		"NIGHTSHARD_RESTORE_START",
		"NIGHTSHARD_RESTORE_STOP",
		"NIGHTSHARD_RETENTION_POLICY",
		"NIGHTSHARD_RETRY_WAIT",
		"NIGHTSHARD_SCHEDULE",
		"NIGHTSHARD_SEGMENT_BYTES",
		"NIGHTSHARD_SPOOL_DIR",
		"NIGHTSHARD_STREAM_REPLICAS",
		"NIGHTSHARD_SUBJECT_PREFIX",
		"NIGHTSHARD_TIMEZONE",
		"NIGHTSHARD_UNUSUAL",
		"NIGHTSHARD_WEBHOOK_FORMAT",
		"NIGHTSHARD_WEBHOOK_URL",
		"NIGHTSHARD_WEBHOOK_URL_FILE",
		"NIGHTSHARD_WORK_TIMEOUT",
	}
}

// Known says that some part of the project reads the setting.
func Known(name string) bool { return slices.Contains(known(), name) }

// ConfigError lists every problem of the settings. A service that meets one
// ends with exit code 2.
type ConfigError struct {
	Problems []string
}

// Error has one problem in each line.
func (e *ConfigError) Error() string {
	return "settings:\n  " + strings.Join(e.Problems, "\n  ")
}

// Validator is a set of settings that can judge itself once it is read.
type Validator interface {
	// Problems are what is wrong, each naming the setting, the reason and what
	// to do.
	Problems() []string
}

// Load reads the settings of the process environment, and of the files that it
// names for secrets, into the struct that cfg points to, whose fields carry
// envconfig's tags, and reports all problems at once: values missing or of the wrong type, NIGHTSHARD_ names that nobody
// reads, and what the struct's own Problems finds.
func Load(cfg any) error {
	env, problems := Secrets(Environ())
	problems = append(unknown(os.Environ()), problems...)
	var unread []string
	for _, field := range fields(reflect.ValueOf(cfg).Elem()) {
		if err := field.read(); err != nil {
			problems, unread = append(problems, err.Error()), append(unread, field.name())
		} else if isSecret(field.name()) {
			field.value.SetString(env[field.name()])
		}
	}
	if v, ok := cfg.(Validator); ok {
		for _, p := range v.Problems() {
			// What could not be read is reported already.
			if !slices.ContainsFunc(unread, func(name string) bool { return strings.Contains(p, name) }) {
				problems = append(problems, p)
			}
		}
	}
	if len(problems) > 0 {
		return &ConfigError{Problems: problems}
	}
	return nil
}

// Names are the names of the settings of the struct that cfg points to.
func Names(cfg any) []string {
	var names []string
	for _, f := range fields(reflect.ValueOf(cfg).Elem()) {
		names = append(names, f.name())
	}
	return names
}

// Usage prints the table of the settings of the struct that cfg points to.
func Usage(w io.Writer, cfg any) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, f := range fields(reflect.ValueOf(cfg).Elem()) {
		def := f.def.Tag.Get("default")
		switch {
		case f.def.Tag.Get("required") == "true":
			def = "required"
		case def == "":
			def = "-"
		}
		desc := f.def.Tag.Get("desc")
		if isSecret(f.name()) {
			desc += "; or " + f.name() + fileSuffix + ": a file that holds it"
		}
		if _, err := fmt.Fprintf(tw, "  %s\t%s\t%s\n", f.name(), def, desc); err != nil {
			return fmt.Errorf("print settings: %w", err)
		}
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print settings: %w", err)
	}
	return nil
}

// setting is one field of a settings struct.
type setting struct {
	def   reflect.StructField
	value reflect.Value
}

func (s setting) name() string { return s.def.Tag.Get("envconfig") }

// read has envconfig fill this one field. envconfig stops at the first problem
// of a struct; a struct of one field at a time lets us list all of them.
func (s setting) read() error {
	one := reflect.New(reflect.StructOf([]reflect.StructField{{
		Name: s.def.Name, Type: s.def.Type, Tag: s.def.Tag,
	}}))
	err := envconfig.Process("", one.Interface())
	var parse *envconfig.ParseError
	switch {
	case errors.As(err, &parse):
		return fmt.Errorf("%s is %q: %s; it sets: %s", s.name(), parse.Value, unreadable(s.value, parse.Err), s.def.Tag.Get("desc"))
	case err != nil:
		return fmt.Errorf("%s is missing: set it to the %s", s.name(), s.def.Tag.Get("desc"))
	}
	s.value.Set(one.Elem().Field(0))
	return nil
}

// unreadable says in an operator's words why a text is no value of v's type.
func unreadable(v reflect.Value, err error) string {
	switch v.Interface().(type) {
	case time.Duration:
		return "want a time with its unit, such as 90s, 5m or 2h"
	case bool:
		return "want true or false"
	case int, int64:
		return "want a whole number"
	}
	return err.Error() // a type of the service's own says it itself
}

// fields flattens the embedded structs of v.
func fields(v reflect.Value) []setting {
	var out []setting
	for i := range v.NumField() {
		def := v.Type().Field(i)
		if def.Anonymous {
			out = append(out, fields(v.Field(i))...)
			continue
		}
		if def.Tag.Get("envconfig") != "" {
			out = append(out, setting{def: def, value: v.Field(i)})
		}
	}
	return out
}

// unknown names each NIGHTSHARD_ setting of environ that nobody reads.
func unknown(environ []string) []string {
	var problems []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "NIGHTSHARD_") && !Known(name) {
			problems = append(problems, name+" is set, but no service knows it: correct the name or unset it (--help lists all)")
		}
	}
	slices.Sort(problems)
	return problems
}
