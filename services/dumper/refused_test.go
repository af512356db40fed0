package main

import (
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// Each row is a request that no second attempt makes right, and the whole text of
// its dump.failed.
func TestEachRequestThatCannotBeServedSaysWhy(t *testing.T) {
	t.Parallel()
	p := &dumper{
		cfg: &config{Common: service.Common{Database: "db"}}, loc: time.UTC,
		now: func() time.Time { return time.Date(2016, 7, 1, 12, 0, 0, 0, time.UTC) },
	}
	for want, in := range map[string]*pb.DumpRequested{
		`take request: it names no measurement; set "measurement"`:                                                 {From: "2016-06-01"},
		`take request: unknown database "other"; this service dumps "db": ask for that, or leave the database out`: {Measurement: "cpu", From: "2016-06-01", Database: "other"},
		`take request: from: parse day "": want a calendar date such as 2016-06-01`:                                {Measurement: "cpu"},
		`take request: to: parse day "June": want a calendar date such as 2016-06-01`:                              {Measurement: "cpu", From: "2016-06-01", To: "June"},
		`take request: it ends on 2016-06-01, before it begins on 2016-06-02; give the earlier day as "from"`:      {Measurement: "cpu", From: "2016-06-02", To: "2016-06-01"},
		"take request: day 2016-07-02 has not come yet, today is 2016-07-01 in UTC; ask for days up to today":      {Measurement: "cpu", From: "2016-07-02"},
		"take request: 1990-01-01 to 2016-01-01 are more than 3660 days; ask for them in parts":                    {Measurement: "cpu", From: "1990-01-01", To: "2016-01-01"},
	} {
		_, err := p.span(in)
		if err == nil || err.Error() != want {
			t.Errorf("%v,\nwant %s", err, want)
			continue
		}
		testbed.Message(t, err.Error())
	}
}
