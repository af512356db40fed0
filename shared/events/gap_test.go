package events_test

import (
	"context"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

// The first event of a stream may be published while the durable that waits for
// it is being made: whichever comes first, it is delivered.
func TestTheFirstEventIsNotLostWhileItsDurableIsMade(t *testing.T) {
	t.Parallel()
	for range 25 {
		bus := connect(t, startNATS(t).URL)
		got := make(chan string, 1)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- bus.Consume(ctx, events.Consumer{
				Durable: "restore", Subjects: []string{events.BackupCompleted, events.RestoreRequested}, Deliver: events.DeliverLast,
				Handler: func(_ context.Context, d *events.Delivery) ([]proto.Message, error) {
					got <- d.Subject
					return nil, nil
				},
			})
		}()
		if _, err := bus.Publish(t.Context(), events.BackupCompleted, &pb.BackupCompleted{Day: "2016-06-01"}, ""); err != nil {
			t.Fatal(err)
		}
		select {
		case <-got:
		case err := <-ended:
			t.Fatal(err)
		case <-t.Context().Done():
			t.Fatal("the event did not come")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
}
