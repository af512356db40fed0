package main

import (
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/objstore/memory"
	"nightshard/shared/service"
	"nightshard/shared/testbed"
)

// Each row is a request that no second attempt makes right, and the whole text of
// its restore.failed.
func TestEachRequestThatCannotBeServedSaysWhy(t *testing.T) {
	t.Parallel()
	r := &restore{cfg: &config{Common: service.Common{Database: "db"}}, now: time.Now}
	for want, d := range map[string]events.Delivery{
		"take dump.requested: it asks for no restore": {Subject: events.DumpRequested, Message: &pb.DumpRequested{}},
		`take restore.requested: unknown database "other"; this service restores "db": ask for that, or leave the database out`: {Subject: events.RestoreRequested, Message: &pb.RestoreRequested{Day: "2016-06-01", Database: "other"}},
		`take restore.requested: parse day "June": want a calendar date such as 2016-06-01`:                                     {Subject: events.RestoreRequested, Message: &pb.RestoreRequested{Day: "June"}},
	} {
		_, err := r.accept(&d)
		if !events.IsPermanent(err) || err.Error() != want {
			t.Errorf("%v,\nwant %s", err, want)
			continue
		}
		testbed.Message(t, err.Error())
	}
}

// Each row is what a day's container holds that is no backup, or no whole one.
func TestEachDayThatCannotBeRestoredSaysWhy(t *testing.T) {
	t.Parallel()
	day, err := night.ParseDay("2016-06-01")
	if err != nil {
		t.Fatal(err)
	}
	for want, object := range map[string]string{
		"restore 2016-06-01: there is no backup of that day: Swift has no container of that name; nightshard list shows the days that there are":                              "",
		"list 2016-06-01: list container 2016-06-01: restore 2016-06-01: its backup is unfinished: it has no manifest; back the day up again":                                 "2016-06-01/incoming/run.json",
		"restore 2016-06-01: the container has neither a manifest nor a metastore (2016-06-01/shards/meta.00), so it holds no backup; nightshard list shows the days that do": "2016-06-01/notes.txt",
	} {
		store := memory.New()
		if object != "" {
			if _, err := store.Put(t.Context(), "2016-06-01", object, objstore.NewSource([]byte("x")), objstore.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		r := &restore{cfg: &config{Common: service.Common{Database: "db"}}, store: store}
		err := r.fromListing(t.Context(), &job{day: day}, &source{})
		if !events.IsPermanent(err) || err.Error() != want {
			t.Errorf("%v,\nwant %s", err, want)
			continue
		}
		testbed.Message(t, err.Error())
	}
}
