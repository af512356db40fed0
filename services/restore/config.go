package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"nightshard/shared/service"
	"nightshard/shared/trust"
)

// config are the settings of the restore service.
type config struct {
	service.Common
	Listen     string        `envconfig:"NIGHTSHARD_LISTEN" default:"127.0.0.1:9422" desc:"address of the health page and the metrics"`
	URL        string        `envconfig:"NIGHTSHARD_INTERMEDIARY_URL" default:"http://127.0.0.1:8086" desc:"HTTP address of the intermediary InfluxDB; its copy of the database is dropped and replaced"`
	Snapshot   string        `envconfig:"NIGHTSHARD_INTERMEDIARY_SNAPSHOT" default:"127.0.0.1:8088" desc:"snapshot address (host:port) of the intermediary InfluxDB"`
	User       string        `envconfig:"NIGHTSHARD_INTERMEDIARY_USER" desc:"user at the intermediary; it needs to be an administrator"`
	Password   string        `envconfig:"NIGHTSHARD_INTERMEDIARY_PASSWORD" desc:"password of that user"`
	CA         string        `envconfig:"NIGHTSHARD_INTERMEDIARY_CA" desc:"PEM file of the authorities to trust for https, in place of the system's"`
	Cert       string        `envconfig:"NIGHTSHARD_INTERMEDIARY_CERT" desc:"PEM file of a client certificate, where a proxy before the intermediary wants one"`
	Key        string        `envconfig:"NIGHTSHARD_INTERMEDIARY_KEY" desc:"PEM file of the private key of NIGHTSHARD_INTERMEDIARY_CERT"`
	Mode       string        `envconfig:"NIGHTSHARD_RESTORE_MODE" default:"online" desc:"online; incremental: like online, but shards that the intermediary provably holds stay; or offline: stop the server, write its folders, start it"`
	FullEvery  int           `envconfig:"NIGHTSHARD_RESTORE_FULL_EVERY" default:"7" desc:"incremental: every so many restores one replaces all shards; 1 means each"`
	MetaDir    string        `envconfig:"NIGHTSHARD_RESTORE_METADIR" desc:"offline: the intermediary's folder of metadata, such as /var/lib/influxdb/meta"`
	DataDir    string        `envconfig:"NIGHTSHARD_RESTORE_DATADIR" desc:"offline: the intermediary's folder of data, such as /var/lib/influxdb/data"`
	Stop       string        `envconfig:"NIGHTSHARD_RESTORE_STOP" desc:"offline: command that stops the intermediary, words or a JSON array; no shell reads it"`
	Start      string        `envconfig:"NIGHTSHARD_RESTORE_START" desc:"offline: command that starts the intermediary and returns"`
	SpoolDir   string        `envconfig:"NIGHTSHARD_SPOOL_DIR" desc:"folder for files of more than 16 MiB that hold deleted points, while they are restored; none is written elsewhere"`
	Parallel   int           `envconfig:"NIGHTSHARD_PARALLEL" default:"3" desc:"shards that are restored at the same time"`
	Counters   int           `envconfig:"NIGHTSHARD_COUNT_PARALLEL" default:"2" desc:"count queries of the drill at the same time"`
	DumperWait time.Duration `envconfig:"NIGHTSHARD_DUMPER_WAIT" default:"2m" desc:"how long to wait for dumpers that have not yet taken the event of the restore before"`
	// HeartbeatURL may hold a secret: it is never told.
	HeartbeatURL string `envconfig:"NIGHTSHARD_HEARTBEAT_URL" desc:"URL that is asked after each good night, by GET: when the drill of a backup of the last 24 hours has passed"`
}

// The ways to restore.
const (
	modeOnline      = "online"
	modeIncremental = "incremental"
	modeOffline     = "offline"
)

// Problems implements service.Validator.
func (c *config) Problems() []string {
	problems := c.Common.Problems()
	switch c.Mode {
	case modeOnline, modeIncremental:
	case modeOffline:
		problems = append(problems, c.offlineProblems()...)
	default:
		problems = append(problems, fmt.Sprintf("NIGHTSHARD_RESTORE_MODE is %q, want %s, %s or %s", c.Mode, modeOnline, modeIncremental, modeOffline))
	}
	problems = append(problems, service.SecretURL("NIGHTSHARD_HEARTBEAT_URL", c.HeartbeatURL)...)
	problems = append(problems, service.Address("NIGHTSHARD_INTERMEDIARY_URL", c.URL)...)
	problems = append(problems, service.HostPort("NIGHTSHARD_INTERMEDIARY_SNAPSHOT", c.Snapshot, "influx-2:8088")...)
	problems = append(problems, service.HostPort("NIGHTSHARD_LISTEN", c.Listen, "127.0.0.1:9422")...)
	problems = append(problems, service.NotNegative("NIGHTSHARD_DUMPER_WAIT", c.DumperWait)...)
	if c.SpoolDir != "" {
		problems = append(problems, service.Folder("NIGHTSHARD_SPOOL_DIR", c.SpoolDir, "a folder that the service may write to")...)
	}
	problems = append(problems, c.tls().Problems(c.URL)...)
	return append(problems, c.Positive(map[string]int64{
		"NIGHTSHARD_PARALLEL": int64(c.Parallel), "NIGHTSHARD_COUNT_PARALLEL": int64(c.Counters),
		"NIGHTSHARD_RESTORE_FULL_EVERY": int64(c.FullEvery),
	})...)
}

// login begins the names of the settings with which the service logs in.
const login = "NIGHTSHARD_INTERMEDIARY"

// tls are the certificates for the intermediary.
func (c *config) tls() trust.Settings {
	return trust.Settings{Names: trust.Prefixed(login), CA: c.CA, Cert: c.Cert, Key: c.Key}
}

func (c *config) offlineProblems() []string {
	var problems []string
	problems = append(problems, service.Folder("NIGHTSHARD_RESTORE_METADIR", c.MetaDir, "the intermediary's folder of metadata, such as /var/lib/influxdb/meta: offline restores write there")...)
	problems = append(problems, service.Folder("NIGHTSHARD_RESTORE_DATADIR", c.DataDir, "the intermediary's folder of data, such as /var/lib/influxdb/data: offline restores write there")...)
	for _, cmd := range []struct{ name, text string }{
		{"NIGHTSHARD_RESTORE_STOP", c.Stop}, {"NIGHTSHARD_RESTORE_START", c.Start},
	} {
		if _, err := parseCommand(cmd.text); err != nil {
			problems = append(problems, fmt.Sprintf("%s is %q: %v; want a command such as systemctl stop influxdb", cmd.name, cmd.text, err))
		}
	}
	return problems
}

// parseCommand splits a command into its arguments: a JSON array of strings, or
// words between white space. There is no shell and no quoting.
func parseCommand(text string) ([]string, error) {
	var args []string
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		if err := json.Unmarshal([]byte(text), &args); err != nil {
			return nil, fmt.Errorf("read JSON array: %w", err)
		}
	} else {
		args = strings.Fields(text)
	}
	if len(args) == 0 || args[0] == "" {
		return nil, fmt.Errorf("no command")
	}
	return args, nil
}
