package events

import "time"

// AliveAt is what Alive says at another time.
func (b *Bus) AliveAt(now time.Time) error { return b.aliveAt(now) }
