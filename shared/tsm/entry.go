package tsm

import (
	"errors"
	"path"
	"strconv"
	"strings"
)

// The endings of the two kinds of files in an archive.
const (
	extTSM       = ".tsm"
	extTombstone = ".tombstone"
)

var (
	errEntryName = errors.New("not of the form db/rp/id/file")
	errEntryKind = errors.New("neither .tsm nor .tombstone")
)

// Entry is what the path of an archive's entry says.
type Entry struct {
	Database        string
	RetentionPolicy string
	Shard           uint64
	File            string
}

// ParseEntry reads the path of an entry: db/rp/id/file, or a path that leads to
// the same place by a detour, as in db/rp/20/../20/file. Archives of some
// shards are stored so, because `influxd restore` takes the first three folders
// from the archive's own name and appends the rest unchanged. The file must be
// a .tsm or .tombstone file.
func ParseEntry(name string) (Entry, error) {
	parts := strings.Split(path.Clean(name), "/")
	first := strings.Split(name, "/")
	if len(parts) != 4 || len(first) < 4 || strings.Join(first[:3], "/") != strings.Join(parts[:3], "/") {
		return Entry{}, errEntryName
	}
	if parts[0] == "" || parts[0] == ".." || strings.HasSuffix(name, "/") {
		return Entry{}, errEntryName
	}
	id, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil || strconv.FormatUint(id, 10) != parts[2] {
		return Entry{}, errEntryName
	}
	if e := path.Ext(parts[3]); (e != extTSM && e != extTombstone) || parts[3] == e {
		return Entry{}, errEntryKind
	}
	return Entry{Database: parts[0], RetentionPolicy: parts[1], Shard: id, File: parts[3]}, nil
}

// RenameInto gives an [Options].Rename that moves all entries into another
// folder, for example newdb/autogen/7 for an upload, or db/autogen/20/../20 for
// an archive that `influxd restore` is to unpack. It reads paths of both forms.
func RenameInto(folder string) func(string) (string, error) {
	return func(name string) (string, error) {
		e, err := ParseEntry(name)
		if err != nil {
			return "", err
		}
		return folder + "/" + e.File, nil
	}
}
