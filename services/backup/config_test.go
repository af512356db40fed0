package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"nightshard/shared/service"
)

func TestEverySettingIsKnownToAllServices(t *testing.T) {
	t.Parallel()
	for _, name := range service.Names(&config{}) {
		if strings.HasPrefix(name, "NIGHTSHARD_") && !service.Known(name) {
			t.Errorf("%s is not in the list of known settings: every other service refuses it", name)
		}
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	t.Parallel()
	good := config{
		Common: service.Common{TimeZone: "Europe/Berlin", Replicas: 1, IdleTimeout: time.Second, WorkTimeout: time.Second, AckWait: time.Second, RetryWait: time.Second, LogLevel: "info"}, Day: "today", Schedule: "off",
		Parallel: 1, Counters: 1, FullEvery: 30, Unusual: unusualWarn,
	}
	if problems := good.Problems(); len(problems) > 0 {
		t.Fatalf("good settings: %v", problems)
	}
	for name, spoil := range map[string]func(*config){
		"NIGHTSHARD_DAY":             func(c *config) { c.Day = "tomorrow" },
		"NIGHTSHARD_SCHEDULE":        func(c *config) { c.Schedule = "55 23" },
		"NIGHTSHARD_UNUSUAL":         func(c *config) { c.Unusual = "ignore" },
		"NIGHTSHARD_KEEP":            func(c *config) { c.Keep = "14 days" },
		"NIGHTSHARD_PARALLEL":        func(c *config) { c.Parallel = 0 },
		"NIGHTSHARD_FULL_EVERY":      func(c *config) { c.FullEvery = 0 },
		"NIGHTSHARD_IDLE_TIMEOUT":    func(c *config) { c.IdleTimeout = -1 },
		"NIGHTSHARD_WORK_TIMEOUT":    func(c *config) { c.WorkTimeout = 0 },
		"NIGHTSHARD_RETRY_WAIT":      func(c *config) { c.RetryWait = 0 },
		"NIGHTSHARD_TIMEZONE":        func(c *config) { c.TimeZone = "Mars" },
		"NIGHTSHARD_STREAM_REPLICAS": func(c *config) { c.Replicas = 4 },
		"NIGHTSHARD_PRODUCTION_CA":   func(c *config) { c.CA = "/no/where" },
		"NIGHTSHARD_PRODUCTION_KEY":  func(c *config) { c.Cert = "cert.pem" },
	} {
		bad := good
		spoil(&bad)
		if problems := bad.Problems(); len(problems) != 1 || !strings.Contains(problems[0], name) {
			t.Errorf("%s: %v", name, problems)
		}
	}
	if !slices.Equal(service.Positive(map[string]int64{"A": 1}), nil) {
		t.Error("a good number is a problem")
	}
}
