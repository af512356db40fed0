package main

import (
	"strings"
	"testing"
	"time"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/service"
)

func TestRequestIsPublishedWithWhatWasAsked(t *testing.T) {
	t.Parallel()
	bus, env := startBus(t, "site1")
	env["NIGHTSHARD_DATABASE"] = "db"
	for _, args := range []string{
		"request backup --day 2016-06-01 --force --reason why",
		"request restore 2016-06-02 --force",
		"request dump --measurement cpu --from 2016-06-01 --to 2016-06-03 --rp weekly",
	} {
		cli{env: env}.run(t, strings.Fields(args)...).done(t).shows(t, "site1.", "NIGHTSHARD_SITE1")
	}
	var bodies []string
	err := bus.History(t.Context(), events.FromFirst(), func(e events.Event) error {
		bodies = append(bodies, e.Subject+" "+string(e.Data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`backup.requested {"day":"2016-06-01","database":"db","force":true,"reason":"why","schema":1}`,
		`restore.requested {"day":"2016-06-02","database":"db","force":true,"schema":1}`,
		`dump.requested {"measurement":"cpu","retentionPolicy":"weekly","from":"2016-06-01","to":"2016-06-03","database":"db","schema":1}`,
	}
	if strings.Join(bodies, "\n") != strings.Join(want, "\n") {
		t.Errorf("stream\n%s\nwant\n%s", strings.Join(bodies, "\n"), strings.Join(want, "\n"))
	}
}

func TestRequestAsJSON(t *testing.T) {
	t.Parallel()
	_, env := startBus(t, "")
	r := decode[askedReport](t, cli{env: env}.run(t, "request", "backup", "--json").done(t))
	if r.Subject != "backup.requested" || r.Stream != "NIGHTSHARD" || r.Sequence != 1 || len(r.Message) == 0 {
		t.Errorf("report %+v", r)
	}
}

func TestImpossibleRequestsAreRefusedBeforeTheyAreSent(t *testing.T) {
	t.Parallel()
	bus, env := startBus(t, "")
	env["NIGHTSHARD_TIMEZONE"] = "Pacific/Auckland"
	// In Auckland it is the 2nd, in UTC still the 1st.
	clock := func(a *app) { a.now = func() time.Time { return time.Date(2016, 6, 1, 20, 0, 0, 0, time.UTC) } }
	for args, word := range map[string]string{
		"request backup --day 2016-6-1":                                         "2016-6-1",
		"request backup --day 2016-06-03":                                       "has not come yet",
		"request restore tomorrow":                                              "tomorrow",
		"request restore 2016-06-03":                                            "Pacific/Auckland",
		"request dump --from 2016-06-01":                                        "--measurement",
		"request dump --measurement cpu":                                        "--from",
		"request dump --measurement cpu --from 2016-06-02 --to 2016-06-01":      "before",
		"request dump --measurement cpu --from 2016-06-01 --to 2016-06-03":      "has not come yet",
		"request dump --measurement cpu --from x --to y":                        `"y"`,
		"request restore 2016-06-01 --timeout 1h":                               "--follow",
		"request restore 2016-06-01 --follow --timeout -1h":                     "--timeout",
		"request dump --measurement cpu --from 2016-06-01 --to 2016-06-02 more": "more",
	} {
		r := cli{env: env, change: clock}.run(t, strings.Fields(args)...)
		if r.code != service.ExitMisuse || !strings.Contains(r.err, word) {
			t.Errorf("%s: exit code %d\n%s", args, r.code, r.err)
		}
	}
	cli{env: env, change: clock}.run(t, "request", "restore", "2016-06-02").done(t)
	n := 0
	if err := bus.History(t.Context(), events.FromFirst(), func(e events.Event) error {
		if _, ok := e.Message.(*pb.RestoreRequested); ok {
			n++
		}
		return nil
	}); err != nil || n != 1 {
		t.Errorf("%d requests in the stream, %v", n, err)
	}
}
