package connect

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"nightshard/shared/events"
	"nightshard/shared/influx"
	"nightshard/shared/trust"
)

// Login ends a request for good when InfluxDB refuses the user, or when we and a
// server do not trust each other's certificates: asking again with the same
// settings does not help, and the operator should hear of it at once. settings
// is what the settings' names begin with, such as NIGHTSHARD_PRODUCTION.
func Login(settings string, work events.Handler) events.Handler {
	return func(ctx context.Context, d *events.Delivery) ([]proto.Message, error) {
		results, err := work(ctx, d)
		if errors.Is(err, influx.ErrUnauthorized) {
			err = events.Permanent(fmt.Errorf("log in with %s_USER and %s_PASSWORD: %w", settings, settings, err))
		}
		if trust.Is(err) {
			err = events.Permanent(err)
		}
		return results, err
	}
}
