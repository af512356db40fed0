// Package trust reads the certificates that a client trusts and shows, and says
// of a failed TLS handshake which setting to change. It knows no server: the
// clients of InfluxDB and Swift give it the names of their settings.
package trust
