package events

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/micro"
)

// Access is what one NATS user may do. Subjects may hold the wildcards of NATS; a
// denied one is denied although an allowed one covers it.
type Access struct {
	// Program is Backup, Restore, Dumper or Operators.
	Program string
	// Purpose is one line for whoever reads the permissions.
	Purpose string
	// Publish and Subscribe are allowed.
	Publish, Subscribe []string
	// DenyPublish is taken away from Publish.
	DenyPublish []string
	// Responses allows to answer requests on what is subscribed to.
	Responses bool
}

// AccessOptions are the settings on which permissions depend.
type AccessOptions struct {
	// Prefix before every subject, as in Config.
	Prefix string
	// Measurements that are dumped. Empty: any. The dumper may then use any
	// consumer that is not another service's, since a wildcard of NATS stands
	// for a whole name.
	Measurements []string
}

// Accesses lists the permissions of each program, the least with which it works.
func Accesses(o AccessOptions) ([]Access, error) {
	cfg := Config{Prefix: o.Prefix}.withDefaults()
	if problems := cfg.wordProblems(); len(problems) > 0 {
		return nil, fmt.Errorf("check subject prefix: %s", strings.Join(problems, "; "))
	}
	g := &granter{stream: cfg.streamName(), measurements: o.Measurements}
	if o.Prefix != "" {
		g.prefix = o.Prefix + "."
	}
	return []Access{g.backup(), g.restore(), g.dumper(), g.operators()}, nil
}

// granter puts permissions together.
type granter struct {
	prefix, stream string
	measurements   []string
}

func (g *granter) backup() Access {
	a := g.service(Backup, "asks for the nightly backup, stores days", BackupRequested, BackupCompleted, BackupFailed)
	g.consumer(&a, BackupDurable, BackupRequested)
	// It looks for the nightly request by sequence number, and before it removes
	// old days for those that somebody works on.
	a.Publish = append(a.Publish, g.api("DIRECT.GET"), g.api("CONSUMER.LIST"))
	return a
}

func (g *granter) restore() Access {
	a := g.service(Restore, "restores days, waits for the dumpers before", RestoreCompleted, RestoreFailed)
	g.consumer(&a, RestoreDurable, BackupCompleted, RestoreRequested)
	a.Publish = append(a.Publish, g.api("CONSUMER.LIST"))
	return a
}

func (g *granter) dumper() Access {
	a := g.service(Dumper, "dumps measurements", DumpCompleted, DumpFailed)
	g.consumer(&a, DumperDurable, DumpRequested)
	for _, m := range g.measurements {
		g.consumer(&a, MeasurementDurable(m), RestoreCompleted)
	}
	if len(g.measurements) == 0 {
		g.consumer(&a, "*", RestoreCompleted)
		for _, other := range []string{BackupDurable, RestoreDurable} {
			a.DenyPublish = append(a.DenyPublish, g.claims(other)...)
			a.DenyPublish = append(a.DenyPublish, g.acks(other)...)
		}
	}
	return a
}

func (g *granter) operators() Access {
	a := Access{
		Program: Operators, Purpose: "ask for work, read every event, see to stream and consumers",
		Publish: []string{
			g.prefix + BackupRequested, g.prefix + RestoreRequested, g.prefix + DumpRequested,
			g.api("STREAM.INFO"), g.api("STREAM.CREATE"), g.api("STREAM.UPDATE"),
			g.api("CONSUMER.LIST"), g.api("CONSUMER.NAMES"), g.api("CONSUMER.INFO", "*"),
			// Whoever reads the stream does it by a consumer of a new name.
			g.api("CONSUMER.CREATE", "*"), g.api("CONSUMER.CREATE", "*", ">"),
			g.api("CONSUMER.MSG.NEXT", "*"), g.api("CONSUMER.DELETE", "*"),
			g.api("DIRECT.GET"), g.api("DIRECT.GET", ">"), g.api("STREAM.MSG.GET"),
			// nats service ls|info|stats, and the services' status.
			"$SRV.>", g.prefix + statusSubject + "*",
		},
		Subscribe: []string{g.inbox(Operators), g.prefix + progressSubject + "*"},
	}
	for _, subject := range Subjects() {
		// Everything below the first word, so that `nats sub 'backup.>'` works.
		first, _, _ := strings.Cut(subject, ".")
		if all := g.prefix + first + ".>"; !slices.Contains(a.Subscribe, all) {
			a.Subscribe = append(a.Subscribe, all)
		}
	}
	for _, durable := range []string{BackupDurable, RestoreDurable, DumperDurable} {
		a.DenyPublish = append(a.DenyPublish, g.claims(durable)...)
		a.DenyPublish = append(a.DenyPublish, g.api("CONSUMER.DELETE", durable))
	}
	for _, m := range g.measurements {
		a.DenyPublish = append(a.DenyPublish, g.claims(MeasurementDurable(m))...)
	}
	return a
}

// service is what each service may do. Each may make the stream, since any of
// them may be the first; to change it, and so perhaps lose events, is for people.
func (g *granter) service(program, purpose string, subjects ...string) Access {
	a := Access{Program: program, Purpose: purpose, Subscribe: []string{g.inbox(program)}}
	for _, subject := range subjects {
		a.Publish = append(a.Publish, g.prefix+subject)
	}
	a.Publish = append(a.Publish, g.prefix+progressSubject+program, g.api("STREAM.INFO"), g.api("STREAM.CREATE"))
	for _, verb := range []micro.Verb{micro.PingVerb, micro.InfoVerb, micro.StatsVerb} {
		all := "$SRV." + verb.String()
		a.Subscribe = append(a.Subscribe, all, all+"."+serviceName(program), all+"."+serviceName(program)+".*")
	}
	a.Subscribe, a.Responses = append(a.Subscribe, g.prefix+statusSubject+program), true
	return a
}

// consumer allows to make a durable consumer, to take its events and to say what
// came of them.
func (g *granter) consumer(a *Access, durable string, subjects ...string) {
	for _, subject := range subjects {
		// Where a new one begins.
		a.Publish = append(a.Publish, g.api("DIRECT.GET", g.prefix+subject))
	}
	if len(subjects) == 1 {
		// The server holds this subject against the consumer's filter.
		a.Publish = append(a.Publish, g.api("CONSUMER.CREATE", durable, g.prefix+subjects[0]))
	} else {
		a.Publish = append(a.Publish, g.api("CONSUMER.CREATE", durable))
	}
	a.Publish = append(a.Publish, g.api("CONSUMER.INFO", durable), g.api("CONSUMER.MSG.NEXT", durable))
	a.Publish = append(a.Publish, g.acks(durable)...)
}

// claims are the requests that take a durable's events, or change which it gets.
func (g *granter) claims(durable string) []string {
	return []string{
		g.api("CONSUMER.CREATE", durable), g.api("CONSUMER.CREATE", durable, ">"), g.api("CONSUMER.MSG.NEXT", durable),
	}
}

// acks are the subjects of acknowledgements: that of today's servers, and the one
// with domain and account that they announce.
func (g *granter) acks(durable string) []string {
	return []string{
		"$JS.ACK." + g.stream + "." + durable + ".>",
		"$JS.ACK.*.*." + g.stream + "." + durable + ".>",
	}
}

func (g *granter) api(request string, more ...string) string {
	return apiSubject(request, append([]string{g.stream}, more...)...)
}

func (g *granter) inbox(program string) string { return g.prefix + InboxPrefix(program) + ".>" }
