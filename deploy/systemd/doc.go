// Package systemd holds the units and settings files for machines without
// containers, and what tests them.
package systemd
