// Package tsm verifies and rewrites the archive of one InfluxDB 1.x shard
// while it streams through.
//
// An archive is a tar of .tsm and .tombstone files, as InfluxDB sends it from
// its snapshot port and as `influxd backup` stores it. [NewReader] passes the
// bytes on and checks all of them on the way: the tar structure to its end
// marker, every TSM file down to each block's checksum, every tombstone file.
// Its Read answers io.EOF only when the archive is whole, so that an upload
// which reads from it cannot store a broken one.
//
// The package owns the formats. It knows nothing of servers, stores, days or
// manifests, and does no I/O but through the readers that it is given. Memory
// does not depend on the size of the files (see [Options] for the exceptions).
//
// # What is not seen
//
// A TSM index has no checksum of its own. Offsets, sizes and times in it are
// compared with the blocks. A changed letter in a key, or a changed type, is
// not noticed as long as the keys still ascend. The same holds for the keys
// and times of tombstone files of the versions 1 and 2, for the parts of a
// gzip header that nobody reads, and for the records of an extended tar
// header that do not bear on name and size. Only the SHA-256 of the
// [Archive], kept from an earlier pass, shows such changes.
package tsm
