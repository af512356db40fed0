package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/influx"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// backup does the work of one delivery at a time. The files of this package
// follow its steps.
type backup struct {
	cfg      *config
	loc      *time.Location
	rule     night.Rule
	host     string
	store    objstore.Account
	snapshot *influx.Snapshot
	http     *influx.Client
	progress func(*pb.Progress)
	now      func() time.Time
	log      zerolog.Logger
	nights   chan struct{} // tells the keeper that one is stored
}

// job is one request on its way.
type job struct {
	id      string // of the delivery; the same after a redelivery
	day     night.Day
	force   bool
	started time.Time
	log     zerolog.Logger
}

// container is where the day's objects are.
func (j *job) container() string { return j.day.String() }

// handle answers a backup.requested. It may be called again after a crash at
// any instruction: what an earlier call left is finished or replaced.
func (b *backup) handle(ctx context.Context, d *events.Delivery) ([]proto.Message, error) {
	j, err := b.accept(d)
	if err != nil {
		return nil, events.Step("accept", err)
	}
	left, err := b.inspect(ctx, j)
	if err != nil {
		return nil, events.Step("inspect", err)
	}
	m, err := b.settle(ctx, j, &left)
	if err != nil {
		return nil, events.Step("settle", err)
	}
	if m == nil {
		if left, err = b.claim(ctx, j); err != nil {
			return nil, events.Step("claim", err)
		}
		if m, err = b.backUp(ctx, j, left); err != nil {
			b.unclaim(ctx, j)
			return nil, err
		}
	}
	b.done()
	return []proto.Message{completed(m)}, nil
}

// accept reads the request and names the day. Nothing that is wrong with a
// request becomes right by trying again.
func (b *backup) accept(d *events.Delivery) (*job, error) {
	req, ok := d.Message.(*pb.BackupRequested)
	if !ok {
		return nil, events.Permanent(fmt.Errorf("take %s: it is no request for a backup", d.Subject))
	}
	if db := req.GetDatabase(); db != "" && db != b.cfg.Database {
		return nil, events.Permanent(fmt.Errorf("take request: unknown database %q; this service backs up %q: ask for that, or leave the database out", db, b.cfg.Database))
	}
	// By the time of the request, so that a redelivery after midnight means the
	// same day.
	day := b.rule.Day(d.Time, b.loc)
	if text := req.GetDay(); text != "" {
		var err error
		if day, err = night.ParseDay(text); err != nil {
			return nil, events.Permanent(fmt.Errorf("take request: %w", err))
		}
	}
	if today := night.DayOf(b.now(), b.loc); today.Before(day) {
		return nil, events.Permanent(fmt.Errorf("take request: day %s has not come yet, today is %s in %s; ask for a day up to today", day, today, b.loc))
	}
	return &job{
		id: d.ID, day: day, force: req.GetForce(), started: b.now().UTC(),
		log: b.log.With().Str("day", day.String()).Int("attempt", d.Attempt).Logger(),
	}, nil
}

// backUp stores the day: in place when it holds nothing finished, else beside
// what is there until everything new is verified.
func (b *backup) backUp(ctx context.Context, j *job, left leftover) (*night.Manifest, error) {
	place := inPlace
	if left.finished() {
		place = func(object string) string { return night.Staged(j.day, object) }
	} else if err := b.begin(ctx, j); err != nil {
		return nil, events.Step("begin", err)
	}
	m, err := b.collect(ctx, j, place)
	if err != nil {
		return nil, err
	}
	if err := b.check(ctx, j, m, place); err != nil {
		return nil, events.Step("check", err)
	}
	if err := b.judge(ctx, j, m); err != nil {
		return nil, events.Step("unusual", b.leave(ctx, j, left, err))
	}
	if left.finished() {
		err = b.stage(ctx, j, m)
	} else {
		err = b.finish(ctx, j, m)
	}
	if err != nil {
		return nil, events.Step("finish", err)
	}
	return m, nil
}

// collect reads everything from production and stores it where place says.
func (b *backup) collect(ctx context.Context, j *job, place func(string) string) (*night.Manifest, error) {
	version, cutoff, err := b.http.Ping(ctx)
	if err != nil {
		return nil, events.Step("reach", err)
	}
	inv, err := b.inventory(ctx)
	if err != nil {
		return nil, events.Step("list", permanentIfUnknown(err))
	}
	m := &night.Manifest{
		Schema: night.Schema, Day: j.day.String(), Database: b.cfg.Database, TimeZone: b.loc.String(),
		Request: j.id, Cutoff: cutoff.UTC(), StartedAt: j.started,
		Production: night.Production{
			URL: b.cfg.URL, Snapshot: b.cfg.Snapshot, Host: b.host, Version: version,
			ClusterID: fmt.Sprint(inv.meta.ClusterID),
		},
	}
	inv, err = b.shards(ctx, j, inv, m, place)
	if err != nil {
		return nil, events.Step("shards", err)
	}
	m.RetentionPolicies = policies(inv.database)
	if m.Meta, err = b.putMeta(ctx, j, inv.raw, place); err != nil {
		return nil, events.Step("metastore", err)
	}
	return m, nil
}

// permanentIfUnknown ends a request for a database that production does not
// have.
func permanentIfUnknown(err error) error {
	if errors.Is(err, errUnknownDatabase) {
		return events.Permanent(err)
	}
	return err
}

// completed is the event that says what the manifest holds.
func completed(m *night.Manifest) *pb.BackupCompleted {
	return &pb.BackupCompleted{
		Day: m.Day, Container: m.Day, Database: m.Database,
		Shards:         int32(len(m.Shards)),      //nolint:gosec // a database has far fewer shards than 2^31
		CarriedForward: int32(m.CarriedForward()), //nolint:gosec // they are some of these
		Bytes:          m.Bytes(), Cutoff: timestamppb.New(m.Cutoff),
		StartedAt: timestamppb.New(m.StartedAt), FinishedAt: timestamppb.New(m.FinishedAt),
		Manifest: m.Day + "/manifest.json", ProductionVersion: m.Production.Version,
		Warnings: m.Warnings,
	}
}

// failed is the event of a request that came to nothing.
func (b *backup) failed(d *events.Delivery, err error) proto.Message {
	out := &pb.BackupFailed{Database: b.cfg.Database, Error: err.Error(), Step: events.StepOf(err)}
	if req, ok := d.Message.(*pb.BackupRequested); ok {
		out.Day = req.GetDay()
		if out.GetDay() == "" && out.GetStep() != events.StepRead {
			out.Day = b.rule.Day(d.Time, b.loc).String()
		}
	}
	return out
}

func policies(db influx.DatabaseMeta) []night.RetentionPolicy {
	var out []night.RetentionPolicy
	for _, rp := range db.RetentionPolicies {
		out = append(out, night.RetentionPolicy{
			Name: rp.Name, Default: rp.Name == db.DefaultRetentionPolicy,
			Duration: rp.Duration.String(), ShardGroupDuration: rp.ShardGroupDuration.String(),
		})
	}
	slices.SortFunc(out, func(a, b night.RetentionPolicy) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

func inPlace(object string) string { return object }
