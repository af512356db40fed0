package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// ErrUnknownSubject says that a subject is not one of the stream's.
var ErrUnknownSubject = errors.New("unknown subject")

// Encode returns the body of an event: protojson in one line, with the fields
// that have their default value. The same message gives the same bytes.
func Encode(msg proto.Message) ([]byte, error) {
	loose, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(msg)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	// protojson changes its white space from build to build on purpose.
	var compact bytes.Buffer
	if err := json.Compact(&compact, loose); err != nil {
		return nil, fmt.Errorf("compact event: %w", err)
	}
	return compact.Bytes(), nil
}

// Decode reads the body of an event by its subject without the prefix. Unknown
// fields are ignored. An unknown subject is [ErrUnknownSubject].
func Decode(subject string, body []byte) (proto.Message, error) {
	msg := NewMessage(subject)
	if msg == nil {
		return nil, fmt.Errorf("decode %q: %w", subject, ErrUnknownSubject)
	}
	if err := decodeInto(msg, body); err != nil {
		return nil, fmt.Errorf("decode %s: %w", subject, err)
	}
	return msg, nil
}

func decodeInto(msg proto.Message, body []byte) error {
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, msg) //nolint:wrapcheck // Decode names what it read
}
