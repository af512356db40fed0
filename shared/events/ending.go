package events

import "google.golang.org/protobuf/proto"

// Outcome is how the work on a delivery ended.
type Outcome string

// The outcomes of a delivery.
const (
	// OutcomeDone: its results are published.
	OutcomeDone Outcome = "done"
	// OutcomeFailed: it is given up, and the failed event is published.
	OutcomeFailed Outcome = "failed"
	// OutcomeRetry: the attempt failed, another follows.
	OutcomeRetry Outcome = "retry"
	// OutcomeHandedBack: the service stops, another replica takes it.
	OutcomeHandedBack Outcome = "handed_back"
	// OutcomeLost: NATS may have given it to another replica.
	OutcomeLost Outcome = "lost"
)

// Outcomes lists all of them.
func Outcomes() []Outcome {
	return []Outcome{OutcomeDone, OutcomeFailed, OutcomeRetry, OutcomeHandedBack, OutcomeLost}
}

// Ending says how the work on one delivery ended. A delivery whose
// acknowledgement did not get through ends more than once.
type Ending struct {
	Delivery *Delivery
	Outcome  Outcome
	// Published are the events that answer it: the results, or the failed event.
	Published []proto.Message
	// Step is where the error came up, empty for none or one of no step.
	Step string
}

// OnEnding has fn called at the end of each delivery, for metrics and for messages
// to people. It must be set before Consume. Consumers call fn at the same time. It
// must not block: the next event waits for it.
func (b *Bus) OnEnding(fn func(Ending)) { b.onEnding = fn }

// ended tells of the end of a delivery.
func (j *job) ended(outcome Outcome, err error, published ...proto.Message) {
	j.outcome = outcome
	if j.bus.onEnding != nil {
		j.bus.onEnding(Ending{Delivery: j.Delivery, Outcome: outcome, Published: published, Step: StepOf(err)})
	}
}
