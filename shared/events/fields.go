package events

import (
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// errorMax bounds the text of an error in an event, in bytes. A server that
// answers with a page must not make the failed event too large to publish.
const errorMax = 4000

// stringField returns a field of a message by its name in events.proto, empty
// if it has none.
func stringField(msg proto.Message, name protoreflect.Name) string {
	field := fieldOf(msg, name, protoreflect.StringKind)
	if field == nil {
		return ""
	}
	return msg.ProtoReflect().Get(field).String()
}

// completeFailed fills in what the bus knows about a failure. Error and step
// stay if the service has set them.
func completeFailed(msg proto.Message, err error, attempts int) {
	m := msg.ProtoReflect()
	if field := fieldOf(msg, "attempts", protoreflect.Int32Kind); field != nil {
		m.Set(field, protoreflect.ValueOfInt32(int32(min(attempts, 1<<30)))) //nolint:gosec // bounded on this line
	}
	if field := fieldOf(msg, "final", protoreflect.BoolKind); field != nil {
		m.Set(field, protoreflect.ValueOfBool(true))
	}
	setIfEmpty(msg, "error", err.Error())
	setIfEmpty(msg, "step", StepOf(err))
	if field := fieldOf(msg, "error", protoreflect.StringKind); field != nil {
		m.Set(field, protoreflect.ValueOfString(shorten(m.Get(field).String())))
	}
}

func setIfEmpty(msg proto.Message, name protoreflect.Name, value string) {
	field := fieldOf(msg, name, protoreflect.StringKind)
	if field != nil && !msg.ProtoReflect().Has(field) {
		msg.ProtoReflect().Set(field, protoreflect.ValueOfString(value))
	}
}

func fieldOf(msg proto.Message, name protoreflect.Name, kind protoreflect.Kind) protoreflect.FieldDescriptor {
	if msg == nil {
		return nil
	}
	field := msg.ProtoReflect().Descriptor().Fields().ByName(name)
	if field == nil || field.Kind() != kind || field.IsList() {
		return nil
	}
	return field
}

// shorten makes a text fit into an event: valid UTF-8, which protojson insists
// on, and at most errorMax bytes.
func shorten(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= errorMax {
		return text
	}
	cut := errorMax
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + " …"
}
