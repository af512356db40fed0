package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/rs/zerolog"

	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/proof"
)

const (
	// lookBack is how many of the newest days are looked at.
	lookBack = 62
	// recallTimeout bounds one try, firstWait and longestWait the waits between
	// two.
	recallTimeout = 10 * time.Minute
	firstWait     = 5 * time.Second
	longestWait   = 10 * time.Minute
	// maxRecord bounds a manifest or a verdict, which is held whole. In bytes.
	maxRecord = 1 << 30
	// metaComplete and metaRestore are a dump's metadata. The old scripts' dumps,
	// which nobody checked, have none.
	metaComplete = "complete"
	metaRestore  = "restore-id"
)

// Recall rebuilds from the store how fresh earlier results are, again and again
// until it succeeds or ctx ends. Until then they have no sample. It is for a
// goroutine of its own: a service must not wait for it.
func (s *Set) Recall(ctx context.Context, store objstore.Account, log zerolog.Logger) {
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = firstWait, longestWait
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		ctx, cancel := context.WithTimeout(ctx, recallTimeout)
		defer cancel()
		return struct{}{}, s.recall(ctx, store, log)
	}, backoff.WithBackOff(waits), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, wait time.Duration) {
		s.recallFailures.WithLabelValues(unanswered).Inc()
		log.Warn().Err(err).Dur("wait", wait).Msg("how fresh earlier results are is not known yet; Swift is asked again")
	}))
	if err == nil {
		s.recalled.Set(1)
		log.Debug().Msg("how fresh earlier results are is read from Swift")
	}
}

// recall is one try.
func (s *Set) recall(ctx context.Context, store objstore.Account, log zerolog.Logger) error {
	days, err := proof.Days(ctx, store)
	if err != nil {
		return fmt.Errorf("recall results: %w", err)
	}
	days = days[max(0, len(days)-lookBack):]
	slices.Reverse(days)
	r := recaller{Set: s, store: store, log: log}
	look := map[string]func(context.Context, night.Day) (bool, error){
		Backup: r.backup, Restore: r.drill, Dumper: r.dumpsOf(s.opts.Measurements),
	}[s.opts.Service]
	for _, day := range days {
		if enough, err := look(ctx, day); err != nil || enough {
			return err
		}
	}
	return nil
}

// recaller looks through the days, the newest first.
type recaller struct {
	*Set
	store objstore.Account
	log   zerolog.Logger
}

// backup says whether the day holds a whole backup, which is then taken.
func (r *recaller) backup(ctx context.Context, day night.Day) (enough bool, err error) {
	var m *night.Manifest
	ok, err := r.record(ctx, day, night.ManifestObject(day), func(data []byte) (err error) {
		m, err = night.ParseManifest(day, data)
		return err //nolint:wrapcheck // it names the day
	})
	if !ok || m.Database != r.opts.Database {
		return false, err
	}
	r.backedUp(backup{
		day: day, cutoff: m.Cutoff, started: m.StartedAt, finished: m.FinishedAt,
		bytes: m.Bytes(), shards: len(m.Shards), carried: m.CarriedForward(), warnings: len(m.Warnings),
	}, true)
	return true, nil
}

// drill takes the newest verdict, and goes on to the newest that passed.
func (r *recaller) drill(ctx context.Context, day night.Day) (enough bool, err error) {
	var d *night.Drill
	ok, err := r.record(ctx, day, night.DrillObject(day), func(data []byte) (err error) {
		d, err = night.ParseDrill(data)
		return err //nolint:wrapcheck // it says that it is a drill
	})
	if !ok || d.Database != r.opts.Database || d.Note == night.NoFingerprint {
		return false, err
	}
	r.drilled(drill{
		day: day, at: d.FinishedAt, passed: d.Passed, compared: d.Compared, differences: len(d.Differences), note: d.Note,
	}, true)
	return d.Passed, nil
}

// record reads a record. ok is false if the day has none, or a damaged one, which
// is counted: the result that it was of is not known to be good. That it could
// not be asked for is an error: then nothing is known, of earlier days either.
func (r *recaller) record(ctx context.Context, day night.Day, object string, parse func([]byte) error) (ok bool, err error) {
	data, err := objstore.Read(ctx, r.store, day.String(), object, maxRecord)
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return false, nil
	case err == nil:
		err = parse(data)
	case !errors.Is(err, objstore.ErrCorrupt):
		return false, fmt.Errorf("recall results: %w", err)
	}
	if err != nil {
		r.recallFailures.WithLabelValues(damaged).Inc()
		r.log.Warn().Err(err).Str("object", object).Msg("record is damaged: its result does not count as a good one")
		return false, nil
	}
	return true, nil
}

// dumpsOf gives a look for the newest dump of each measurement, and the newest
// complete one. A day lists what it has, so that nothing is asked for that is not
// there.
func (r *recaller) dumpsOf(measurements []string) func(context.Context, night.Day) (bool, error) {
	missing := slices.Clone(measurements)
	return func(ctx context.Context, day night.Day) (bool, error) {
		listed := map[string]string{}
		err := r.store.List(ctx, day.String(), night.DumpPrefix(day), func(o objstore.Object) error {
			if of, ok := night.ParseDumpObject(day, o.Name); ok {
				listed[of] = o.Name
			}
			return nil
		})
		if err != nil && !errors.Is(err, objstore.ErrNotFound) {
			return false, fmt.Errorf("recall dumps of %s: %w", day, err)
		}
		var left []string
		for _, of := range missing {
			complete := false
			if object, ok := listed[of]; ok {
				if complete, err = r.dump(ctx, day, of, object); err != nil {
					return false, err
				}
			}
			if !complete {
				left = append(left, of)
			}
		}
		missing = left
		return len(missing) == 0, nil
	}
}

// dump takes a dump, and says whether it is a complete one.
func (r *recaller) dump(ctx context.Context, day night.Day, of, object string) (complete bool, err error) {
	var held objstore.Object
	err = r.store.Get(ctx, day.String(), object, func(o objstore.Object, _ io.Reader) error {
		held = o
		return objstore.ErrSkipBody
	})
	if errors.Is(err, objstore.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("recall dumps of %s: %w", day, err)
	}
	complete, err = strconv.ParseBool(held.Meta[metaComplete])
	if err != nil || held.Meta[metaRestore] == "" {
		return false, nil //nolint:nilerr // an old script's
	}
	r.dumped(dump{day: day, measurement: of, at: held.Modified, bytes: held.Size, complete: complete}, true)
	return complete, nil
}
