// Package notify tells people outside of NATS: a heartbeat after each good night,
// whose absence somebody else notices, and a webhook for each failure. It owns the
// form of these requests and their tries. The night never waits for it: what
// cannot be sent is tried again, then dropped, logged and counted.
//
// The URLs may hold secrets: they are in no log line and no error.
package notify
