package influx

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of the metastore's protobuf (services/meta/internal/meta.proto
// of InfluxDB 1.8.10; the same in 1.6.7).
const (
	dataTerm            = 1
	dataIndex           = 2
	dataClusterID       = 3
	dataDatabases       = 5
	dataUsers           = 6
	dataMaxShardGroupID = 8
	dataMaxShardID      = 9

	databaseName      = 1
	databaseDefaultRP = 2
	databasePolicies  = 3
	databaseQueries   = 4

	policyName          = 1
	policyDuration      = 2
	policyGroupDuration = 3
	policyReplicaN      = 4
	policyGroups        = 5
	policySubscriptions = 6

	groupID        = 1
	groupStart     = 2
	groupEnd       = 3
	groupDeletedAt = 4
	groupShards    = 5

	shardID = 1
)

// Metastore is what a server knows of its databases.
type Metastore struct {
	// ClusterID is a random number that the server gave itself when it was
	// first started.
	ClusterID uint64
	// Databases in the server's order.
	Databases []DatabaseMeta
	// MaxShardGroupID and MaxShardID are the highest ids ever given.
	MaxShardGroupID uint64
	MaxShardID      uint64
	// Users is how many users there are. Their names and password hashes are
	// not kept.
	Users int
}

// DatabaseMeta is one database.
type DatabaseMeta struct {
	Name                   string
	DefaultRetentionPolicy string
	RetentionPolicies      []RetentionPolicyMeta
}

// RetentionPolicyMeta is one retention policy.
type RetentionPolicyMeta struct {
	Name string
	// Duration is how long points are kept, 0 for ever.
	Duration time.Duration
	// ShardGroupDuration is the time that a shard spans.
	ShardGroupDuration time.Duration
	ReplicaN           int
	Groups             []ShardGroupMeta
}

// ShardGroupMeta is one shard group; without clustering it has one shard.
type ShardGroupMeta struct {
	ID         uint64
	Start, End time.Time
	// DeletedAt is zero for a live group. Retention keeps a deleted one in the
	// metastore for two weeks.
	DeletedAt time.Time
	Shards    []uint64
}

// ShardMeta is one live shard.
type ShardMeta struct {
	ID              uint64
	Database        string
	RetentionPolicy string
	Start, End      time.Time
}

// Database finds a database by its name.
func (m *Metastore) Database(name string) (DatabaseMeta, bool) {
	for _, db := range m.Databases {
		if db.Name == name {
			return db, true
		}
	}
	return DatabaseMeta{}, false
}

