package e2e_test

import (
	"bytes"
	"testing"

	"nightshard/shared/testbed"
)

// changedTag: the index of a .tsm file has no checksum. Here a bit of it changes on the way
// from production, so that values move to a tag that nobody wrote: every
// checksum fits, the keys still ascend, and no count changes.
func (m *mill) changedTag(t *testing.T) {
	m.reportTo(t)
	day := m.today()
	stored := m.read(day, day+"/shards/sensu_db.main.00002.00")
	key := bytes.LastIndex(stored, []byte("cpu,host=web-2#!~#user"))
	if key < 0 {
		t.Fatal("the archive has no such key: the test proves nothing")
	}
	flip := testbed.Fault{Direction: testbed.FromServer, Action: testbed.Flip, After: int64(key + len("cpu,host=web-"))}
	for _, known := range []bool{true, false} {
		// A night that knows the one before reads the shard once, any other twice.
		forget := func() {
			if !known {
				m.next += 40
			}
		}
		forget()
		shard := m.reading(t, len(stored))
		forget()
		m.snagged(t, snag{shard, "bit flipped in an index", flip})
	}
}

// reading finds the connection on which the shard of that size comes.
func (m *mill) reading(t *testing.T, size int) wire {
	t.Helper()
	for _, w := range m.wires(t) {
		if w.kind == "reading a shard" && w.passed.FromServer == int64(size) {
			return w
		}
	}
	t.Fatalf("no shard of %d bytes is read", size)
	return wire{}
}
