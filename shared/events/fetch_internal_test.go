package events

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// A request that a lost server had is asked anew at once, not when its silence has
// lasted.
func TestARequestIsAskedAnewWhenTheConnectionIsBack(t *testing.T) {
	t.Parallel()
	restored := make(chan nats.Status, 1)
	restored <- nats.CONNECTED
	_, open, err := next(t.Context(), make(chan *nats.Msg), restored, time.Hour)
	if !errors.Is(err, errSilent) || !open {
		t.Errorf("next = %v, open %v; want errSilent, open", err, open)
	}
}
