package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nightshard/shared/download"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/tsm"
)

const restoreFilesExamples = `  nightshard restore-files 2016-06-01 /var/tmp/2016-06-01
  nightshard restore-files 2016-06-01 /var/tmp/2016-06-01 --json | jq -r .command[]`

// secretMode is that of a backup's files: the metastore holds the password
// hashes of all users.
const secretMode = 0o600

// filesReport is what was brought for a restore by hand.
type filesReport struct {
	Day      string `json:"day"`
	Dir      string `json:"dir"`
	Database string `json:"database,omitempty"`
	Shards   int    `json:"shards"`
	Bytes    int64  `json:"bytes"`
	Kept     int    `json:"kept"`
	// Converted are the archives in the old scripts' form that plain influxd
	// restore would misplace; they were given the form that it puts right.
	Converted []string `json:"converted,omitempty"`
	// Command restores the files.
	Command []string `json:"command"`
	// Version is that of the server that was backed up.
	Version string `json:"productionVersion,omitempty"`
}

func (a *app) restoreFilesCommand() *cobra.Command {
	var parallel int
	cmd := &cobra.Command{
		Use:   "restore-files DAY DIR",
		Short: "Bring a day's shards and metastore to a folder, for influxd restore",
		Long: `Bring a day's shards and metastore to a folder, for influxd restore. Each file
is checked against the manifest and by its own checksums, and is there whole or
not at all. A file that is there already and is right is kept, so a second call
goes on where the first one stopped.

Archives of the old scripts that influxd restore would misplace (shards whose id
ends in 0) are given the form that it puts right.

It prints the command that restores them. For a restore into a running server
see nightshard request restore.`,
		Example: restoreFilesExamples,
		Args:    wants("DAY", "DIR"),

		ValidArgsFunction: a.completeDay(true),
		RunE: a.does(func(ctx context.Context, args []string) error {
			day, err := night.ParseDay(args[0])
			if err != nil {
				return misuse("%w", err)
			}
			if parallel < 1 {
				return misuse("--parallel is %d, want a number above zero", parallel)
			}
			return a.restoreFiles(ctx, day, args[1], parallel)
		}),
	}
	cmd.Flags().IntVar(&parallel, "parallel", parallelReads, "archives that are read at the same time")
	return cmd
}

func (a *app) restoreFiles(ctx context.Context, day night.Day, dir string, parallel int) error {
	c, err := a.settings()
	if err != nil {
		return err
	}
	begin := a.now()
	store, d, err := a.restorable(ctx, day)
	if err != nil {
		return err
	}
	got, err := a.fetch(ctx, store, d.archives(dir), secretMode, parallel, checkArchive)
	if err != nil {
		return fmt.Errorf("bring %s: %w", day, err)
	}
	r := &filesReport{Day: day.String(), Dir: dir, Shards: d.Shards, Bytes: d.Bytes, Database: c.Database}
	if d.manifest != nil {
		r.Database, r.Version = d.manifest.Database, d.manifest.Production.Version
	}
	for _, g := range got {
		if g.Kept {
			r.Kept++
		}
	}
	if r.Converted, err = convert(day, got); err != nil {
		return fmt.Errorf("bring %s: %w", day, err)
	}
	r.Command = restoreCommand(r.Database, dir)
	if a.asJSON {
		return a.out.json(r)
	}
	a.printFiles(r, a.now().Sub(begin))
	return nil
}

// restorable reads what Swift has of a day, and refuses one that is not whole.
func (a *app) restorable(ctx context.Context, day night.Day) (objstore.Account, *daySummary, error) {
	defer a.errs.life(words("reading " + day.String() + " from Swift"))()
	store, endpoint, err := a.store(ctx)
	if err != nil {
		return nil, nil, err
	}
	d, err := readDay(ctx, store, day)
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return nil, nil, fmt.Errorf("bring %s: Swift at %s has no container of that name: see nightshard list", day, endpoint)
	case err != nil:
		return nil, nil, fmt.Errorf("bring %s: %w", day, err)
	case d.State == stateUnfinished:
		return nil, nil, fmt.Errorf("bring %s: its backup is unfinished, it has no manifest: back the day up again, or take another", day)
	case d.State == stateEmpty:
		return nil, nil, fmt.Errorf("bring %s: the container holds no backup", day)
	case len(d.Problems) > 0:
		return nil, nil, fmt.Errorf("bring %s: it is damaged: %s (nightshard verify %s says all); take another day: nightshard list", day, d.Problems[0], day)
	}
	return store, d, nil
}

