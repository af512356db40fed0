package tsm_test

import (
	"bytes"
	"fmt"
	"io"

	"nightshard/shared/tsm"
)

// An upload that reads from a Reader fails when the archive is not whole.
func ExampleNewReader() {
	stream := bytes.NewReader(make([]byte, 700)) // a connection that broke
	reader := tsm.NewReader(stream, tsm.Options{})
	_, err := io.Copy(io.Discard, reader)
	fmt.Println(err)
	// Output: verify shard archive: archive at byte 700: the archive is cut here: no end marker
}

func ExampleVerify() {
	empty := bytes.NewReader(make([]byte, 1024)) // what InfluxDB sends for a shard without data
	a, err := tsm.Verify(empty, tsm.Options{})
	fmt.Println(len(a.Files), a.Bytes, err)
	// Output: 0 1024 <nil>
}
