package proof

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"nightshard/shared/meter"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/tsm"
)

// contents reads every archive to its last byte, several at a time. Nothing is
// held or written anywhere.
func (v *verifier) contents(ctx context.Context) error {
	shards := v.toRead()
	var total int64
	for i := range shards {
		total += v.listed[shards[i].Object].Bytes
	}
	var mu sync.Mutex
	var done atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, v.o.Parallel))
	for _, s := range shards {
		g.Go(func() error {
			problems, err := v.content(gctx, s, func(n int64) {
				if v.o.Progress != nil {
					v.o.Progress(done.Add(n), total)
				}
			})
			mu.Lock()
			defer mu.Unlock()
			v.add(problems...)
			return err
		})
	}
	err := g.Wait()
	v.report.Bytes += total
	slices.SortStableFunc(v.report.Problems, func(a, b night.Problem) int { return cmp.Compare(a.Object, b.Object) })
	return err
}

// toRead are the archives that are listed: those of the manifest, or without
// one all that look like archives.
func (v *verifier) toRead() []night.Shard {
	var out []night.Shard
	if v.manifest != nil {
		for i := range v.manifest.Shards {
			if _, ok := v.listed[v.manifest.Shards[i].Object]; ok {
				out = append(out, v.manifest.Shards[i])
			}
		}
		return out
	}
	if v.meta == nil {
		return nil
	}
	for _, db := range v.meta.Databases {
		for id, object := range v.archives(db.Name) {
			name, err := night.ParseShardObject(v.day, db.Name, object)
			if err != nil {
				continue // archives has parsed it
			}
			out = append(out, night.Shard{Stored: v.listed[object], ID: id, RetentionPolicy: name.RetentionPolicy})
		}
	}
	return out
}

// content reads one archive and says everything that is wrong with it.
func (v *verifier) content(ctx context.Context, s night.Shard, read func(int64)) ([]night.Problem, error) {
	archive, object, err := v.archive(ctx, s, read)
	var damage *tsm.CorruptError
	switch {
	case err == nil:
	case errors.As(err, &damage):
		return []night.Problem{{Object: s.Object, File: damage.File, Reason: fmt.Sprintf("at byte %d: %s", damage.Offset, damage.Reason)}}, nil
	case answered(err):
		return []night.Problem{{Object: s.Object, Reason: v.unreadable(s, err)}}, nil
	default:
		return nil, fmt.Errorf("read %s: %w", s.Object, err)
	}
	problems := v.place(s, archive)
	if v.manifest == nil {
		return problems, nil
	}
	if object.MD5 != "" && object.MD5 != s.MD5 {
		problems = append(problems, night.Problem{Object: s.Object, Reason: fmt.Sprintf("it has MD5 %s, the manifest says %s", object.MD5, s.MD5)})
	}
	problems = append(problems, night.CheckFiles(s, Files(archive))...)
	counts := night.Counts{}
	for f, n := range archive.Counts {
		counts.Add(f.Measurement, f.Field, n)
	}
	return append(problems, night.CheckValues(v.manifest, s, counts, func(measurement, field string) bool {
		return archive.Inexact[tsm.FieldKey{Measurement: measurement, Field: field}]
	})...), nil
}

// Files are those of an archive as a manifest names them. They are not nil: a
// shard may have none.
func Files(a *tsm.Archive) []night.File {
	files := make([]night.File, 0, len(a.Files))
	for _, f := range a.Files {
		files = append(files, night.File{Name: f.Name, Bytes: f.Size, SHA256: f.SHA256})
	}
	return files
}

// reads is how often an archive is read until it is called damaged: a
// connection may break, or a byte change on the way.
const reads = 3

// archive reads one archive to its last byte.
func (v *verifier) archive(ctx context.Context, s night.Shard, read func(int64)) (archive *tsm.Archive, object objstore.Object, err error) {
	var counted int64
	var first error
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 100 * time.Millisecond
	archive, err = backoff.Retry(ctx, func() (archive *tsm.Archive, err error) {
		read(-counted) // another try begins anew
		counted = 0
		err = v.store.Get(ctx, v.day.String(), s.Object, func(o objstore.Object, body io.Reader) error {
			object = o
			var err error
			archive, err = tsm.Verify(&meter.Reader{Reader: body, Passed: func(n int64) {
				counted += n
				read(n)
			}}, tsm.Options{Count: true})
			return err //nolint:wrapcheck // the caller tells errors apart
		})
		_, status := errors.AsType[*objstore.StatusError](err)
		switch {
		case errors.Is(err, objstore.ErrNotFound) && first != nil:
			err = backoff.Permanent(first) // Swift puts away what it finds damaged
		case errors.Is(err, objstore.ErrNotFound), status:
			err = backoff.Permanent(err) // the store has asked again already
		}
		first = cmp.Or(first, err)
		return archive, err //nolint:wrapcheck // the caller tells errors apart
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(reads), backoff.WithMaxElapsedTime(0))
	return archive, object, err //nolint:wrapcheck // the caller tells errors apart
}

// unreadable says why the server cannot give an archive that it lists.
func (v *verifier) unreadable(s night.Shard, err error) string {
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return "it is listed, but Swift has it no more"
	case s.Listed != "":
		return fmt.Sprintf("it cannot be read: %v; its segments are in the container %s_segments: one is missing, or is not the one that was sent", err, v.day)
	default:
		return fmt.Sprintf("it cannot be read: %v", err)
	}
}

// answered says that the server answered, and that the object is what is wrong:
// one that lacks a segment answers 409 each time. Without an answer, or without
// leave to ask, nothing is known of the object.
func answered(err error) bool {
	if status, ok := errors.AsType[*objstore.StatusError](err); ok {
		return status.Code != http.StatusUnauthorized && status.Code != http.StatusForbidden
	}
	return errors.Is(err, objstore.ErrCorrupt) || errors.Is(err, objstore.ErrNotFound)
}

// place checks that the archive is of the shard that its name says. An empty
// one names no shard.
func (v *verifier) place(s night.Shard, a *tsm.Archive) []night.Problem {
	if len(a.Files) == 0 || a.Shard == s.ID && a.RetentionPolicy == s.RetentionPolicy && a.Database == v.report.Database {
		return nil
	}
	return []night.Problem{{Object: s.Object, Reason: fmt.Sprintf("its files are of shard %d of %q in database %q", a.Shard, a.RetentionPolicy, a.Database)}}
}
