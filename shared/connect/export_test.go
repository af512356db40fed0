package connect

import (
	"time"

	"google.golang.org/protobuf/proto"

	"nightshard/shared/notify"
)

// People tells people of an event of the service.
func People(n *notify.Notifier, name string, msg proto.Message, now time.Time) {
	people(n, name, msg, now)
}
