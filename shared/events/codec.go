package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Schema is the version of the events that this code publishes and the newest
// that it understands. A field that an older service may overlook does not raise
// it.
const Schema = 1

var (
	// ErrUnknownSubject says that a subject is not one of the stream's.
	ErrUnknownSubject = errors.New("unknown subject")
	// ErrNewer says that an event was published by a newer version, in a way
	// that this one would act wrongly on.
	ErrNewer = errors.New("upgrade this service, then ask again")
)

// Encode returns the body of an event: protojson in one line, with the fields
// that have their default value. The same message gives the same bytes. A
// message without a schema gets that of this code.
func Encode(msg proto.Message) ([]byte, error) {
	if schema := schemaField(msg); schema != nil && !msg.ProtoReflect().Has(schema) {
		msg = proto.Clone(msg)
		msg.ProtoReflect().Set(schema, protoreflect.ValueOfInt32(Schema))
	}
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
// fields are ignored; no schema, as in what people type, means the first. An
// unknown subject is [ErrUnknownSubject]. A newer schema is [ErrNewer]: with it
// comes what this version understands of the message, if anything, to be looked
// at and not to be acted on.
func Decode(subject string, body []byte) (proto.Message, error) {
	msg := NewMessage(subject)
	if msg == nil {
		return nil, fmt.Errorf("decode %q: %w", subject, ErrUnknownSubject)
	}
	err := decodeInto(msg, body)
	schema := schemaIn(msg)
	if err != nil {
		// A newer message may have fields of other types.
		msg, schema = NewMessage(subject), schemaAlone(body)
	}
	switch {
	case schema > Schema:
		return msg, fmt.Errorf("decode %s: its schema is %d and this version understands up to %d: %w", subject, schema, Schema, ErrNewer)
	case err != nil:
		return nil, fmt.Errorf("decode %s: %w", subject, err)
	case schema < 1:
		return nil, fmt.Errorf("decode %s: its schema is %d, which no version publishes", subject, schema)
	}
	return msg, nil
}

// decodeInto fills a message in, with the schema that its absence stands for.
func decodeInto(msg proto.Message, body []byte) error {
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, msg); err != nil {
		return err //nolint:wrapcheck // Decode names what it read
	}
	if schema := schemaField(msg); schema != nil && !msg.ProtoReflect().Has(schema) {
		msg.ProtoReflect().Set(schema, protoreflect.ValueOfInt32(1))
	}
	return nil
}

// schemaAlone reads the schema of a body that cannot be read as a whole, 0 if
// there is none.
func schemaAlone(body []byte) int64 {
	var only struct {
		Schema json.Number `json:"schema"` // protojson takes a number in quotes too
	}
	if json.Unmarshal(body, &only) != nil {
		return 0
	}
	schema, err := only.Schema.Int64()
	if err != nil {
		return 0
	}
	return schema
}

// schemaIn is the schema of a message, the first if it is of no event.
func schemaIn(msg proto.Message) int64 {
	schema := schemaField(msg)
	if schema == nil {
		return 1
	}
	return msg.ProtoReflect().Get(schema).Int()
}

func schemaField(msg proto.Message) protoreflect.FieldDescriptor {
	return fieldOf(msg, "schema", protoreflect.Int32Kind)
}
