package influx

import (
	"encoding/binary"
	"errors"
	"testing"
)

// archive wraps a blob as meta.00 does.
func archive(blob []byte) []byte {
	out := binary.BigEndian.AppendUint64(nil, metastoreMagic)
	out = binary.BigEndian.AppendUint64(out, uint64(len(blob)))
	out = append(out, blob...)
	return append(binary.BigEndian.AppendUint64(out, 2), "{}"...)
}

// sample is a metastore with one database, a live and a deleted group, a
// continuous query, a user, and a field that nobody knows.
func sample() []byte {
	group := func(id, deleted, shard uint64) []byte {
		b := append(number(groupID, id), number(groupStart, 0)...)
		b = append(b, number(groupEnd, 3600e9)...)
		if deleted > 0 {
			b = append(b, number(groupDeletedAt, deleted)...)
		}
		return message(policyGroups, append(b, message(groupShards, number(shardID, shard))...))
	}
	rp := append(message(policyName, []byte("rp")), number(policyDuration, 7*24*3600e9)...)
	rp = append(append(rp, group(1, 0, 4)...), group(2, 99, 5)...)
	db := append(message(databaseName, []byte("db")), message(databaseDefaultRP, []byte("rp"))...)
	db = append(append(db, message(databasePolicies, rp)...), message(databaseQueries, []byte("cq"))...)
	blob := append(number(dataTerm, 1), number(dataIndex, 7)...)
	blob = append(blob, number(dataClusterID, 1<<63+5)...)
	blob = append(blob, message(dataDatabases, db)...)
	blob = append(blob, message(dataDatabases, message(databaseName, []byte("else")))...)
	blob = append(blob, message(dataUsers, []byte("hash"))...)
	blob = append(blob, number(dataMaxShardGroupID, 2)...)
	blob = append(blob, number(dataMaxShardID, 5)...)
	return append(blob, message(99, []byte("future"))...)
}

func TestMetastoreIsRead(t *testing.T) {
	t.Parallel()
	m, err := ParseMetastore(archive(sample()))
	if err != nil {
		t.Fatal(err)
	}
	shards := m.Shards("db")
	if m.ClusterID != 1<<63+5 || m.Users != 1 || len(m.Databases) != 2 || len(shards) != 1 || shards[0].ID != 4 || m.MaxShardID != 5 {
		t.Errorf("metastore %+v", m)
	}
	if len(m.Shards("none")) != 0 {
		t.Error("shards of no database")
	}
}

func TestRestoreBlobHoldsOneDatabaseAndNoSecret(t *testing.T) {
	t.Parallel()
	blob, err := RestoreBlob(archive(sample()), "db")
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseMetastoreBlob(blob)
	if err != nil {
		t.Fatal(err)
	}
	db, _ := m.Database("db")
	if m.Users != 0 || len(m.Databases) != 1 || db.RetentionPolicies[0].Duration != 0 || len(db.RetentionPolicies[0].Groups) != 1 {
		t.Errorf("blob %+v", m)
	}
	unknown := false
	_ = each(blob, func(f field) error { unknown = unknown || f.num == 99; return nil })
	if !unknown {
		t.Error("a field of a later version was lost")
	}
	if _, err := RestoreBlob(archive(sample()), "none"); !errors.Is(err, errNoDatabase) {
		t.Errorf("no such database: %v", err)
	}
}

func TestMergeGivesNewIDs(t *testing.T) {
	t.Parallel()
	blob, ids, err := MergeMetastore(sample(), archive(sample()), "db")
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseMetastoreBlob(blob)
	if err != nil {
		t.Fatal(err)
	}
	if shards := m.Shards("db"); len(shards) != 1 || shards[0].ID != 6 || ids[4] != 6 || m.MaxShardID != 6 || m.MaxShardGroupID != 3 || m.Users != 1 || len(m.Databases) != 2 {
		t.Errorf("merged %+v, ids %v", m, ids)
	}
}

func TestDamagedMetastoresAreRefused(t *testing.T) {
	t.Parallel()
	whole := archive(sample())
	for n := range 16 + len(sample()) {
		if _, err := ParseMetastore(whole[:n]); !errors.Is(err, errMetastore) {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
	}
	if _, err := ParseMetastoreBlob([]byte{0xff}); !errors.Is(err, errMetastore) {
		t.Errorf("%v", err)
	}
}

func TestAnswersToAnUpdateAreChecked(t *testing.T) {
	t.Parallel()
	good := binary.BigEndian.AppendUint64(nil, metastoreMagic)
	good = binary.BigEndian.AppendUint64(good, 1)
	good = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(good, 3), 9)
	if ids, err := parsePairs(good); err != nil || ids[3] != 9 {
		t.Errorf("%v, %v", ids, err)
	}
	for n := range good {
		if _, err := parsePairs(good[:n]); err == nil {
			t.Errorf("cut after %d bytes: no error", n)
		}
	}
	if _, err := parsePairs(append(good, 0)); err == nil {
		t.Error("a byte too many: no error")
	}
}

func FuzzMetastore(f *testing.F) {
	f.Add(archive(sample()))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := ParseMetastore(raw)
		if err != nil {
			return
		}
		for _, db := range m.Databases {
			live := len(m.Shards(db.Name))
			blob, err := RestoreBlob(raw, db.Name)
			if err != nil {
				t.Fatalf("what can be read cannot be edited: %v", err)
			}
			back, err := ParseMetastoreBlob(blob)
			if err != nil || len(back.Shards(db.Name)) != live {
				t.Fatalf("%d shards, after the edit %v, %v", live, back, err)
			}
			if _, _, err := MergeMetastore(sample(), raw, db.Name); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzPairs(f *testing.F) {
	f.Add(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, metastoreMagic), 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		if ids, err := parsePairs(b); err == nil && len(ids) == 0 {
			t.Error("no pair and no error")
		}
	})
}