// archives are the files of a day: those that the manifest names, or of an old
// script's day those that are listed.
func (d *daySummary) archives(dir string) []download.File {
	md5s := map[string]string{}
	if d.manifest != nil {
		for _, s := range d.manifest.Objects() {
			md5s[s.Object] = s.MD5
		}
	}
	var files []download.File
	for _, o := range d.listed {
		sum, named := md5s[o.Name]
		if d.manifest != nil && !named || d.manifest == nil && !isShard(d.day, o.Name) && o.Name != night.MetaObject(d.day) {
			continue
		}
		if o.MD5 == "" {
			o.MD5 = sum // Swift does not know that of a large object
		}
		files = append(files, download.File{Container: d.Day, Object: o, Path: filepath.Join(dir, path.Base(o.Name))})
	}
	return files
}

// checkArchive verifies a shard's archive as it passes. The metastore has no
// checksum of its own.
func checkArchive(f download.File, content io.Reader) error {
	if strings.HasSuffix(f.Object.Name, "/meta.00") {
		return nil
	}
	_, err := tsm.Verify(content, tsm.Options{})
	return err //nolint:wrapcheck // it names file, offset and reason
}

// convert gives archives in the old scripts' form the names and entries that
// lead plain influxd restore right.
func convert(day night.Day, got []download.Got) ([]string, error) {
	var converted []string
	for _, g := range got {
		if !night.OldForm(g.Object.Name) || strings.HasSuffix(g.Object.Name, "/meta.00") {
			continue
		}
		name, err := entryName(g.Path)
		if err != nil {
			return converted, err
		}
		if name == (night.ShardName{}) {
			continue // an empty archive leads nowhere
		}
		to := filepath.Join(filepath.Dir(g.Path), path.Base(name.Object(day)))
		if err := rename(g.Path, to, name); err != nil {
			return converted, fmt.Errorf("give %s the form that influxd restore puts right: %w", g.Path, err)
		}
		converted = append(converted, to)
	}
	return converted, nil
}

// entryName says which shard an archive holds, by its entries; the zero value if
// it has none.
func entryName(file string) (night.ShardName, error) {
	f, err := os.Open(file) //nolint:gosec // it was just written
	if err != nil {
		return night.ShardName{}, err //nolint:wrapcheck // it names the file
	}
	defer func() { _ = f.Close() }()
	archive, err := tsm.Verify(f, tsm.Options{})
	if err != nil || len(archive.Files) == 0 {
		return night.ShardName{}, err //nolint:wrapcheck // it names file, offset and reason
	}
	return night.ShardName{Database: archive.Database, RetentionPolicy: archive.RetentionPolicy, ID: archive.Shard}, nil
}

// rename writes the archive anew, its entries led by name, and removes the old
// one: influxd restore would take both.
func rename(from, to string, name night.ShardName) error {
	in, err := os.Open(from) //nolint:gosec // it was just written
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	defer func() { _ = in.Close() }()
	err = download.Whole(to, secretMode, func(out *os.File) error {
		_, err := io.Copy(out, tsm.NewReader(in, tsm.Options{Rename: tsm.RenameInto(name.EntryFolder())}))
		return err //nolint:wrapcheck // it names what was read or written
	})
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	return os.Remove(from) //nolint:wrapcheck // it names the file
}

// restoreCommand restores the folder, on a server with Debian's places.
func restoreCommand(database, dir string) []string {
	cmd := []string{"influxd", "restore", "-metadir", "/var/lib/influxdb/meta", "-datadir", "/var/lib/influxdb/data"}
	if database != "" {
		cmd = append(cmd, "-database", database)
	}
	return append(cmd, dir)
}

func (a *app) printFiles(r *filesReport, took time.Duration) {
	a.out.printf("%s and the metastore of %s, %s, checked, in %s: %s\n", plural(r.Shards, "shard"), r.Day, bytesText(r.Bytes), spanText(took), r.Dir)
	if r.Kept > 0 {
		a.out.printf("%s of the files %s there already\n", countText(r.Kept), wasWere(r.Kept))
	}
	for _, name := range r.Converted {
		a.out.printf("%s: in the form that influxd restore puts right\n", name)
	}
	version := ""
	if r.Version != "" && r.Version != "unknown" {
		version = " (production ran " + r.Version + ")"
	}
	a.out.printf("\nStop influxd%s, empty its folders meta, data and wal, and restore:\n\n  %s\n\n", version, shellLine(r.Command))
	a.out.printf("Then give the files to influxd's user, and start it.\n")
}
