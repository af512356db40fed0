package main

import (
	"fmt"
	"time"

	"nightshard/shared/night"
	"nightshard/shared/service"
	"nightshard/shared/trust"
)

// config are the settings of the dumper.
type config struct {
	service.Common
	Listen          string       `envconfig:"NIGHTSHARD_LISTEN" default:"127.0.0.1:9423" desc:"address of the health page and the metrics"`
	URL             string       `envconfig:"NIGHTSHARD_INTERMEDIARY_URL" default:"http://127.0.0.1:8086" desc:"HTTP address of the intermediary InfluxDB"`
	User            string       `envconfig:"NIGHTSHARD_INTERMEDIARY_USER" desc:"user at the intermediary; an administrator: each restore drops the database, and with it the rights of others"`
	Password        string       `envconfig:"NIGHTSHARD_INTERMEDIARY_PASSWORD" desc:"password of that user"`
	CA              string       `envconfig:"NIGHTSHARD_INTERMEDIARY_CA" desc:"PEM file of the authorities to trust for https, in place of the system's"`
	Cert            string       `envconfig:"NIGHTSHARD_INTERMEDIARY_CERT" desc:"PEM file of a client certificate, where a proxy before the intermediary wants one"`
	Key             string       `envconfig:"NIGHTSHARD_INTERMEDIARY_KEY" desc:"PEM file of the private key of NIGHTSHARD_INTERMEDIARY_CERT"`
	Measurements    measurements `envconfig:"NIGHTSHARD_MEASUREMENTS" required:"true" desc:"measurements to dump, separated by commas (\\, for a comma), or a JSON array"`
	RetentionPolicy string       `envconfig:"NIGHTSHARD_RETENTION_POLICY" desc:"retention policy to dump from; the database's default when empty"`
	Records         int          `envconfig:"NIGHTSHARD_DUMP_RECORDS" default:"1000" desc:"records that the intermediary sends in one increment"`
	Format          string       `envconfig:"NIGHTSHARD_DUMP_FORMAT" default:"json" desc:"how dumps are written: json, ndjson, csv, json.gz, ndjson.gz, csv.gz or parquet"`
	Parallel        int          `envconfig:"NIGHTSHARD_DUMP_PARALLEL" default:"2" desc:"dumps that this process writes at the same time"`
}

// Problems implements service.Validator.
func (c *config) Problems() []string {
	problems := c.Common.Problems()
	if _, err := night.ParseFormat(c.Format); err != nil {
		problems = append(problems, fmt.Sprintf("NIGHTSHARD_DUMP_FORMAT: %v", err))
	}
	for _, m := range c.Measurements {
		if _, err := night.DumpObjectIn(night.DayOf(time.Unix(0, 0), time.UTC), m, c.format()); err != nil {
			problems = append(problems, fmt.Sprintf("NIGHTSHARD_MEASUREMENTS: %v", err))
		}
	}
	problems = append(problems, service.Address("NIGHTSHARD_INTERMEDIARY_URL", c.URL)...)
	problems = append(problems, service.HostPort("NIGHTSHARD_LISTEN", c.Listen, "127.0.0.1:9423")...)
	problems = append(problems, c.tls().Problems(c.URL)...)
	return append(problems, c.Positive(map[string]int64{
		"NIGHTSHARD_DUMP_RECORDS": int64(c.Records), "NIGHTSHARD_DUMP_PARALLEL": int64(c.Parallel),
	})...)
}

// login begins the names of the settings with which the dumper logs in.
const login = "NIGHTSHARD_INTERMEDIARY"

// tls are the certificates for the intermediary.
func (c *config) tls() trust.Settings {
	return trust.Settings{Names: trust.Prefixed(login), CA: c.CA, Cert: c.Cert, Key: c.Key}
}

// format is how dumps are written. Problems has checked it.
func (c *config) format() night.Format { return night.Format(c.Format) }

// measurements is a list of names as the setting writes it.
type measurements []string

// Decode implements envconfig.Decoder.
func (m *measurements) Decode(text string) error {
	names, err := night.ParseMeasurements(text)
	if err != nil {
		return err //nolint:wrapcheck // envconfig names the setting
	}
	*m = names
	return nil
}
