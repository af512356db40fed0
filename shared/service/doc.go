// Package service is the shell around a service: its settings, its log, its
// stop signals, its health page and metrics, and what it was built from. It
// knows nothing of days, events or stores.
package service
