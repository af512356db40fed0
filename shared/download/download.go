// Package download brings stored objects to files: several at a time, each
// checked against what the store said of it, and whole or not at all. A second
// run keeps what is there already. It knows nothing of days and dumps.
package download

import (
	"context"
	"crypto/md5" //nolint:gosec // Swift's own checksum
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"nightshard/shared/meter"
	"nightshard/shared/objstore"
)

// File is one object and the file that it becomes.
type File struct {
	Container string
	// Object is the object as it is listed. Its MD5 is that of its content; of a
	// large object the store does not know it, and without it a file that is
	// there already is not trusted.
	Object objstore.Object
	// Path is the file's place. Its folders are made.
	Path string
}

// Options say how the files are brought.
type Options struct {
	// Parallel is how many are brought at the same time.
	Parallel int
	// Mode is that of the files.
	Mode fs.FileMode
	// Check, if not nil, judges the content while it is written. It need not
	// read all of it.
	Check func(f File, content io.Reader) error
	// Progress is told how many more bytes are in files, by several goroutines:
	// less than none when an object is read again.
	Progress func(more int64)
}

// Got is a file that is there.
type Got struct {
	File
	// Kept says that it was there before.
	Kept bool
	// Meta is the object's metadata.
	Meta map[string]string
}

// Files brings all files, in the order of files. The first error ends the work:
// the files that were brought stay.
func Files(ctx context.Context, store objstore.Store, files []File, opts Options) ([]Got, error) {
	if opts.Progress == nil {
		opts.Progress = func(int64) {}
	}
	got := make([]Got, len(files))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(opts.Parallel)
	for i, f := range files {
		g.Go(func() error {
			var err error
			if got[i], err = bring(gctx, store, f, opts); err != nil {
				return fmt.Errorf("download %s to %s: %w", f.Object.Name, f.Path, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return got, nil
}

// bring leaves the file as the object is.
func bring(ctx context.Context, store objstore.Store, f File, opts Options) (Got, error) {
	there, err := same(f)
	if err != nil {
		return Got{}, err
	}
	if there {
		opts.Progress(f.Object.Size)
		meta, err := metadata(ctx, store, f)
		return Got{File: f, Kept: true, Meta: meta}, err
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o750); err != nil {
		return Got{}, err //nolint:wrapcheck // it names the folder
	}
	t := &transfer{File: f, Options: opts}
	if err := t.run(ctx, store); err != nil {
		return Got{}, err
	}
	return Got{File: f, Meta: t.meta}, nil
}

// same says whether the file holds the object's content already.
func same(f File) (bool, error) {
	info, err := os.Stat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err //nolint:wrapcheck // it names the file
	case !info.Mode().IsRegular():
		return false, errors.New("there is something else in its place: move it away")
	case info.Size() != f.Object.Size, f.Object.MD5 == "":
		return false, nil
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return false, err //nolint:wrapcheck // it names the file
	}
	defer func() { _ = file.Close() }()
	sum := md5.New() //nolint:gosec // Swift's own checksum
	if _, err := io.Copy(sum, file); err != nil {
		return false, err //nolint:wrapcheck // it names the file
	}
	return hex.EncodeToString(sum.Sum(nil)) == f.Object.MD5, nil
}

// metadata asks for what a listing does not tell.
func metadata(ctx context.Context, store objstore.Store, f File) (meta map[string]string, err error) {
	err = store.Get(ctx, f.Container, f.Object.Name, func(o objstore.Object, _ io.Reader) error {
		meta = o.Meta
		return objstore.ErrSkipBody
	})
	return meta, err //nolint:wrapcheck // it names the object
}

// transfer is one object on its way.
type transfer struct {
	File
	Options
	meta    map[string]string
	counted int64
	broke   error // what the store's content ended with
}

// errChanged says that the object is not the one that was listed.
var errChanged = errors.New("it was replaced since it was listed: ask again")

// run brings the object.
func (t *transfer) run(ctx context.Context, store objstore.Store) error {
	return Whole(t.Path, t.Mode, func(file *os.File) error {
		_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, t.try(ctx, store, file) },
			backoff.WithMaxTries(tries), backoff.WithMaxElapsedTime(0))
		return err //nolint:wrapcheck // it names the object
	})
}

// Whole has write make a file that is there whole or not at all: it is written
// beside its place and moved there once it is on the disk.
func Whole(path string, mode fs.FileMode, write func(*os.File) error) (err error) {
	file, err := os.OpenFile(path+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode) //nolint:gosec // where the user wants it
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	err = write(file)
	if err == nil {
		err = file.Sync() // the name must not come to the disk before the content
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path) //nolint:wrapcheck // it names both
}

// tries is how often an object is read whose content does not come whole.
const tries = 5

// try reads the object once. Only what broke on the way is worth another try.
func (t *transfer) try(ctx context.Context, store objstore.Store, file *os.File) error {
	t.broke = nil
	err := store.Get(ctx, t.Container, t.Object.Name, func(o objstore.Object, body io.Reader) error {
		return t.write(file, o, body)
	})
	if err != nil && t.broke == nil {
		return backoff.Permanent(err) //nolint:wrapcheck // it was tried again already
	}
	return err //nolint:wrapcheck // it names the object
}

// broken notes how a content ended.
type broken struct {
	io.Reader
	err *error
}

// Read passes the store's content on and keeps its error.
func (b *broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		*b.err = err
	}
	return n, err //nolint:wrapcheck // the store's own
}

// write begins the file anew: it is called again when the content did not come
// whole.
func (t *transfer) write(file *os.File, o objstore.Object, body io.Reader) error {
	if o.Size != t.Object.Size || o.Listed != t.Object.Listed {
		return errChanged
	}
	t.meta = o.Meta
	t.Progress(-t.counted)
	t.counted = 0
	if err := file.Truncate(0); err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	sum := md5.New() //nolint:gosec // Swift's own checksum
	content := io.TeeReader(&meter.Reader{Reader: &broken{body, &t.broke}, Passed: func(n int64) {
		t.counted += n
		t.Progress(n)
	}}, io.MultiWriter(file, sum))
	if t.Check != nil {
		if err := t.Check(t.File, content); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, content); err != nil {
		return err //nolint:wrapcheck // the store's own, or it names the file
	}
	if got := hex.EncodeToString(sum.Sum(nil)); t.Object.MD5 != "" && got != t.Object.MD5 {
		return fmt.Errorf("%w: its MD5 is %s, want %s", objstore.ErrCorrupt, got, t.Object.MD5)
	}
	return nil
}
