package night

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Schema is the version of the manifest and the drill that this code writes
// and the newest that it understands.
const Schema = 1

// ErrNewer says that a record was written by a newer version: it is not
// damaged, and only that version may judge it.
var ErrNewer = errors.New("use a newer nightshard")

// Manifest is the record of one day's backup. It is written last: a day
// without one is not finished.
type Manifest struct {
	Schema     int        `json:"schema"`
	Day        string     `json:"day"`
	Database   string     `json:"database"`
	TimeZone   string     `json:"timeZone"`
	Request    string     `json:"request"` // the delivery that it answers
	Production Production `json:"production"`
	// Cutoff is production's clock just before the first shard was read: every
	// point up to it is in the backup.
	Cutoff            time.Time         `json:"cutoff"`
	StartedAt         time.Time         `json:"startedAt"`
	FinishedAt        time.Time         `json:"finishedAt"`
	RetentionPolicies []RetentionPolicy `json:"retentionPolicies"`
	Meta              Stored            `json:"meta"`
	Shards            []Shard           `json:"shards"`
	// Deleted are the shards that production deleted while the backup ran. They
	// are not stored.
	Deleted []uint64 `json:"deleted,omitempty"`
	// Warnings are what is unusual about the day, for people.
	Warnings []string `json:"warnings,omitempty"`
}

// Production says which server was backed up, so that a restore can refuse it.
type Production struct {
	URL      string `json:"url"`
	Snapshot string `json:"snapshot"`
	// Host is the name of the machine that the backup ran on: a loopback
	// address means something only there.
	Host string `json:"host"`
	// ClusterID is the random id that a server gives itself, in decimal.
	ClusterID string `json:"clusterId"`
	Version   string `json:"version"`
}

// RetentionPolicy is a retention policy of production. The intermediary keeps
// everything, so the real durations stand only here.
type RetentionPolicy struct {
	Name    string `json:"name"`
	Default bool   `json:"default"`
	// Duration is how long points are kept, as Go writes it; "0s" is for ever.
	Duration string `json:"duration"`
	// ShardGroupDuration is the time that one shard spans.
	ShardGroupDuration string `json:"shardGroupDuration"`
}

// Stored is an object as it was sent and as the listing must show it.
type Stored struct {
	Object string `json:"object"`
	Bytes  int64  `json:"bytes"`
	// MD5 is that of the content.
	MD5 string `json:"md5"`
	// Listed is the hash that a listing shows where it is not the MD5: for an
	// object above Swift's limit, which is stored in segments.
	Listed string `json:"listed,omitempty"`
}

// Hash is what a listing shows for the object.
func (s Stored) Hash() string { return cmp.Or(s.Listed, s.MD5) }

// Shard is one stored shard.
type Shard struct {
	Stored
	ID              uint64    `json:"id"`
	RetentionPolicy string    `json:"retentionPolicy"`
	Start           time.Time `json:"start"`
	End             time.Time `json:"end"`
	// Files are those inside the archive. Their SHA-256 covers what the
	// format's own checksums do not: the index.
	Files []File `json:"files"`
	// Counts is the shard's fingerprint.
	Counts Fingerprint `json:"counts"`
	// Unwritten says that production lists the shard and has nothing behind it,
	// as a server does that makes shards ahead. Its archive is empty.
	Unwritten bool `json:"unwritten,omitempty"`
	// Carried says when the archive was read that was copied from an earlier
	// day; nil if production was read for this very backup.
	Carried *Reading `json:"carried,omitempty"`
}

// File is one file in a shard's archive.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Name is the shard's name in database.
func (s Shard) Name(database string) ShardName {
	return ShardName{Database: database, RetentionPolicy: s.RetentionPolicy, ID: s.ID}
}

// Bytes is the size of all that the manifest lists.
func (m *Manifest) Bytes() int64 {
	sum := m.Meta.Bytes
	for i := range m.Shards {
		sum += m.Shards[i].Bytes
	}
	return sum
}

// Objects are all that the manifest lists, the metastore first.
func (m *Manifest) Objects() []Stored {
	out := []Stored{m.Meta}
	for i := range m.Shards {
		out = append(out, m.Shards[i].Stored)
	}
	return out
}

