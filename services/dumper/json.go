package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// jsonEncoder writes one record a line, as one JSON array or each line on its
// own. Values pass through as the server sent them, so that integers keep all
// their digits.
type jsonEncoder struct {
	out   *bufio.Writer // keeps its error until Flush
	array bool
	begun bool
	keys  [][]byte // `"column":` for each column, with a comma before all
}

func newJSON(out *bufio.Writer, array bool) *jsonEncoder {
	if array {
		_ = out.WriteByte('[')
	}
	return &jsonEncoder{out: out, array: array}
}

func (e *jsonEncoder) columns(names []string) error {
	e.keys = nil
	for _, name := range names {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(name); err != nil {
			return fmt.Errorf("write key %q: %w", name, err)
		}
		e.keys = append(e.keys, []byte(","+strings.TrimSuffix(b.String(), "\n")+":"))
	}
	return nil
}

// record writes each column that has a value.
func (e *jsonEncoder) record(values [][]byte) error {
	if e.array && e.begun {
		_ = e.out.WriteByte(',')
	}
	if e.array || e.begun {
		_ = e.out.WriteByte('\n')
	}
	e.begun = true
	_ = e.out.WriteByte('{')
	first := true
	for i, v := range values {
		if v == nil {
			continue
		}
		key := e.keys[i]
		if first {
			key, first = key[1:], false
		}
		_, _ = e.out.Write(key)
		_, _ = e.out.Write(v)
	}
	return e.out.WriteByte('}') //nolint:wrapcheck // the store's own error
}

func (e *jsonEncoder) end() error {
	if e.array {
		_, _ = e.out.WriteString("\n]")
	}
	_ = e.out.WriteByte('\n')
	return e.out.Flush() //nolint:wrapcheck // the store's own error
}
