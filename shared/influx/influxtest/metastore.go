// Package influxtest makes what a server of InfluxDB would send, for tests that
// need none.
package influxtest

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"

	"nightshard/shared/influx"
)

// Metastore is a meta.00 of a server with these shards, all of one database and
// one retention policy, each in a group of its own.
func Metastore(clusterID uint64, database, policy string, shards ...influx.ShardMeta) []byte {
	rp := message(nil, 1, []byte(policy))
	for _, s := range shards {
		group := number(nil, 1, s.ID)
		group = number(group, 2, uint64(s.Start.UnixNano()))
		group = number(group, 3, uint64(s.End.UnixNano()))
		rp = message(rp, 5, message(group, 5, number(nil, 1, s.ID)))
	}
	db := message(nil, 1, []byte(database))
	db = message(message(db, 2, []byte(policy)), 3, rp)
	blob := number(number(number(nil, 1, 1), 2, 1), 3, clusterID)
	blob = message(blob, 5, db)
	blob = number(number(blob, 8, 1<<20), 9, 1<<20)
	out := binary.BigEndian.AppendUint64(nil, 0x59590101)
	out = binary.BigEndian.AppendUint64(out, uint64(len(blob)))
	out = append(out, blob...)
	return append(binary.BigEndian.AppendUint64(out, 2), "{}"...)
}

func number(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func message(b []byte, num protowire.Number, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), body)
}
