package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"nightshard/shared/events"
	"nightshard/shared/night"
)

// doctorLook is the time between two looks at the durables.
const doctorLook = 700 * time.Millisecond

// checkNATS looks at server, stream, durables and rights. It makes nothing.
func (d *doctor) checkNATS(ctx context.Context) findings {
	var f findings
	c := d.common
	bound, cancel := context.WithTimeout(ctx, 2*d.patience)
	defer cancel()
	found, err := events.Inspect(bound, events.Config{
		URL: c.URL, Creds: c.Creds, User: c.User, Password: c.Password, Token: c.Token, NKey: c.NKey, CA: c.CA, Cert: c.Cert, Key: c.Key,
		// A user of deploy/nats hears the inbox of its own program alone.
		Name: "nightshard-doctor", InboxPrefix: events.InboxPrefix(c.User), Prefix: c.SubjectPrefix, Replicas: c.Replicas, Log: zerolog.Nop(),
	}, doctorLook)
	if err != nil {
		f.problem("NATS: "+err.Error(), "the services wait for each other's events there: without it no step begins", "check that nats-server runs with JetStream and that NATS_* name it")
		return f
	}
	f.ok("NATS %s answers at %s", found.Version, found.URL)
	d.denied(&f, found)
	if found.Missing {
		f.warning(fmt.Sprintf("NATS has no stream %s", found.Stream), "no event is kept, and no service has ever been started with these settings",
			"start the services: they make it; or correct NATS_URL and NIGHTSHARD_SUBJECT_PREFIX")
		return f
	}
	d.stream(&f, found)
	d.durables(&f, found)
	return f
}

func (d *doctor) stream(f *findings, found *events.Inspection) {
	for _, wrong := range found.Wrong {
		f.problem(fmt.Sprintf("stream %s: %s", found.Stream, wrong), "the steps of the night rely on it", "nats stream edit "+found.Stream+", or remove it and restart the services")
	}
	if found.Lost > 0 {
		f.warning(fmt.Sprintf("stream %s: %d of its %d copies are away or behind", found.Stream, found.Lost, found.Replicas),
			"without a majority it takes no event", "look at the other NATS servers")
	}
	if len(found.Wrong) == 0 && found.Lost == 0 {
		f.ok("stream %s is as the services need it; copies: %d", found.Stream, found.Replicas)
	}
}

// denied says what the user of this environment may not do.
func (d *doctor) denied(f *findings, found *events.Inspection) {
	if len(found.Denied) == 0 {
		f.ok("the NATS user that is set here may publish every event")
		return
	}
	f.warning("the NATS user that is set here may not publish on "+strings.Join(found.Denied, ", "),
		"a service that logs in as this user cannot tell what it has done, and its step seems to hang",
		"grant it, unless the services have users of their own that may")
}

// durables says who is not there to take tonight's events.
func (d *doctor) durables(f *findings, found *events.Inspection) {
	at := map[string]events.InspectedConsumer{}
	for _, c := range found.Consumers {
		at[c.Name] = c
		for _, wrong := range c.Wrong {
			f.problem(fmt.Sprintf("durable %s: %s", c.Name, wrong), "its service takes other events than it should, or in another way",
				fmt.Sprintf("restart its service, which sets it right; else nats consumer rm %s %s", found.Stream, c.Name))
		}
	}
	d.atWork(f, at, "backup", "services/backup", "nobody takes backup.requested: there is no backup")
	d.atWork(f, at, "restore", "services/restore", "nobody restores the day: it is not proved, and there are no dumps")
	named := map[string]bool{}
	names, err := night.ParseMeasurements(d.vars["NIGHTSHARD_MEASUREMENTS"])
	if err != nil {
		names = nil // missing or wrong: a finding on the settings
	}
	for _, m := range names {
		durable := dumperPrefix + events.Slug(m)
		named[durable] = true
		d.atWork(f, at, durable, "services/dumper for "+m, "there is no dump of "+m)
	}
	d.retired(f, found, named)
}

func (d *doctor) atWork(f *findings, at map[string]events.InspectedConsumer, durable, service, why string) {
	c, ok := at[durable]
	do := "start " + service + "; is it there and still not seen, compare its NATS_URL and NIGHTSHARD_SUBJECT_PREFIX"
	switch {
	case !ok:
		f.problem(fmt.Sprintf("%s was never started: NATS has no durable %s", service, durable), why, do)
	case c.Waiting == 0 && c.AckPending == 0:
		f.problem(fmt.Sprintf("%s does not run: nobody asks for events at durable %s", service, durable), why, do)
	case c.AckPending > 0:
		f.ok("%s is at work", service)
	default:
		f.ok("%s waits for its event; processes: %d", service, c.Waiting)
	}
}

// retired names dumpers that hold each restore up.
func (d *doctor) retired(f *findings, found *events.Inspection, named map[string]bool) {
	for _, c := range found.Consumers {
		if !strings.HasPrefix(c.Name, dumperPrefix) || named[c.Name] || c.Waiting > 0 || c.AckPending > 0 {
			continue
		}
		f.warning(fmt.Sprintf("nobody works for durable %s any more; %s wait there", c.Name, plural(c.Pending, "event")),
			"each restore waits for it, NIGHTSHARD_DUMPER_WAIT at most, 2m by default", fmt.Sprintf("start its dumper, or if that was retired: nats consumer rm %s %s", found.Stream, c.Name))
	}
}
