package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/influx"
	"nightshard/shared/intermediary"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// dumper writes dumps. The files of this package follow the steps of one.
type dumper struct {
	cfg      *config
	loc      *time.Location
	store    objstore.Store
	http     *influx.Client
	slots    chan struct{} // as many as dumps may run at the same time
	progress func(*pb.Progress)
	now      func() time.Time
	log      zerolog.Logger
}

// inTurn gives a handler one of the slots. All measurements get the event at the
// same moment: hundreds of them would ask the servers at once even before their
// dumps begin.
func (p *dumper) inTurn(next events.Handler) events.Handler {
	return func(ctx context.Context, d *events.Delivery) ([]proto.Message, error) {
		select {
		case p.slots <- struct{}{}:
			defer func() { <-p.slots }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return next(ctx, d)
	}
}

// onRestore is the handler of one measurement's durable: it dumps the restored
// day, and the days before whose dumps had to end at the cut-off and can be
// completed now.
func (p *dumper) onRestore(measurement string) events.Handler {
	return func(ctx context.Context, d *events.Delivery) ([]proto.Message, error) {
		in, ok := d.Message.(*pb.RestoreCompleted)
		if !ok {
			return nil, events.Permanent(events.Step("accept", fmt.Errorf("take %s: it is no end of a restore", d.Subject)))
		}
		day, err := night.ParseDay(in.GetDay())
		if err != nil {
			return nil, events.Permanent(events.Step("accept", err))
		}
		if db := in.GetDatabase(); db != p.cfg.Database {
			return nil, events.Permanent(events.Step("accept", fmt.Errorf("take %s: unknown database %q; this service dumps %q: restore and dump with services of one NIGHTSHARD_DATABASE", d.Subject, db, p.cfg.Database)))
		}
		identity, err := p.identity(ctx, in.GetRestoreId())
		if err != nil {
			return nil, events.Step("identity", err)
		}
		days, err := p.incomplete(ctx, measurement, day, identity)
		if err != nil {
			return nil, events.Step("incomplete", err)
		}
		return p.dumpDays(ctx, measurement, p.cfg.RetentionPolicy, append(days, day), identity)
	}
}

// onRequest dumps what an operator asks for from what the intermediary holds.
func (p *dumper) onRequest(ctx context.Context, d *events.Delivery) ([]proto.Message, error) {
	in, ok := d.Message.(*pb.DumpRequested)
	if !ok {
		return nil, events.Permanent(events.Step("accept", fmt.Errorf("take %s: it is no request for a dump", d.Subject)))
	}
	days, err := p.span(in)
	if err != nil {
		return nil, events.Permanent(events.Step("accept", err))
	}
	identity, err := p.identity(ctx, "")
	if err != nil {
		return nil, events.Step("identity", err)
	}
	if err := p.ours(ctx, days); err != nil {
		return nil, events.Step("accept", err)
	}
	policy := in.GetRetentionPolicy()
	if policy == "" {
		policy = p.cfg.RetentionPolicy
	}
	return p.dumpDays(ctx, in.GetMeasurement(), policy, days, identity)
}

// maxSpan bounds the days of one request: ten years.
const maxSpan = 3660

// span reads the days of a request.
func (p *dumper) span(in *pb.DumpRequested) ([]night.Day, error) {
	if in.GetMeasurement() == "" {
		return nil, errors.New("take request: it names no measurement; set \"measurement\"")
	}
	if db := in.GetDatabase(); db != "" && db != p.cfg.Database {
		return nil, fmt.Errorf("take request: unknown database %q; this service dumps %q: ask for that, or leave the database out", db, p.cfg.Database)
	}
	from, err := night.ParseDay(in.GetFrom())
	if err != nil {
		return nil, fmt.Errorf("take request: from: %w", err)
	}
	to := from
	if text := in.GetTo(); text != "" {
		if to, err = night.ParseDay(text); err != nil {
			return nil, fmt.Errorf("take request: to: %w", err)
		}
	}
	if to.Before(from) {
		return nil, fmt.Errorf("take request: it ends on %s, before it begins on %s; give the earlier day as \"from\"", to, from)
	}
	if today := night.DayOf(p.now(), p.loc); today.Before(to) {
		return nil, fmt.Errorf("take request: day %s has not come yet, today is %s in %s; ask for days up to today", to, today, p.loc)
	}
	var days []night.Day
	for day := from; !to.Before(day); day = day.Add(1) {
		if days = append(days, day); len(days) > maxSpan {
			return nil, fmt.Errorf("take request: %s to %s are more than %d days; ask for them in parts", from, to, maxSpan)
		}
	}
	return days, nil
}

// errSuperseded says that another restore has replaced the one of the event.
var errSuperseded = errors.New("another restore has taken its place")

// identity reads which restore stands in the intermediary. It must be complete,
// and the one of the event when restoreID is given.
func (p *dumper) identity(ctx context.Context, restoreID string) (intermediary.Identity, error) {
	id, ok, err := intermediary.Read(ctx, p.http, p.cfg.Database)
	switch {
	case err != nil:
		return id, err //nolint:wrapcheck // it names the identity
	case !ok:
		return id, events.Permanent(fmt.Errorf("look at %s: no restore by Nightshard stands there; restore a day first", p.cfg.URL))
	case id.State != intermediary.Complete:
		return id, fmt.Errorf("look at %s: the restore of %s is not finished", p.cfg.URL, id.Day)
	case restoreID != "" && id.RestoreID != restoreID:
		return id, events.Permanent(fmt.Errorf("look at %s: the restore of %s stands there: %w", p.cfg.URL, id.Day, errSuperseded))
	}
	return id, p.stands(ctx, id)
}

// errGone says that what a restore put there is not there any more, although no
// other restore says that it took its place.
var errGone = errors.New("its database was dropped since; restore the day again")

// stands makes sure that the restored database is the one that stands there: a
// DROP DATABASE that came late, from a restore that was frozen for a while,
// leaves the identity as it was. A user who may not list shards cannot tell.
func (p *dumper) stands(ctx context.Context, id intermediary.Identity) error {
	if id.Shard == 0 {
		return nil
	}
	shards, err := p.http.Shards(ctx)
	if errors.Is(err, influx.ErrUnauthorized) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("show shards of the intermediary: %w", err)
	}
	if !slices.ContainsFunc(shards, func(s influx.ShardInfo) bool { return s.ID == id.Shard && s.Database == p.cfg.Database }) {
		return fmt.Errorf("look at %s: the restore of %s: %w", p.cfg.URL, id.Day, errGone)
	}
	return nil
}

