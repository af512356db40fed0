// Package extending holds the examples of docs/extending.md, and tests that run
// them.
package extending
