package tsm

import (
	"fmt"
	"io"
	"time"
)

// Options say what a [Reader] does beside verifying. The zero value verifies
// and passes the bytes on exactly as they came.
type Options struct {
	// Rename gives the new path of an entry; nil keeps all paths. It gets the
	// path that stands in the archive. Its error ends the reading.
	Rename func(name string) (string, error)
	// Tombstones leaves out what the tombstone files of the archive delete,
	// and the tombstone files themselves. A .tsm file that has a tombstone is
	// held until its new size is known.
	Tombstones bool
	// Memory is the largest .tsm file, in bytes, that is held in memory for
	// its tombstone. Larger ones go to Spool. 0 means [DefaultMemory].
	Memory int64
	// Spool gives a place for one file larger than Memory, for example a
	// temporary file. Nil makes such a file an error.
	Spool func() (Spool, error)
	// Count counts the values by measurement and field. It needs about 50
	// bytes for each series key of the shard and 2 for each block of a file.
	Count bool
	// Until leaves values at or after it out of the count; zero counts all.
	Until time.Time
}

// DefaultMemory is the largest file that is held in memory for its tombstone
// when [Options] does not say: 8 MiB.
const DefaultMemory = 8 << 20

// Spool holds one file outside of memory. An *os.File is one. Close is called
// once, when the file was passed on, after an error and by [Reader.Close].
type Spool interface {
	io.Writer
	io.ReaderAt
	io.Closer
}

// Archive describes a whole, verified shard archive.
type Archive struct {
	// Database, RetentionPolicy and Shard are taken from the entries' paths.
	// They are empty for an empty shard.
	Database        string
	RetentionPolicy string
	Shard           uint64
	// Files are the entries as they came, in the order of the archive.
	Files []File
	// Sent are the .tsm files as they were passed on: with
	// [Options].Tombstones, what a server has after it took them in. It is
	// equal to the .tsm files of Files when no tombstone applied.
	Sent []File
	// Bytes is the size of the archive as it came, end marker included.
	Bytes int64
	// Counts holds the number of values by measurement and field, deletes
	// taken into account. Nil without [Options].Count.
	Counts map[FieldKey]int64
	// Inexact names the fields for which Counts is an upper bound: blocks of
	// a series overlap, or a tombstone or Until cuts through a block.
	Inexact map[FieldKey]bool
	// Least is the number of values that there are at least. It equals Counts
	// for the fields that are not Inexact.
	Least map[FieldKey]int64
}

// File is one file of an archive.
type File struct {
	// Name is the last part of the entry's path, for example
	// 000000001-000000001.tsm.
	Name string `json:"name"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// SHA256 of the content, in lower case hex.
	SHA256 string `json:"sha256"`
	// Blocks and Keys are those of a .tsm file; for a .tombstone file Keys is
	// its number of records.
	Blocks int `json:"blocks"`
	Keys   int `json:"keys"`
}

// FieldKey names a field of a measurement, both unescaped.
type FieldKey struct {
	Measurement string
	Field       string
}

// CorruptError says that the archive is not whole: cut, changed, or not a
// shard archive at all.
type CorruptError struct {
	// File is the last part of the entry's path; empty for the archive itself.
	File string
	// Offset is the byte in File, or in the archive, where the fault was
	// noticed or the damaged part begins.
	Offset int64
	Reason string
}

// Error implements error.
func (e *CorruptError) Error() string {
	file := e.File
	if file == "" {
		file = "archive"
	}
	return fmt.Sprintf("verify shard archive: %s at byte %d: %s", file, e.Offset, e.Reason)
}

// Verify reads r to its end and says what the archive holds. The error is a
// [*CorruptError] when the archive is not whole, or wraps the error of r.
func Verify(r io.Reader, o Options) (*Archive, error) {
	t := NewReader(r, o)
	defer func() { _ = t.Close() }() // it never fails
	if _, err := io.Copy(io.Discard, t); err != nil {
		return nil, err //nolint:wrapcheck // it says what is wrong already
	}
	return t.Archive(), nil
}
