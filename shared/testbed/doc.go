// Package testbed starts the real servers that the project is tested against:
// InfluxDB, NATS JetStream and OpenStack Swift, and builds the project's own
// commands.
//
// Every function takes the test it works for, waits until the server answers,
// and stops it when the test ends. A server that is not installed skips the
// test, or fails it when TESTBED_REQUIRED=1 is set, so that a run in CI cannot
// pass by leaving tests out.
//
// Nothing here knows the rest of the project: the packages under test must not
// be used to test themselves.
package testbed
