package influx

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Request types of the snapshot protocol (services/snapshotter/service.go).
const (
	typeShardBackup     = 0
	typeMetastoreBackup = 1
	typeDatabaseInfo    = 3
	typeMetastoreUpdate = 6
	typeShardUpdate     = 7
)

const (
	// snapshotHeader selects the snapshot service on port 8088.
	snapshotHeader = 3
	// metastoreMagic begins a metastore's archive and the answer to an update.
	metastoreMagic = 0x59590101
	// maxMetastore bounds what is read into memory, in bytes.
	maxMetastore = 256 << 20
)

// ErrNoData says that the server closed the connection without an answer. The
// protocol has no error messages: the reason is in the server's log. The shard
// may be unknown; an idle shard that was deleted from and then written to
// answers so for up to ten seconds.
var ErrNoData = errors.New("the server closed the connection without data; its log says why")

// ErrRefused says that the server took no metastore update: the database exists
// already, or the metastore does not hold it.
var ErrRefused = errors.New("the server refused the metastore; its log says why")

// ErrStalled says that the server was silent for longer than IdleTimeout.
var ErrStalled = errors.New("the server stalled")

// SnapshotConfig says where the snapshot port is and how patient to be.
type SnapshotConfig struct {
	// Addr is host:port; 8088 is InfluxDB's default port.
	Addr string
	// DialTimeout bounds the connecting, 10 s when zero.
	DialTimeout time.Duration
	// IdleTimeout bounds each silence of the server, 60 s when zero. It moves
	// with every byte.
	IdleTimeout time.Duration
	// UploadTimeout bounds the wait for the server to take an uploaded shard in
	// after its last byte, 30 minutes when zero.
	UploadTimeout time.Duration
}

// Snapshot is a client of the snapshot protocol. It is safe for concurrent use;
// each call has a connection of its own.
type Snapshot struct {
	cfg SnapshotConfig
}

// NewSnapshot makes a client; it does not connect yet.
func NewSnapshot(cfg SnapshotConfig) *Snapshot {
	if cfg.DialTimeout == 0 {
		cfg.DialTimeout = 10 * time.Second
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = time.Minute
	}
	if cfg.UploadTimeout == 0 {
		cfg.UploadTimeout = 30 * time.Minute
	}
	return &Snapshot{cfg: cfg}
}

// request is the JSON of a request, with the server's own field names.
type request struct {
	Type                   uint8
	BackupDatabase         string
	RestoreDatabase        string
	BackupRetentionPolicy  string
	RestoreRetentionPolicy string
	ShardID                uint64
	Since                  time.Time
	ExportStart            time.Time
	ExportEnd              time.Time
	UploadSize             int64
}

// send connects and sends one request. The newline ends the JSON: the server
// drops one byte after it, which would be the first of an upload.
func (s *Snapshot) send(ctx context.Context, r request) (*conn, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	c, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(append(append([]byte{snapshotHeader, r.Type}, body...), '\n')); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("send request to %s: %w", s.cfg.Addr, err)
	}
	return c, nil
}

func (s *Snapshot) dial(ctx context.Context) (*conn, error) {
	d := net.Dialer{Timeout: s.cfg.DialTimeout}
	c, err := d.DialContext(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("connect to snapshot port %s: %w: check that InfluxDB runs, and that the first bind-address in its configuration is one that this machine reaches", s.cfg.Addr, err)
	}
	return newConn(ctx, c, s.cfg.IdleTimeout), nil
}

// Metastore gives the metastore's archive: exactly what `influxd backup` stores
// as meta.00. ParseMetastore reads it. It holds the password hashes of all
// users.
func (s *Snapshot) Metastore(ctx context.Context) ([]byte, error) {
	c, err := s.send(ctx, request{Type: typeMetastoreBackup})
	if err != nil {
		return nil, err
	}
	defer c.finish()
	raw, err := io.ReadAll(io.LimitReader(c, maxMetastore+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read metastore of %s: %w", s.cfg.Addr, err)
	case len(raw) == 0:
		return nil, fmt.Errorf("read metastore of %s: %w", s.cfg.Addr, ErrNoData)
	case len(raw) > maxMetastore:
		return nil, fmt.Errorf("read metastore of %s: it is larger than %d bytes", s.cfg.Addr, maxMetastore)
	}
	if err := wholeMetastore(raw); err != nil {
		return nil, fmt.Errorf("read metastore of %s: %w", s.cfg.Addr, err)
	}
	return raw, nil
}

// Shard streams a shard's archive, a tar, as the server sends it. Only files
// changed after since are in it; the zero time means all. The end of the stream
// proves nothing: a server that dies or deletes the shard meanwhile ends it
// likewise, and one under load leaves out what it holds in memory. The caller
// verifies what came, and closes the reader; [Snapshot.Flush] before it and
// [Snapshot.Answers] after it say the rest.
func (s *Snapshot) Shard(ctx context.Context, id uint64, since time.Time) (io.ReadCloser, error) {
	c, err := s.send(ctx, request{Type: typeShardBackup, ShardID: id, Since: since})
	if err != nil {
		return nil, fmt.Errorf("ask for shard %d: %w", id, err)
	}
	return &shardReader{conn: c, id: id, addr: s.cfg.Addr}, nil
}

// shardReader names the shard in its errors.
type shardReader struct {
	*conn
	id   uint64
	addr string
	some bool
}

// Read implements io.Reader.
func (r *shardReader) Read(p []byte) (int, error) {
	n, err := r.conn.Read(p)
	r.some = r.some || n > 0
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && r.some:
		return n, io.EOF
	case errors.Is(err, io.EOF):
		return n, fmt.Errorf("read shard %d of %s: %w", r.id, r.addr, ErrNoData)
	default:
		return n, fmt.Errorf("read shard %d of %s: %w", r.id, r.addr, err)
	}
}

