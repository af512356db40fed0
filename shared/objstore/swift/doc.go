// Package swift keeps objects in OpenStack Swift. It is an adapter over
// ncw/swift, which knows how to log in (v1, v2, v3) and how to write URLs, and
// holds no policy: nothing is tried twice, except an upload whose container was
// missing. Every call ends when its context does, or when the server stalls.
//
// An object above Config.SegmentBytes is a static large object. Its segments
// are in the container named like the object's with "_segments" after it, with
// the names that the `swift` client gives: OBJECT/slo/TIME/BYTES/NUMBER.
package swift