// Shards gives the live shards of a database, by ascending id.
func (m *Metastore) Shards(database string) []ShardMeta {
	db, _ := m.Database(database)
	var out []ShardMeta
	for _, rp := range db.RetentionPolicies {
		for _, g := range rp.Groups {
			if !g.DeletedAt.IsZero() {
				continue
			}
			for _, id := range g.Shards {
				out = append(out, ShardMeta{ID: id, Database: database, RetentionPolicy: rp.Name, Start: g.Start, End: g.End})
			}
		}
	}
	slices.SortFunc(out, func(a, b ShardMeta) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// errMetastore says that bytes are no metastore.
var errMetastore = errors.New("not an InfluxDB metastore")

// ParseMetastore reads a metastore's archive, as Snapshot.Metastore gives it and
// meta.00 holds it: magic, length, blob, length, JSON of the node.
func ParseMetastore(raw []byte) (*Metastore, error) {
	blob, err := metastoreBlob(raw)
	if err != nil {
		return nil, err
	}
	return ParseMetastoreBlob(blob)
}

// wholeMetastore says what is wrong with an archive as a server sends it. The
// part after the blob matters too: `influxd restore` crashes without it, and a
// server that dies ends the stream like one that is done.
func wholeMetastore(raw []byte) error {
	blob, err := metastoreBlob(raw)
	if err != nil {
		return err
	}
	rest := raw[16+len(blob):]
	if len(rest) < 8 || binary.BigEndian.Uint64(rest) != uint64(len(rest)-8) { //nolint:gosec // at least 8
		return fmt.Errorf("read archive of %d bytes: it is cut: %w", len(raw), errMetastore)
	}
	_, err = ParseMetastoreBlob(blob)
	return err
}

// metastoreBlob finds the protobuf inside the archive.
func metastoreBlob(raw []byte) ([]byte, error) {
	if len(raw) < 16 || binary.BigEndian.Uint64(raw) != metastoreMagic {
		return nil, fmt.Errorf("read archive of %d bytes: %w", len(raw), errMetastore)
	}
	n := binary.BigEndian.Uint64(raw[8:])
	if n > uint64(len(raw)-16) { //nolint:gosec // at least 16, see above
		return nil, fmt.Errorf("read archive of %d bytes: it is cut, the metastore alone has %d: %w", len(raw), n, errMetastore)
	}
	return raw[16 : 16+n], nil
}

// ParseMetastoreBlob reads the bare protobuf, as a server's meta.db file holds
// it.
func ParseMetastoreBlob(blob []byte) (*Metastore, error) {
	m := &Metastore{}
	var have [dataMaxShardID + 1]bool
	err := each(blob, func(f field) error {
		if f.num < protowire.Number(len(have)) {
			have[f.num] = true
		}
		switch f.num {
		case dataClusterID:
			m.ClusterID = f.v
		case dataMaxShardGroupID:
			m.MaxShardGroupID = f.v
		case dataMaxShardID:
			m.MaxShardID = f.v
		case dataUsers:
			m.Users++
		case dataDatabases:
			db, err := parseDatabase(f.b)
			if err != nil {
				return err
			}
			m.Databases = append(m.Databases, db)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// A server always writes these. Without them the bytes are something else,
	// perhaps nothing at all, or were cut.
	for _, num := range []int{dataTerm, dataIndex, dataClusterID, dataMaxShardGroupID, dataMaxShardID} {
		if !have[num] {
			return nil, fmt.Errorf("read metastore of %d bytes: field %d is missing: %w", len(blob), num, errMetastore)
		}
	}
	return m, nil
}

func parseDatabase(b []byte) (DatabaseMeta, error) {
	var db DatabaseMeta
	err := each(b, func(f field) error {
		switch f.num {
		case databaseName:
			db.Name = string(f.b)
		case databaseDefaultRP:
			db.DefaultRetentionPolicy = string(f.b)
		case databasePolicies:
			rp, err := parsePolicy(f.b)
			if err != nil {
				return err
			}
			db.RetentionPolicies = append(db.RetentionPolicies, rp)
		}
		return nil
	})
	return db, err
}

func parsePolicy(b []byte) (RetentionPolicyMeta, error) {
	var rp RetentionPolicyMeta
	err := each(b, func(f field) error {
		switch f.num {
		case policyName:
			rp.Name = string(f.b)
		case policyDuration:
			rp.Duration = time.Duration(f.v) //nolint:gosec // nanoseconds, as the server writes them
		case policyGroupDuration:
			rp.ShardGroupDuration = time.Duration(f.v) //nolint:gosec // likewise
		case policyReplicaN:
			rp.ReplicaN = int(f.v) //nolint:gosec // a small number
		case policyGroups:
			g, err := parseGroup(f.b)
			if err != nil {
				return err
			}
			rp.Groups = append(rp.Groups, g)
		}
		return nil
	})
	return rp, err
}

func parseGroup(b []byte) (ShardGroupMeta, error) {
	var g ShardGroupMeta
	err := each(b, func(f field) error {
		switch f.num {
		case groupID:
			g.ID = f.v
		case groupStart:
			g.Start = time.Unix(0, int64(f.v)).UTC() //nolint:gosec // signed nanoseconds
		case groupEnd:
			g.End = time.Unix(0, int64(f.v)).UTC() //nolint:gosec // likewise
		case groupDeletedAt:
			if f.v != 0 {
				g.DeletedAt = time.Unix(0, int64(f.v)).UTC() //nolint:gosec // likewise
			}
		case groupShards:
			return each(f.b, func(s field) error {
				if s.num == shardID {
					g.Shards = append(g.Shards, s.v)
				}
				return nil
			})
		}
		return nil
	})
	return g, err
}

// field is one field of a protobuf message: v of a number, b of bytes, raw as
// it stands there.
type field struct {
	num protowire.Number
	typ protowire.Type
	v   uint64
	b   []byte
	raw []byte
}

// each calls fn for every field of a message. A field of another wire type than
// numbers and bytes is none of the fields known here.
func each(b []byte, fn func(field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("read field: %w", errMetastore)
		}
		f := field{num: num, typ: typ}
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			return fmt.Errorf("read field %d: %w", num, errMetastore)
		}
		switch typ {
		case protowire.VarintType:
			f.v, _ = protowire.ConsumeVarint(b[n:])
		case protowire.BytesType:
			f.b, _ = protowire.ConsumeBytes(b[n:])
		default:
		}
		f.raw = b[:n+m]
		b = b[n+m:]
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}
