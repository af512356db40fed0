package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"nightshard/shared/night"
	"nightshard/shared/objstore/swift"
	"nightshard/shared/service"
	"nightshard/shared/trust"
)

// settings are what the reader chose.
type settings struct {
	env map[string]string // the whole process environment
	// database is backed up.
	database string
	// measurements are dumped; empty: the demonstration chooses.
	measurements []string
	// production is the reader's own InfluxDB, nil for sample data.
	production *server
	// swift is the login of the reader's own Swift, nil for the built-in one.
	swift map[string]string
	// services are the NIGHTSHARD_ settings that all services get as they are.
	services map[string]string
}

// server is the address of an InfluxDB.
type server struct {
	URL      string // of HTTP
	Snapshot string // host:port
	User     string
	Password string
	TLS      trust.Settings
}

// passedOn are settings that services get as the reader has set them.
func passedOn() []string {
	return []string{
		"NIGHTSHARD_COUNT_PARALLEL", "NIGHTSHARD_COUNT_PAUSE", "NIGHTSHARD_DAY", "NIGHTSHARD_DUMP_PARALLEL",
		"NIGHTSHARD_DUMP_RECORDS", "NIGHTSHARD_FULL_EVERY", "NIGHTSHARD_IDLE_TIMEOUT", "NIGHTSHARD_LOG_LEVEL", "NIGHTSHARD_PARALLEL",
		"NIGHTSHARD_RETENTION_POLICY", "NIGHTSHARD_SPOOL_DIR", "NIGHTSHARD_SUBJECT_PREFIX", "NIGHTSHARD_TIMEZONE",
		"NIGHTSHARD_WORK_TIMEOUT",
	}
}

// usedHere are settings that the demonstration itself reads.
func usedHere() []string {
	return []string{
		"NIGHTSHARD_DATABASE", "NIGHTSHARD_MEASUREMENTS", "NIGHTSHARD_PRODUCTION_URL", "NIGHTSHARD_PRODUCTION_SNAPSHOT",
		"NIGHTSHARD_PRODUCTION_USER", "NIGHTSHARD_PRODUCTION_PASSWORD",
		"NIGHTSHARD_PRODUCTION_CA", "NIGHTSHARD_PRODUCTION_CERT", "NIGHTSHARD_PRODUCTION_KEY",
	}
}

// readSettings reads the environment. Its error lists every problem.
func readSettings(env map[string]string) (settings, error) {
	set := settings{env: env, database: env["NIGHTSHARD_DATABASE"], services: map[string]string{
		// A whole day, whatever the time is now: the first dump is complete.
		"NIGHTSHARD_DAY": "yesterday",
	}}
	problems := set.take()
	var err error
	if set.production, err = ownProduction(env); err != nil {
		problems = append(problems, err.Error())
	}
	switch {
	case set.database != "":
	case set.production != nil:
		problems = append(problems, "NIGHTSHARD_DATABASE is missing: NIGHTSHARD_PRODUCTION_URL needs it, it names the database to back up")
	default:
		set.database = sampleDatabase
	}
	if text := strings.TrimSpace(env["NIGHTSHARD_MEASUREMENTS"]); text != "" {
		if set.measurements, err = night.ParseMeasurements(text); err != nil {
			problems = append(problems, fmt.Sprintf("NIGHTSHARD_MEASUREMENTS: %v", err))
		}
	}
	if set.production == nil && len(set.measurements) == 0 {
		set.measurements = []string{"cpu", "memory", "disk"}
	}
	if set.swift, err = ownSwift(env); err != nil {
		problems = append(problems, err.Error())
	}
	if len(problems) > 0 {
		return set, fmt.Errorf("read settings:\n  %s\n%w", strings.Join(problems, "\n  "), errMisuse)
	}
	return set, nil
}

// take sorts the NIGHTSHARD_ settings. One that would have no effect here is a
// problem: it would be a setting that somebody believes in and nobody reads.
func (s *settings) take() []string {
	var problems []string
	for name, value := range s.env {
		switch {
		case !strings.HasPrefix(name, "NIGHTSHARD_") || slices.Contains(usedHere(), name):
		case slices.Contains(passedOn(), name):
			s.services[name] = value
		case service.Known(name):
			problems = append(problems, name+" has no effect here, the demonstration starts servers of its own: unset it")
		default:
			problems = append(problems, name+" is set, but nothing reads it: correct the name or unset it")
		}
	}
	slices.Sort(problems)
	return problems
}

// prefix is put before every subject.
func (s *settings) prefix() string { return s.services["NIGHTSHARD_SUBJECT_PREFIX"] }

// ownProduction is the reader's own InfluxDB, nil if none is named.
func ownProduction(env map[string]string) (*server, error) {
	s := &server{
		URL: env["NIGHTSHARD_PRODUCTION_URL"], Snapshot: env["NIGHTSHARD_PRODUCTION_SNAPSHOT"],
		User: env["NIGHTSHARD_PRODUCTION_USER"], Password: env["NIGHTSHARD_PRODUCTION_PASSWORD"],
		TLS: trust.Settings{
			Names: trust.Prefixed("NIGHTSHARD_PRODUCTION"),
			CA:    env["NIGHTSHARD_PRODUCTION_CA"], Cert: env["NIGHTSHARD_PRODUCTION_CERT"], Key: env["NIGHTSHARD_PRODUCTION_KEY"],
		},
	}
	if s.URL == "" {
		if s.Snapshot+s.User+s.Password+s.TLS.CA+s.TLS.Cert+s.TLS.Key != "" {
			return nil, errors.New("NIGHTSHARD_PRODUCTION_URL is missing: the other NIGHTSHARD_PRODUCTION_ settings need it")
		}
		return nil, nil //nolint:nilnil // none is a valid choice
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("NIGHTSHARD_PRODUCTION_URL: want http://HOST:8086, the user in NIGHTSHARD_PRODUCTION_USER")
	}
	if wrong := s.TLS.Problems(s.URL); len(wrong) > 0 {
		return nil, errors.New(strings.Join(wrong, "\n  "))
	}
	if s.Snapshot == "" {
		s.Snapshot = net.JoinHostPort(u.Hostname(), "8088")
	}
	return s, nil
}

// ownSwift is the reader's own Swift login, nil if none is set.
func ownSwift(env map[string]string) (map[string]string, error) {
	if env["ST_AUTH"]+env["ST_USER"]+env["ST_KEY"]+env["OS_AUTH_URL"]+env["OS_STORAGE_URL"] == "" {
		return nil, nil //nolint:nilnil // none is a valid choice
	}
	login := map[string]string{}
	for name, value := range env {
		if strings.HasPrefix(name, "ST_") || strings.HasPrefix(name, "OS_") {
			login[name] = value
		}
	}
	if _, err := swift.ConfigFromEnv(login); err != nil {
		return nil, err //nolint:wrapcheck // it names the settings
	}
	return login, nil
}
