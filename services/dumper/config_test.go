package main

import (
	"strings"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
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

func TestAMeasurementWhoseNameSwiftCannotHoldIsRefused(t *testing.T) {
	t.Parallel()
	c := config{
		Common: service.Common{TimeZone: "UTC", Replicas: 1, IdleTimeout: time.Second, WorkTimeout: time.Second, AckWait: time.Second, RetryWait: time.Second, LogLevel: "info"}, Measurements: measurements{strings.Repeat("/", 400)},
		Records: 1000, Parallel: 1, Format: "json",
	}
	if problems := c.Problems(); len(problems) != 1 || !strings.Contains(problems[0], "NIGHTSHARD_MEASUREMENTS") {
		t.Errorf("problems %v", problems)
	}
}

func TestAFormatThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	c := config{
		Common:       service.Common{TimeZone: "UTC", Replicas: 1, IdleTimeout: time.Second, WorkTimeout: time.Second, AckWait: time.Second, RetryWait: time.Second, LogLevel: "info"},
		Measurements: measurements{"cpu"}, Records: 1000, Parallel: 1, Format: "JSON",
	}
	if problems := c.Problems(); len(problems) != 1 || !strings.Contains(problems[0], `NIGHTSHARD_DUMP_FORMAT: read format "JSON": want one of json, `) {
		t.Errorf("problems %v", problems)
	}
}

func TestARequestNamesItsDays(t *testing.T) {
	t.Parallel()
	p := &dumper{cfg: &config{Common: service.Common{Database: "db"}}, loc: time.UTC, now: func() time.Time { return time.Date(2016, 7, 1, 12, 0, 0, 0, time.UTC) }}
	days, err := p.span(&pb.DumpRequested{Measurement: "cpu", From: "2016-02-27", To: "2016-03-01"})
	if err != nil || len(days) != 4 || days[2].String() != "2016-02-29" {
		t.Errorf("days %v, %v", days, err)
	}
	for want, in := range map[string]*pb.DumpRequested{
		"no measurement":      {From: "2016-06-01"},
		"unknown database":    {Measurement: "cpu", From: "2016-06-01", Database: "other"},
		"from":                {Measurement: "cpu"},
		"to":                  {Measurement: "cpu", From: "2016-06-01", To: "June"},
		"before it begins":    {Measurement: "cpu", From: "2016-06-02", To: "2016-06-01"},
		"has not come yet":    {Measurement: "cpu", From: "2016-07-02"},
		"more than 3660 days": {Measurement: "cpu", From: "1990-01-01", To: "2016-01-01"},
	} {
		if _, err := p.span(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", in, err, want)
		}
	}
}

func TestWrongCertificatesOfTheIntermediaryAreNamed(t *testing.T) {
	t.Parallel()
	c := config{
		Common: service.Common{TimeZone: "UTC", Replicas: 1, IdleTimeout: time.Second, WorkTimeout: time.Second, AckWait: time.Second, RetryWait: time.Second, LogLevel: "info"}, Measurements: measurements{"cpu"},
		Records: 1000, Parallel: 1, Format: "json", CA: "/no/where", Key: "/no/key", URL: "https://db:8086",
	}
	if problems := c.Problems(); len(problems) != 2 || !strings.Contains(problems[0], "NIGHTSHARD_INTERMEDIARY_CA") || !strings.Contains(problems[1], "NIGHTSHARD_INTERMEDIARY_CERT") {
		t.Errorf("problems %v", problems)
	}
}
