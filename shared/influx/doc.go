// Package influx talks to an InfluxDB 1.x server: the snapshot protocol of port
// 8088, by which whole shards are read and restored, and queries over HTTP. It
// owns the protocols and the metastore's encoding. It knows nothing of days,
// stores or events.
//
// The snapshot protocol has no public description. What is written here was
// read in the source of InfluxDB 1.8.10 (services/snapshotter, services/meta)
// and measured on 1.8.10 and 1.6.7.
package influx
