// Package monitoring holds the alert rules for Prometheus and the dashboard for
// Grafana. Its tests hold both against the metrics that the services export.
package monitoring
