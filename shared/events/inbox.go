package events

// The programs that share the bus. Each has a NATS user, an inbox and
// permissions of its own.
const (
	Backup  = "backup"
	Restore = "restore"
	Dumper  = "dumper"
	// Operators stands for the command, and for everything else that people
	// work with.
	Operators = "operators"
)

// Durable consumers of the services.
const (
	BackupDurable  = "backup"
	RestoreDurable = "restore"
	// DumperDurable takes the requests for dumps.
	DumperDurable = "dumper"
	dumperPrefix  = DumperDurable + "-"
)

// MeasurementDurable is the durable consumer of one measurement's dumps.
func MeasurementDurable(measurement string) string { return dumperPrefix + Slug(measurement) }

// InboxPrefix is the subject below which a program gets its answers, without the
// prefix of [Config]. Below NATS's own _INBOX everybody could read the answers
// to everybody. A program that is none of the services is the operators'.
func InboxPrefix(program string) string {
	switch program {
	case Backup, Restore, Dumper:
		return "_INBOX_" + program
	}
	return "_INBOX_" + Operators
}
