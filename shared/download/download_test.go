package download_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"nightshard/shared/download"
	"nightshard/shared/objstore"
	"nightshard/shared/objstore/memory"
	"nightshard/shared/objstore/objstoretest"
	"nightshard/shared/objstore/retry"
)

// stock stores objects and gives the files that they become.
func stock(t *testing.T, store objstore.Store, contents map[string]string) (dir string, files []download.File) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range contents {
		o, err := store.Put(t.Context(), "c", name, objstore.NewSource([]byte(text)), objstore.PutOptions{Meta: map[string]string{"of": name}})
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, download.File{Container: "c", Object: o, Path: filepath.Join(dir, "sub", name)})
	}
	return dir, files
}

func options() download.Options { return download.Options{Parallel: 2, Mode: 0o600} }

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestFilesAreBroughtAndThenKept(t *testing.T) {
	t.Parallel()
	store := memory.New()
	dir, files := stock(t, store, map[string]string{"a": "first", "b": "", "c": strings.Repeat("x", 300_000)})
	opts := options()
	var passed atomic.Int64
	opts.Progress = func(n int64) { passed.Add(n) }
	for _, kept := range []bool{false, true} {
		passed.Store(0)
		got, err := download.Files(t.Context(), store, files, opts)
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range got {
			if g.Kept != kept || g.Path != files[i].Path || g.Meta["of"] != g.Object.Name {
				t.Errorf("got %+v", g)
			}
		}
		if passed.Load() != 300_005 {
			t.Errorf("%d bytes were told of", passed.Load())
		}
	}
	if text := content(t, filepath.Join(dir, "sub", "a")); text != "first" {
		t.Errorf("a holds %q", text)
	}
	if parts, _ := filepath.Glob(filepath.Join(dir, "sub", "*.part")); len(parts) > 0 {
		t.Errorf("left behind: %v", parts)
	}
}

func TestAFileThatIsNotTheObjectIsReplaced(t *testing.T) {
	t.Parallel()
	store := memory.New()
	_, files := stock(t, store, map[string]string{"a": "right"})
	for name, there := range map[string]string{"changed": "wrong", "cut": "rig"} {
		if err := os.MkdirAll(filepath.Dir(files[0].Path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(files[0].Path, []byte(there), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := download.Files(t.Context(), store, files, options())
		if err != nil || got[0].Kept || content(t, files[0].Path) != "right" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestAnObjectWithoutKnownMD5IsBroughtAgain(t *testing.T) {
	t.Parallel()
	store := memory.New()
	_, files := stock(t, store, map[string]string{"a": "right"})
	files[0].Object.MD5 = ""
	for range 2 {
		got, err := download.Files(t.Context(), store, files, options())
		if err != nil || got[0].Kept {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

func TestADamagedDownloadIsReadAgain(t *testing.T) {
	t.Parallel()
	store := memory.New()
	_, files := stock(t, store, map[string]string{"a": strings.Repeat("right", 1000)})
	faulty := objstoretest.NewFaulty(store, objstoretest.Fault{Op: objstoretest.Get, Call: 1, Corrupt: true, After: 100})
	opts := options()
	var passed atomic.Int64
	opts.Progress = func(n int64) { passed.Add(n) }
	if _, err := download.Files(t.Context(), retry.New(faulty, retry.Policy{InitialWait: 1}), files, opts); err != nil {
		t.Fatal(err)
	}
	if content(t, files[0].Path) != strings.Repeat("right", 1000) || passed.Load() != 5000 {
		t.Errorf("%d bytes were told of, the file holds %.20q…", passed.Load(), content(t, files[0].Path))
	}
}

// errRefused is the judgment of a check.
var errRefused = errors.New("refused")

func TestAFileIsWholeOrNotThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(t *testing.T, store objstore.Store, f *download.File, opts *download.Options)
		want   error
	}{
		"refused by the check": {func(_ *testing.T, _ objstore.Store, _ *download.File, opts *download.Options) {
			opts.Check = func(_ download.File, r io.Reader) error {
				_, _ = io.CopyN(io.Discard, r, 3)
				return errRefused
			}
		}, errRefused},
		"another MD5 than is known": {func(_ *testing.T, _ objstore.Store, f *download.File, _ *download.Options) {
			f.Object.MD5 = strings.Repeat("0", 32)
		}, objstore.ErrCorrupt},
		"gone": {func(t *testing.T, store objstore.Store, f *download.File, _ *download.Options) {
			t.Helper()
			if err := store.Delete(t.Context(), f.Container, f.Object.Name); err != nil {
				t.Fatal(err)
			}
		}, objstore.ErrNotFound},
		"a folder in its place": {func(t *testing.T, _ objstore.Store, f *download.File, _ *download.Options) {
			t.Helper()
			if err := os.MkdirAll(f.Path, 0o750); err != nil {
				t.Fatal(err)
			}
		}, nil},
		"a file in a folder's place": {func(t *testing.T, _ objstore.Store, f *download.File, _ *download.Options) {
			t.Helper()
			if err := os.WriteFile(filepath.Dir(f.Path), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, syscall.ENOTDIR},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := memory.New()
			_, files := stock(t, store, map[string]string{"a": "right"})
			opts := options()
			c.change(t, store, &files[0], &opts)
			_, err := download.Files(t.Context(), store, files, opts)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), files[0].Path) {
				t.Errorf("the error is %v", err)
			}
			if info, err := os.Stat(files[0].Path); err == nil && info.Mode().IsRegular() {
				t.Error("a file is there")
			}
			if _, err := os.Stat(files[0].Path + ".part"); err == nil {
				t.Error("a part is left behind")
			}
		})
	}
}

func TestAReplacedObjectIsNotMixedWithTheListedOne(t *testing.T) {
	t.Parallel()
	store := memory.New()
	_, files := stock(t, store, map[string]string{"a": "right"})
	if _, err := store.Put(t.Context(), "c", "a", objstore.NewSource([]byte("later")), objstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := download.Files(t.Context(), store, files, options()); err == nil || !strings.Contains(err.Error(), "ask again") {
		t.Errorf("the error is %v", err)
	}
}

func TestTheCheckSeesTheContentAndFilesHaveTheirMode(t *testing.T) {
	t.Parallel()
	store := memory.New()
	_, files := stock(t, store, map[string]string{"a": "right"})
	var seen bytes.Buffer
	opts := options()
	opts.Check = func(_ download.File, r io.Reader) error {
		_, err := seen.ReadFrom(r)
		return err
	}
	if _, err := download.Files(t.Context(), store, files, opts); err != nil || seen.String() != "right" {
		t.Errorf("seen %q, %v", &seen, err)
	}
	if info, err := os.Stat(files[0].Path); err != nil || info.Mode() != fs.FileMode(0o600) {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
