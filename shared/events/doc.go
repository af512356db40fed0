// Package events is the bus between the services: one JetStream stream that
// keeps every event, durable consumers that share long jobs between replicas,
// and progress messages beside the stream.
//
// The package owns the stream's shape, the encoding of the bodies, the heartbeat
// of a running job and the order in which a job ends: publish the results, then
// acknowledge. It must not know what a job does.
//
// A handler has three outcomes. Nil: its messages are published and the event is
// done. An error made by [Permanent]: the failed event is published and the
// event is done. Any other error: the event comes back later, until the
// attempts are used up. A handler can be called again after a crash at any
// instruction, and very rarely while another replica still finishes the same
// event, so what it does must be idempotent.
package events
