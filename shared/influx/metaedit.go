package influx

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// RestoreBlob makes of a metastore's archive the blob for an online restore:
// this database alone, without users, continuous queries, subscriptions and
// deleted shard groups, and with infinite retention. A finite one would have the
// target delete old shards within half an hour; a subscription would have it
// send what is written to it to production's subscribers. What it does not know
// it keeps.
func RestoreBlob(raw []byte, database string) ([]byte, error) {
	blob, err := metastoreBlob(raw)
	if err != nil {
		return nil, err
	}
	found := false
	out, err := edit(blob, func(f field) ([]byte, error) {
		switch f.num {
		case dataUsers:
			return nil, nil
		case dataDatabases:
			db, err := parseDatabase(f.b)
			if err != nil || db.Name != database {
				return nil, err
			}
			found = true
			return editDatabase(f, nil)
		}
		return f.raw, nil
	})
	if err == nil && !found {
		err = fmt.Errorf("find database %q in the metastore: %w", database, errNoDatabase)
	}
	return out, err
}

// errNoDatabase says that a metastore does not hold the database.
var errNoDatabase = errors.New("no such database")

// MergeMetastore puts a database of the archive raw into existing, the blob of a
// stopped server's meta.db, in place of one of the same name. Shard and group
// ids are given anew above the existing ones; ids maps the old shard ids to the
// new. Users, other databases and the cluster id of existing stay.
func MergeMetastore(existing, raw []byte, database string) (blob []byte, ids map[uint64]uint64, err error) {
	source, err := metastoreBlob(raw)
	if err != nil {
		return nil, nil, err
	}
	own, err := ParseMetastoreBlob(existing)
	if err != nil {
		return nil, nil, fmt.Errorf("read existing metastore: %w", err)
	}
	next := &renumber{group: own.MaxShardGroupID, shard: own.MaxShardID, ids: map[uint64]uint64{}}
	var added []byte
	err = each(source, func(f field) error {
		if f.num != dataDatabases {
			return nil
		}
		db, err := parseDatabase(f.b)
		if err != nil || db.Name != database {
			return err
		}
		added, err = editDatabase(f, next)
		return err
	})
	if err == nil && added == nil {
		err = fmt.Errorf("find database %q in the metastore: %w", database, errNoDatabase)
	}
	if err != nil {
		return nil, nil, err
	}
	blob, err = replaceDatabase(existing, database, added, next)
	return blob, next.ids, err
}

// replaceDatabase puts the encoded database added into the blob and raises the
// highest ids and the index.
func replaceDatabase(blob []byte, database string, added []byte, next *renumber) ([]byte, error) {
	out, err := edit(blob, func(f field) ([]byte, error) {
		switch f.num {
		case dataIndex:
			return number(f.num, f.v+1), nil
		case dataMaxShardGroupID:
			return number(f.num, next.group), nil
		case dataMaxShardID:
			return number(f.num, next.shard), nil
		case dataDatabases:
			db, err := parseDatabase(f.b)
			if err != nil || db.Name == database {
				return nil, err
			}
		}
		return f.raw, nil
	})
	return append(out, added...), err
}

// renumber gives new ids to groups and shards; nil keeps the old ones.
type renumber struct {
	group, shard uint64
	ids          map[uint64]uint64
}

func (r *renumber) groupID(old uint64) uint64 {
	if r == nil {
		return old
	}
	r.group++
	return r.group
}

func (r *renumber) shardID(old uint64) uint64 {
	if r == nil {
		return old
	}
	r.shard++
	r.ids[old] = r.shard
	return r.shard
}

func editDatabase(f field, ids *renumber) ([]byte, error) {
	body, err := edit(f.b, func(d field) ([]byte, error) {
		switch d.num {
		case databaseQueries:
			return nil, nil
		case databasePolicies:
			return editPolicy(d, ids)
		}
		return d.raw, nil
	})
	return message(f.num, body), err
}

func editPolicy(f field, ids *renumber) ([]byte, error) {
	body, err := edit(f.b, func(p field) ([]byte, error) {
		switch p.num {
		case policyDuration:
			return number(p.num, 0), nil
		case policySubscriptions:
			return nil, nil
		case policyGroups:
			g, err := parseGroup(p.b)
			if err != nil || !g.DeletedAt.IsZero() {
				return nil, err
			}
			return editGroup(p, ids)
		}
		return p.raw, nil
	})
	return message(f.num, body), err
}

func editGroup(f field, ids *renumber) ([]byte, error) {
	body, err := edit(f.b, func(g field) ([]byte, error) {
		switch g.num {
		case groupID:
			return number(g.num, ids.groupID(g.v)), nil
		case groupShards:
			shard, err := edit(g.b, func(s field) ([]byte, error) {
				if s.num == shardID {
					return number(s.num, ids.shardID(s.v)), nil
				}
				return s.raw, nil
			})
			return message(g.num, shard), err
		}
		return g.raw, nil
	})
	return message(f.num, body), err
}

// edit rewrites a message field by field; nothing returned leaves a field out.
func edit(b []byte, change func(field) ([]byte, error)) ([]byte, error) {
	var out []byte
	err := each(b, func(f field) error {
		raw, err := change(f)
		out = append(out, raw...)
		return err
	})
	return slices.Clip(out), err
}

func number(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

func message(num protowire.Number, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), body)
}