// UpdateMetastore has the server make the database that blob holds, with its
// retention policies and shards. It returns the new shard id for each old one.
// No pair at all is ErrRefused: the server gives no reason. A database without
// shards gives none either.
func (s *Snapshot) UpdateMetastore(ctx context.Context, blob []byte, database string) (map[uint64]uint64, error) {
	c, err := s.send(ctx, request{Type: typeMetastoreUpdate, BackupDatabase: database, UploadSize: int64(len(blob))})
	if err != nil {
		return nil, fmt.Errorf("update metastore: %w", err)
	}
	defer c.finish()
	if _, err := c.Write(blob); err != nil {
		return nil, fmt.Errorf("update metastore of %s: %w", s.cfg.Addr, err)
	}
	answer, err := io.ReadAll(io.LimitReader(c, maxMetastore))
	if err != nil {
		return nil, fmt.Errorf("update metastore of %s: %w", s.cfg.Addr, err)
	}
	ids, err := parsePairs(answer)
	if err != nil {
		return nil, fmt.Errorf("update metastore of %s: %w", s.cfg.Addr, err)
	}
	return ids, nil
}

// parsePairs reads the answer to a metastore update: magic, number of pairs,
// then old and new shard ids, all 64-bit big endian.
func parsePairs(b []byte) (map[uint64]uint64, error) {
	if len(b) == 0 {
		return nil, ErrNoData
	}
	if len(b) < 16 || binary.BigEndian.Uint64(b) != metastoreMagic {
		return nil, fmt.Errorf("read answer of %d bytes: it is not one of this protocol", len(b))
	}
	n := binary.BigEndian.Uint64(b[8:])
	if n > maxMetastore/16 || uint64(len(b)) != 16+16*n {
		return nil, fmt.Errorf("read answer of %d bytes: it says %d pairs", len(b), n)
	}
	if n == 0 {
		return nil, ErrRefused
	}
	ids, places := make(map[uint64]uint64, n), make(map[uint64]bool, n)
	for p := b[16:]; len(p) > 0; p = p[16:] {
		place := binary.BigEndian.Uint64(p[8:])
		ids[binary.BigEndian.Uint64(p)], places[place] = place, true
	}
	if uint64(len(ids)) != n || uint64(len(places)) != n {
		return nil, fmt.Errorf("read answer of %d pairs: a shard is in it twice", n)
	}
	return ids, nil
}

// UploadShard streams an archive into the shard newID, which must be empty: a
// file of the same name would be replaced. The archive's entries are named
// db/rp/newID/FILE; the server ignores others without a word. It returns when
// the server has taken the shard in and enabled it. The protocol has no answer:
// a server that does not know newID, or cannot read the archive, closes the
// connection just as it does after success, so the caller checks what is there
// now. When src fails the connection is reset, and nothing is taken in.
func (s *Snapshot) UploadShard(ctx context.Context, newID uint64, src io.Reader) error {
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer c.finish()
	head := binary.BigEndian.AppendUint64([]byte{snapshotHeader, typeShardUpdate}, newID)
	if _, err := c.Write(head); err != nil {
		return fmt.Errorf("upload shard %d to %s: %w", newID, s.cfg.Addr, err)
	}
	if _, err := io.CopyBuffer(onlyWriter{c}, src, make([]byte, 64<<10)); err != nil {
		c.abort()
		return fmt.Errorf("upload shard %d to %s: %w", newID, s.cfg.Addr, err)
	}
	if err := c.closeWrite(); err != nil {
		return fmt.Errorf("upload shard %d to %s: %w", newID, s.cfg.Addr, err)
	}
	return s.awaitTaken(ctx, c, newID)
}

// awaitTaken waits until the server has taken an upload in.
func (s *Snapshot) awaitTaken(ctx context.Context, c *conn, newID uint64) error {
	ctx, stop := watch(ctx, s.cfg.IdleTimeout, s.alive)
	defer stop()
	c.follow(ctx)
	c.idle = s.cfg.UploadTimeout
	answer, err := io.ReadAll(io.LimitReader(c, 1024))
	if err != nil {
		return fmt.Errorf("await shard %d at %s: %w", newID, s.cfg.Addr, err)
	}
	if answer = bytes.TrimSpace(answer); len(answer) > 0 {
		return fmt.Errorf("upload shard %d to %s: unexpected answer %.100q", newID, s.cfg.Addr, answer)
	}
	return nil
}

// onlyWriter hides everything but Write, so that io.CopyBuffer uses the buffer
// that it is given.
type onlyWriter struct {
	io.Writer
}
