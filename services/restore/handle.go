package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/influx"
	"nightshard/shared/intermediary"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// restore does the work of one delivery at a time. The files of this package
// follow its steps.
type restore struct {
	cfg      *config
	host     string
	store    objstore.Store
	snapshot *influx.Snapshot
	http     *influx.Client
	dumpers  func(context.Context) ([]events.ConsumerState, error)
	progress func(*pb.Progress)
	now      func() time.Time
	log      zerolog.Logger
}

// job is one request on its way.
type job struct {
	id      string // of the delivery; the same after a redelivery
	day     night.Day
	asked   bool // by an operator, not by a backup's end
	force   bool
	started time.Time
	log     zerolog.Logger

	// What the restore did so far.
	newest uint64 // the highest id among the restored shards
	kept   int    // shards that the intermediary held already
	count  int    // restores in a row that kept some, this one included
	mu     sync.Mutex
	held   []intermediary.Held
}

// handle answers a backup.completed or a restore.requested. It may be called
// again after a crash at any instruction: it then begins anew, unless all was
// done but the answer.
func (r *restore) handle(ctx context.Context, d *events.Delivery) ([]proto.Message, error) {
	j, err := r.accept(d)
	if err != nil {
		return nil, events.Step("accept", err)
	}
	src, err := r.source(ctx, j)
	if err != nil {
		return nil, events.Step("source", err)
	}
	if err := r.ensureUp(ctx); err != nil {
		return nil, events.Step("reach", err)
	}
	if err := r.guard(ctx, j, src); err != nil {
		return nil, events.Step("guard", err)
	}
	done, err := r.settled(ctx, j, src)
	if err != nil {
		return nil, events.Step("settle", err)
	}
	if done != nil {
		return []proto.Message{r.completed(j, src, done)}, nil
	}
	if err := r.awaitDumpers(ctx, j); err != nil {
		return nil, events.Step("wait", err)
	}
	p := r.plan(ctx, j, src)
	identity := intermediary.Identity{RestoreID: j.id, Day: j.day.String(), State: intermediary.Restoring, Cutoff: src.cutoff}
	if err := intermediary.Write(ctx, r.http, r.cfg.Database, identity); err != nil {
		return nil, events.Step("identity", err)
	}
	verdict, err := r.bring(ctx, j, src, p)
	if err != nil {
		return nil, err
	}
	if err := r.release(ctx, j, src, identity); err != nil {
		return nil, events.Step("identity", err)
	}
	return []proto.Message{r.completed(j, src, verdict)}, nil
}

// accept reads the event. Nothing that is wrong with it becomes right by trying
// again.
func (r *restore) accept(d *events.Delivery) (*job, error) {
	var day, database string
	var asked, force bool
	switch in := d.Message.(type) {
	case *pb.BackupCompleted:
		day, database = in.GetDay(), in.GetDatabase()
	case *pb.RestoreRequested:
		day, database, asked, force = in.GetDay(), in.GetDatabase(), true, in.GetForce()
	default:
		return nil, events.Permanent(fmt.Errorf("take %s: it asks for no restore", d.Subject))
	}
	if database != "" && database != r.cfg.Database {
		return nil, events.Permanent(fmt.Errorf("take %s: unknown database %q; this service restores %q: ask for that, or leave the database out", d.Subject, database, r.cfg.Database))
	}
	parsed, err := night.ParseDay(day)
	if err != nil {
		return nil, events.Permanent(fmt.Errorf("take %s: %w", d.Subject, err))
	}
	return &job{
		id: d.ID, day: parsed, asked: asked, force: force, started: r.now().UTC(),
		log: r.log.With().Str("day", parsed.String()).Int("attempt", d.Attempt).Logger(),
	}, nil
}

// load replaces the intermediary's copy of the database by the backup's, or what
// of it has changed.
func (r *restore) load(ctx context.Context, j *job, src *source, p *plan, c *counting) error {
	begin := r.now()
	var err error
	switch {
	case p != nil:
		err = r.loadChanged(ctx, j, src, p, c)
	case r.cfg.Mode == modeOffline:
		if err = r.loadOffline(ctx, j, src); err == nil {
			err = c.begin(ctx)
		}
	default:
		err = r.loadOnline(ctx, j, src, c)
	}
	if err != nil {
		return err
	}
	j.log.Info().Int("shards", len(src.shards)).Int("kept", j.kept).Int64("bytes", src.bytes()).Str("mode", r.cfg.Mode).
		Dur("duration", r.now().Sub(begin)).Msg("shards restored")
	return nil
}

// newestShard is the highest id among the restored shards. It is asked for
// before the drill: what the drill then proves stands in that shard's database.
func (r *restore) newestShard(ctx context.Context) (uint64, error) {
	shards, err := r.http.Shards(ctx)
	if err != nil {
		return 0, fmt.Errorf("show shards of the intermediary: %w", err)
	}
	var newest uint64
	for _, s := range shards {
		if s.Database == r.cfg.Database {
			newest = max(newest, s.ID)
		}
	}
	return newest, nil
}

// release says that the restore is whole: from now on dumpers may read it. What
// stands beyond the cut-off is counted, so that the next guard can tell whether
// anybody wrote since.
func (r *restore) release(ctx context.Context, j *job, src *source, identity intermediary.Identity) error {
	beyond, err := r.countBeyond(ctx, identity.Cutoff)
	if err != nil {
		return err
	}
	if err := r.writeHeld(ctx, j, &identity); err != nil {
		return err
	}
	identity.Shard = j.newest
	if src.manifest != nil {
		identity.Production = src.manifest.Production.ClusterID
	}
	identity.State, identity.Beyond, identity.FinishedAt = intermediary.Complete, beyond, r.now().UTC()
	return intermediary.Write(ctx, r.http, r.cfg.Database, identity) //nolint:wrapcheck // it names the identity
}

// completed is the event that says what stands in the intermediary.
func (r *restore) completed(j *job, src *source, d *night.Drill) *pb.RestoreCompleted {
	return &pb.RestoreCompleted{
		Day: j.day.String(), Database: r.cfg.Database, Verdict: verdict(d),
		Cutoff: timestamppb.New(src.cutoff), StartedAt: timestamppb.New(j.started), FinishedAt: timestamppb.New(d.FinishedAt),
		RestoreId: j.id, Bytes: src.bytes(), Kept: int32(d.Kept), //nolint:gosec // they are some of the shards
		Shards: int32(len(src.shards)), //nolint:gosec // a database has far fewer shards than 2^31
	}
}

// failed is the event of a restore that came to nothing.
func (r *restore) failed(d *events.Delivery, err error) proto.Message {
	out := &pb.RestoreFailed{Database: r.cfg.Database, Error: err.Error(), Step: events.StepOf(err)}
	if in, ok := d.Message.(interface{ GetDay() string }); ok {
		out.Day = in.GetDay()
	}
	if differ, ok := errors.AsType[*differError](err); ok {
		out.Verdict = verdict(differ.drill)
	}
	return out
}
