package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/influx"
	"nightshard/shared/service"
	"nightshard/shared/trust"
	"nightshard/shared/tsm"
)

const (
	// commandWait bounds the stop and the start command each, and how long the
	// server may take afterwards until it is gone or answers.
	commandWait = 5 * time.Minute
	// metaFile is the metastore in the folder of metadata.
	metaFile = "meta.db"
)

// loadOffline drops the database while the server runs, so that nothing of it
// is left in the server's write-ahead log, stops the server, writes metastore
// and shards into its folders, and starts it again.
func (r *restore) loadOffline(ctx context.Context, j *job, src *source) (err error) {
	if err := r.drop(ctx); err != nil {
		return err
	}
	if err := r.command(ctx, r.cfg.Stop); err != nil {
		return err
	}
	// Whatever happens, the intermediary is not left stopped.
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*commandWait)
		defer cancel()
		err = errors.Join(err, r.bringUp(clean))
	}()
	if err := r.awaitDown(ctx); err != nil {
		return err
	}
	ids, err := r.writeMeta(src)
	if err != nil {
		return err
	}
	return r.writeShards(ctx, j, src, ids)
}

// ensureUp starts an intermediary that an offline restore before this one left
// stopped, because it was cut off.
func (r *restore) ensureUp(ctx context.Context) error {
	if r.cfg.Mode != modeOffline {
		return nil
	}
	if _, _, err := r.http.Ping(ctx); err == nil || trust.Is(err) {
		return err //nolint:wrapcheck // it names the server and the setting
	}
	return r.bringUp(ctx)
}

// bringUp runs the start command and waits until the server answers.
func (r *restore) bringUp(ctx context.Context) error {
	if err := r.command(ctx, r.cfg.Start); err != nil {
		return err
	}
	return r.await(ctx, "start", func(ctx context.Context) error {
		_, err := r.http.Databases(ctx)
		return err //nolint:wrapcheck // await wraps
	})
}

// awaitDown waits until the server is gone: files must not be written under a
// running one.
func (r *restore) awaitDown(ctx context.Context) error {
	return r.await(ctx, "stop", func(ctx context.Context) error {
		_, _, err := r.http.Ping(ctx)
		switch {
		case err == nil:
			return errors.New("it still answers")
		case trust.Is(err): // somebody is there, after all
			return err //nolint:wrapcheck // await wraps
		}
		return nil
	})
}

// await asks until done returns nil, for at most commandWait.
func (r *restore) await(ctx context.Context, what string, done func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, commandWait)
	defer cancel()
	for {
		err := done(ctx)
		if err == nil {
			return nil
		}
		if trust.Is(err) || service.Pause(ctx, 250*time.Millisecond) != nil {
			return fmt.Errorf("%s intermediary %s: %w", what, r.cfg.URL, err)
		}
	}
}

// command runs a command of the settings: an argument list, never a shell. The
// first kilobyte of what it prints goes into the error.
func (r *restore) command(ctx context.Context, text string) error {
	args, err := parseCommand(text)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, commandWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // the operator's own setting
	// A start command may leave a child that keeps its output open.
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("run %q: %w: %s", text, err, strings.TrimSpace(string(out[:min(len(out), 1024)])))
	}
	return nil
}

// writeMeta puts the backup's database into the intermediary's metastore file;
// users, other databases and the cluster id stay the intermediary's own.
func (r *restore) writeMeta(src *source) (map[uint64]uint64, error) {
	file := filepath.Join(r.cfg.MetaDir, metaFile)
	existing, err := os.ReadFile(file) //nolint:gosec // the operator's own setting
	if err != nil {
		return nil, fmt.Errorf("read metastore: %w", err)
	}
	blob, ids, err := influx.MergeMetastore(existing, src.raw, r.cfg.Database)
	if err != nil {
		return nil, fmt.Errorf("merge metastore: %w", err)
	}
	next := file + ".nightshard"
	if err := os.WriteFile(next, blob, 0o600); err != nil { //nolint:gosec // beside the metastore itself
		return nil, fmt.Errorf("write metastore: %w", err)
	}
	if err := inherit(next, file); err != nil {
		return nil, err
	}
	if err := os.Rename(next, file); err != nil {
		return nil, fmt.Errorf("replace metastore: %w", err)
	}
	return ids, nil
}

// writeShards unpacks each shard into the folder of its new id.
func (r *restore) writeShards(ctx context.Context, j *job, src *source, ids map[uint64]uint64) error {
	root := filepath.Join(r.cfg.DataDir, r.cfg.Database)
	if err := os.RemoveAll(root); err != nil {
		return fmt.Errorf("empty %s: %w", root, err)
	}
	done := make(chan struct{}, len(src.shards))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.cfg.Parallel)
	for _, s := range src.shards {
		g.Go(func() error {
			dir := filepath.Join(root, s.RetentionPolicy, strconv.FormatUint(ids[s.ID], 10))
			_, err := r.shardBody(gctx, j, s, tsm.Options{}, func(body io.Reader) error { return r.unpack(dir, body) })
			if err != nil {
				return fmt.Errorf("restore shard %d: %w", s.ID, err)
			}
			done <- struct{}{}
			r.progress(&pb.Progress{
				Service: "restore", Day: j.day.String(), Step: "shards", Unit: "shards",
				Done: int64(len(done)), Total: int64(len(src.shards)),
			})
			return nil
		})
	}
	return g.Wait()
}

// unpack writes the files of an archive into dir, reading it to its very end:
// only there it is known to be whole.
func (r *restore) unpack(dir string, body io.Reader) error {
	if err := r.makeDirs(dir); err != nil {
		return err
	}
	tr := tar.NewReader(body)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		if err := writeFile(filepath.Join(dir, path.Base(h.Name)), tr); err != nil {
			return err
		}
		if err := inherit(filepath.Join(dir, path.Base(h.Name)), r.cfg.DataDir); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	return nil
}

// makeDirs makes dir and gives each new folder below the data folder its owner.
func (r *restore) makeDirs(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // influxd's own mode
		return fmt.Errorf("make %s: %w", dir, err)
	}
	for d := dir; d != filepath.Clean(r.cfg.DataDir) && len(d) > 1; d = filepath.Dir(d) {
		if err := inherit(d, r.cfg.DataDir); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, body io.Reader) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644) //nolint:gosec // influxd's own mode
	if errors.Is(err, os.ErrExist) {
		// A try before this one was cut off.
		if err = os.Remove(path); err == nil {
			return writeFile(path, body)
		}
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, body); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// inherit gives path the owner of like, so that the server can read what a
// service running as root wrote for it.
func inherit(path, like string) error {
	info, err := os.Stat(like)
	if err != nil {
		return fmt.Errorf("look at %s: %w", like, err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
		return fmt.Errorf("give %s to its owner: %w", path, err)
	}
	return nil
}
