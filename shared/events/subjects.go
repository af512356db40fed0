package events

import (
	"slices"

	"google.golang.org/protobuf/proto"

	nightshardv1 "nightshard/proto/nightshard/v1"
)

// Subjects of the stream, without the configured prefix.
const (
	BackupRequested  = "backup.requested"
	BackupCompleted  = "backup.completed"
	BackupFailed     = "backup.failed"
	RestoreRequested = "restore.requested"
	RestoreCompleted = "restore.completed"
	RestoreFailed    = "restore.failed"
	DumpRequested    = "dump.requested"
	DumpCompleted    = "dump.completed"
	DumpFailed       = "dump.failed"
)

// Subjects lists the subjects of the stream, without the prefix, in the order
// of a night.
func Subjects() []string {
	return []string{
		BackupRequested, BackupCompleted, BackupFailed,
		RestoreRequested, RestoreCompleted, RestoreFailed,
		DumpRequested, DumpCompleted, DumpFailed,
	}
}

// NewMessage returns the empty message that belongs on a subject, nil for a
// subject that is not one of [Subjects].
func NewMessage(subject string) proto.Message {
	switch subject {
	case BackupRequested:
		return &nightshardv1.BackupRequested{}
	case BackupCompleted:
		return &nightshardv1.BackupCompleted{}
	case BackupFailed:
		return &nightshardv1.BackupFailed{}
	case RestoreRequested:
		return &nightshardv1.RestoreRequested{}
	case RestoreCompleted:
		return &nightshardv1.RestoreCompleted{}
	case RestoreFailed:
		return &nightshardv1.RestoreFailed{}
	case DumpRequested:
		return &nightshardv1.DumpRequested{}
	case DumpCompleted:
		return &nightshardv1.DumpCompleted{}
	case DumpFailed:
		return &nightshardv1.DumpFailed{}
	}
	return nil
}

// SubjectOf returns the subject, without the prefix, on which a message is
// published, and false for a message that is not an event.
func SubjectOf(msg proto.Message) (string, bool) {
	if msg == nil {
		return "", false
	}
	name := msg.ProtoReflect().Descriptor().FullName()
	i := slices.IndexFunc(Subjects(), func(subject string) bool {
		return NewMessage(subject).ProtoReflect().Descriptor().FullName() == name
	})
	if i < 0 {
		return "", false
	}
	return Subjects()[i], true
}