// dumpDays writes one dump a day.
func (p *dumper) dumpDays(ctx context.Context, measurement, policy string, days []night.Day, identity intermediary.Identity) ([]proto.Message, error) {
	if policy == "" {
		var err error
		if policy, err = p.defaultPolicy(ctx); err != nil {
			return nil, events.Step("policy", err)
		}
	}
	var out []proto.Message
	for _, day := range days {
		done, err := p.dump(ctx, task{day: day, measurement: measurement, policy: policy, identity: identity})
		if err != nil {
			return nil, events.Step("dump", err)
		}
		out = append(out, done)
	}
	return out, nil
}

// defaultPolicy is the database's default retention policy.
func (p *dumper) defaultPolicy(ctx context.Context) (string, error) {
	policies, err := p.http.RetentionPolicies(ctx, p.cfg.Database)
	if err != nil {
		return "", fmt.Errorf("find default retention policy of %q: %w", p.cfg.Database, err)
	}
	for _, rp := range policies {
		if rp.Default {
			return rp.Name, nil
		}
	}
	return "", events.Permanent(fmt.Errorf("find default retention policy of %q: there is none; set NIGHTSHARD_RETENTION_POLICY", p.cfg.Database))
}

// failed is the event of a dump that came to nothing; measurement is empty for
// a request, which names its own.
func (p *dumper) failed(measurement string) func(*events.Delivery, error) proto.Message {
	return func(d *events.Delivery, err error) proto.Message {
		out := &pb.DumpFailed{
			Measurement: measurement, Database: p.cfg.Database, Error: err.Error(), Step: events.StepOf(err),
		}
		switch in := d.Message.(type) {
		case *pb.RestoreCompleted:
			out.Day = in.GetDay()
		case *pb.DumpRequested:
			out.Day, out.Measurement = in.GetFrom(), in.GetMeasurement()
		}
		return out
	}
}
