package main

import (
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// Each row is a request that no second attempt makes right, and the whole text of
// its backup.failed.
func TestEachRequestThatCannotBeServedSaysWhy(t *testing.T) {
	t.Parallel()
	b := &backup{
		cfg: &config{Common: service.Common{Database: "db"}}, loc: time.UTC, rule: night.Today,
		now: func() time.Time { return time.Date(2016, 6, 3, 12, 0, 0, 0, time.UTC) },
	}
	for want, d := range map[string]events.Delivery{
		"take dump.requested: it is no request for a backup":                                                          {Subject: events.DumpRequested, Message: &pb.DumpRequested{}},
		`take request: unknown database "other"; this service backs up "db": ask for that, or leave the database out`: {Message: &pb.BackupRequested{Database: "other"}},
		`take request: parse day "June": want a calendar date such as 2016-06-01`:                                     {Message: &pb.BackupRequested{Day: "June"}},
		"take request: day 2999-01-01 has not come yet, today is 2016-06-03 in UTC; ask for a day up to today":        {Message: &pb.BackupRequested{Day: "2999-01-01"}},
	} {
		_, err := b.accept(&d)
		if !events.IsPermanent(err) || err.Error() != want {
			t.Errorf("%v,\nwant %s", err, want)
			continue
		}
		testbed.Message(t, err.Error())
	}
}
