package influx

import (
	"encoding/binary"
	"testing"
)

func TestPairsThatDoNotAddUpAreAnError(t *testing.T) {
	t.Parallel()
	for name, words := range map[string][]uint64{
		"magic": {1, 1, 1, 1}, "huge": {metastoreMagic, 1 << 60, 1, 11}, "overflow": {metastoreMagic, 1 << 60},
		"a shard twice": {metastoreMagic, 2, 1, 11, 1, 12}, "a place twice": {metastoreMagic, 2, 1, 11, 2, 11},
	} {
		var b []byte
		for _, w := range words {
			b = binary.BigEndian.AppendUint64(b, w)
		}
		if ids, err := parsePairs(b); err == nil {
			t.Errorf("%s: %v", name, ids)
		}
	}
}
