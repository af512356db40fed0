// Package metrics holds what a service tells Prometheus: how fresh the last good
// backup, drill and dumps are, what they were like, and what went wrong. It owns
// the metrics' names and meanings, and rebuilds from the store what a restart
// would forget. It knows no service's work and no HTTP.
//
// What is not known has no sample: a zero would be a lie.
package metrics
