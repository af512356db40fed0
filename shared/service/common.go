package service

import (
	"fmt"
	"net/url"
	"slices"
	"time"
	_ "time/tzdata" // zones are known on machines and images without the database

	"github.com/rs/zerolog"
)

// Problems are what is wrong with the common settings.
func (c *Common) Problems() []string {
	var problems []string
	if _, err := time.LoadLocation(c.TimeZone); err != nil {
		problems = append(problems, fmt.Sprintf("NIGHTSHARD_TIMEZONE is %q: %v; want a name such as Europe/Berlin", c.TimeZone, err))
	}
	if !slices.Contains([]int{1, 3, 5}, c.Replicas) {
		problems = append(problems, fmt.Sprintf("NIGHTSHARD_STREAM_REPLICAS is %d, want 1, 3 or 5", c.Replicas))
	}
	if _, err := zerolog.ParseLevel(c.LogLevel); err != nil {
		problems = append(problems, fmt.Sprintf("NIGHTSHARD_LOG_LEVEL is %q, want debug, info, warn or error", c.LogLevel))
	}
	if !slices.Contains([]string{"", "json", "console", "journal"}, c.LogFormat) {
		problems = append(problems, fmt.Sprintf("NIGHTSHARD_LOG_FORMAT is %q, want json, console or journal", c.LogFormat))
	}
	if c.SegmentBytes < 0 {
		problems = append(problems, fmt.Sprintf("NIGHTSHARD_SEGMENT_BYTES is %d, want 0 for Swift's own limit or a number of bytes", c.SegmentBytes))
	}
	if !slices.Contains([]string{"", "json", "slack"}, c.WebhookFormat) {
		problems = append(problems, fmt.Sprintf("NIGHTSHARD_WEBHOOK_FORMAT is %q, want json or slack", c.WebhookFormat))
	}
	return append(problems, SecretURL("NIGHTSHARD_WEBHOOK_URL", c.WebhookURL)...)
}

// SecretURL is the problem of a setting that is no URL of HTTP, if it is set. The
// URL may hold a secret, so it is not quoted.
func SecretURL(name, value string) []string {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return []string{name + " is no URL, want one such as https://example.com/path"}
	}
	return nil
}

// Location is the time zone of the settings, which Problems has checked.
func (c *Common) Location() *time.Location {
	loc, err := time.LoadLocation(c.TimeZone)
	if err != nil {
		return time.UTC
	}
	return loc
}

// Positive names each of a service's own settings, and of those that all
// services have, that must be above zero and is not.
func (c *Common) Positive(own map[string]int64) []string {
	var problems []string
	for name, d := range map[string]time.Duration{
		"NIGHTSHARD_IDLE_TIMEOUT": c.IdleTimeout, "NIGHTSHARD_WORK_TIMEOUT": c.WorkTimeout,
		"NIGHTSHARD_ACK_WAIT": c.AckWait, "NIGHTSHARD_RETRY_WAIT": c.RetryWait,
	} {
		if d <= 0 {
			problems = append(problems, fmt.Sprintf("%s is %s, want a time above zero, such as 30s", name, d))
		}
	}
	slices.Sort(problems)
	return append(problems, Positive(own)...)
}

// Positive names each of the settings that is not above zero.
func Positive(settings map[string]int64) []string {
	var problems []string
	for name, n := range settings {
		if n <= 0 {
			problems = append(problems, fmt.Sprintf("%s is %d, want a number above zero", name, n))
		}
	}
	slices.Sort(problems)
	return problems
}