// Encode writes the manifest as indented JSON, so that people can read it.
func (m *Manifest) Encode() ([]byte, error) { return encode(m) }

// ParseManifest reads a manifest of the day. A newer schema, another day or a
// manifest that names no shard archive properly is an error.
func ParseManifest(day Day, data []byte) (*Manifest, error) {
	m := &Manifest{}
	if err := decode(data, m, &m.Schema); err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", day, err)
	}
	switch {
	case m.Day != day.String():
		return nil, fmt.Errorf("read manifest of %s: it is the manifest of %q", day, m.Day)
	case m.Database == "" || m.Cutoff.IsZero() || m.Meta.Object != MetaObject(day):
		return nil, fmt.Errorf("read manifest of %s: database, cut-off or metastore is missing", day)
	}
	seen := map[uint64]bool{}
	for _, s := range m.Shards {
		if want := s.Name(m.Database).Object(day); s.Object != want || seen[s.ID] {
			return nil, fmt.Errorf("read manifest of %s: shard %d under %q, want it once under %q", day, s.ID, s.Object, want)
		}
		seen[s.ID] = true
	}
	return m, nil
}

// Drill is the verdict of a restore.
type Drill struct {
	Schema    int    `json:"schema"`
	Day       string `json:"day"`
	Database  string `json:"database"`
	RestoreID string `json:"restoreId"`
	// Backup is the request of the manifest that was restored: a day that was
	// backed up again meanwhile is not proved by it. Empty for an old script's.
	Backup string `json:"backup,omitempty"`
	Mode   string `json:"mode"`
	// Kept is how many shards the intermediary held already. They were counted
	// like the others.
	Kept int `json:"kept,omitempty"`
	// Passed is false as soon as one count differs.
	Passed bool `json:"passed"`
	// Compared is the number of counts held against the fingerprint.
	Compared int64 `json:"compared"`
	// Values is the number of values that the restored database holds.
	Values      int64        `json:"values"`
	Differences []Difference `json:"differences"`
	// Note is what a reader must know, such as NoFingerprint.
	Note string `json:"note,omitempty"`
	// StartedAt is when the first shard could be counted. Others were still
	// loading then: LoadedAt is when the last one was there.
	StartedAt  time.Time `json:"startedAt"`
	LoadedAt   time.Time `json:"loadedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt"`
}

// NoFingerprint is the note of a drill that had nothing to compare with.
const NoFingerprint = "no fingerprint"

// Encode writes the drill as indented JSON.
func (d *Drill) Encode() ([]byte, error) { return encode(d) }

// ParseDrill reads a drill.
func ParseDrill(data []byte) (*Drill, error) {
	d := &Drill{}
	if err := decode(data, d, &d.Schema); err != nil {
		return nil, fmt.Errorf("read drill: %w", err)
	}
	return d, nil
}

// checksumMark stands before the SHA-256 of a record, its last field. What the
// checksum is of ends where the mark begins.
const checksumMark = ",\n \"checksum\": \""

// encode writes a record for people and programs. The checksum covers every
// byte before it: a record that somebody has changed, by hand or by accident,
// shows it.
func encode(v any) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	body := bytes.TrimSuffix(data, []byte("\n}"))
	return fmt.Appendf(body, "%s%x\"\n}\n", checksumMark, sha256.Sum256(body)), nil
}

func decode(data []byte, v any, schema *int) error {
	// The schema first, and alone: a newer record may have fields of other types.
	var only struct {
		Schema int `json:"schema"`
	}
	if json.Unmarshal(data, &only) == nil && only.Schema > Schema {
		return fmt.Errorf("its schema is %d and this version understands up to %d: %w", only.Schema, Schema, ErrNewer)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	if *schema < 1 {
		return fmt.Errorf("its schema is %d, which no version wrote", *schema)
	}
	at := bytes.LastIndex(data, []byte(checksumMark))
	if at < 0 {
		return errors.New("it has no checksum")
	}
	if want := fmt.Sprintf("%s%x\"\n}\n", checksumMark, sha256.Sum256(data[:at])); string(data[at:]) != want {
		return errors.New("it was changed since it was written: its checksum does not fit")
	}
	return nil
}
