// Package influx talks to an InfluxDB 1.x server: the snapshot protocol of port
// 8088, by which whole shards are read and restored, and queries over HTTP. It
// owns the protocols and the metastore's encoding. It knows nothing of days,
// stores or events.
//
// # Where the facts come from
//
// The snapshot protocol has no public description. Paths are those of the
// source of InfluxDB 1.8.10:
//
//   - Requests, the newline after their JSON, the pairs of a metastore update:
//     services/snapshotter/service.go.
//   - The multiplexer's byte 3 before each request: services/snapshotter
//     (MuxHeader), tcp/mux.go.
//   - The metastore's archive (meta.00): writeMetaStore in
//     services/snapshotter/service.go; who needs all of it: unpackMeta in
//     cmd/influxd/restore/restore.go.
//   - The metastore's fields: services/meta/internal/meta.proto. The file
//     meta/meta.db is the bare protobuf: snapshot in services/meta/client.go.
//   - That an import renumbers shards, keeps subscriptions and finds no pairs
//     for a database without shards: importOneDB in services/meta/data.go.
//   - That an answer's head comes before the work on it, and which rows of a
//     chunked answer are partial: serveQuery in services/httpd/handler.go,
//     query/emitter.go.
//
// The tests show all of it on real servers, 1.8.10 and 1.6.7.
//
// # Types
//
// In one shard a field of a measurement has one type; in different shards, or
// different measurements, the same name can have different ones. A wildcard
// (count(*), SELECT *) takes one type for each name in all shards and
// measurements that the query touches, a numeric one before string before
// boolean, and leaves out values of the others without a word. [Client.Count]
// finds these values; [Client.Spans] cuts a window so that a SELECT * of one
// measurement misses none.
package influx
