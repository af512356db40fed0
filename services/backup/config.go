package main

import (
	"fmt"
	"time"

	"github.com/robfig/cron/v3"

	"nightshard/shared/night"
	"nightshard/shared/service"
	"nightshard/shared/trust"
)

// config are the settings of the backup service.
type config struct {
	service.Common
	Listen     string        `envconfig:"NIGHTSHARD_LISTEN" default:"127.0.0.1:9421" desc:"address of the health page and the metrics"`
	URL        string        `envconfig:"NIGHTSHARD_PRODUCTION_URL" default:"http://127.0.0.1:8086" desc:"HTTP address of production's InfluxDB"`
	Snapshot   string        `envconfig:"NIGHTSHARD_PRODUCTION_SNAPSHOT" default:"127.0.0.1:8088" desc:"snapshot address (host:port) of production's InfluxDB"`
	User       string        `envconfig:"NIGHTSHARD_PRODUCTION_USER" desc:"user at production; it needs SHOW SHARDS, so it is an administrator"`
	Password   string        `envconfig:"NIGHTSHARD_PRODUCTION_PASSWORD" desc:"password of that user"`
	CA         string        `envconfig:"NIGHTSHARD_PRODUCTION_CA" desc:"PEM file of the authorities to trust for https, in place of the system's"`
	Cert       string        `envconfig:"NIGHTSHARD_PRODUCTION_CERT" desc:"PEM file of a client certificate, where a proxy before production wants one"`
	Key        string        `envconfig:"NIGHTSHARD_PRODUCTION_KEY" desc:"PEM file of the private key of NIGHTSHARD_PRODUCTION_CERT"`
	Schedule   string        `envconfig:"NIGHTSHARD_SCHEDULE" default:"55 23 * * *" desc:"when to ask for a backup, in cron's five fields, or off"`
	Day        string        `envconfig:"NIGHTSHARD_DAY" default:"today" desc:"the day that a backup carries: today or yesterday"`
	Parallel   int           `envconfig:"NIGHTSHARD_PARALLEL" default:"4" desc:"shards that are streamed at the same time"`
	Keep       string        `envconfig:"NIGHTSHARD_KEEP" desc:"days that stay: the newest of each of the last so many days, weeks, months and years, such as 14d 8w 12m 3y; empty keeps all"`
	KeepOld    bool          `envconfig:"NIGHTSHARD_KEEP_OLD" default:"true" desc:"whether all days of the old scripts stay; false: NIGHTSHARD_KEEP is for them too"`
	FullEvery  int           `envconfig:"NIGHTSHARD_FULL_EVERY" default:"30" desc:"nights after which at the latest a shard is read again that did not change; meanwhile it is copied inside Swift. 1 reads all every night"`
	Unusual    string        `envconfig:"NIGHTSHARD_UNUSUAL" default:"warn" desc:"what follows when a day differs from the one before in a way that retention does not explain: warn, or fail (a request with force accepts it)"`
	Counters   int           `envconfig:"NIGHTSHARD_COUNT_PARALLEL" default:"2" desc:"count queries that production gets at the same time"`
	CountPause time.Duration `envconfig:"NIGHTSHARD_COUNT_PAUSE" default:"0s" desc:"pause after each count query, to spare production"`
}

// Problems implements service.Validator.
func (c *config) Problems() []string {
	problems := c.Common.Problems()
	if _, err := night.ParseRule(c.Day); err != nil {
		problems = append(problems, fmt.Sprintf("NIGHTSHARD_DAY: %v", err))
	}
	if c.Unusual != unusualWarn && c.Unusual != unusualFail {
		problems = append(problems, fmt.Sprintf("NIGHTSHARD_UNUSUAL is %q, want %s or %s", c.Unusual, unusualWarn, unusualFail))
	}
	if _, err := night.ParseKeep(c.Keep); err != nil {
		problems = append(problems, fmt.Sprintf("NIGHTSHARD_KEEP: %v", err))
	}
	if _, err := parseSchedule(c.Schedule); err != nil {
		problems = append(problems, err.Error())
	}
	problems = append(problems, service.Address("NIGHTSHARD_PRODUCTION_URL", c.URL)...)
	problems = append(problems, service.HostPort("NIGHTSHARD_PRODUCTION_SNAPSHOT", c.Snapshot, "influx-1:8088")...)
	problems = append(problems, service.HostPort("NIGHTSHARD_LISTEN", c.Listen, "127.0.0.1:9421")...)
	problems = append(problems, service.NotNegative("NIGHTSHARD_COUNT_PAUSE", c.CountPause)...)
	problems = append(problems, c.tls().Problems(c.URL)...)
	return append(problems, c.Positive(map[string]int64{
		"NIGHTSHARD_PARALLEL": int64(c.Parallel), "NIGHTSHARD_COUNT_PARALLEL": int64(c.Counters),
		"NIGHTSHARD_FULL_EVERY": int64(c.FullEvery),
	})...)
}

// login begins the names of the settings with which the service logs in.
const login = "NIGHTSHARD_PRODUCTION"

// tls are the certificates for production.
func (c *config) tls() trust.Settings {
	return trust.Settings{Names: trust.Prefixed(login), CA: c.CA, Cert: c.Cert, Key: c.Key}
}

// parseSchedule reads NIGHTSHARD_SCHEDULE; the schedule is nil for off.
func parseSchedule(text string) (cron.Schedule, error) {
	if text == "off" {
		return nil, nil //nolint:nilnil // no schedule is a valid setting, not an error
	}
	s, err := cron.ParseStandard(text)
	if err != nil {
		return nil, fmt.Errorf("NIGHTSHARD_SCHEDULE is %q: %w; want five fields such as \"55 23 * * *\", or off", text, err)
	}
	return s, nil
}
