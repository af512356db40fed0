package connect

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/metrics"
	"nightshard/shared/night"
	"nightshard/shared/notify"
	"nightshard/shared/objstore"
)

// lastWords bounds how long a service that stops goes on telling of failures.
const lastWords = 5 * time.Second

// tell has the metrics, the heartbeat and the webhook follow what the service
// does, and the metrics rebuilt from the store. The function that it returns ends
// all of it.
func tell(ctx context.Context, o Options, set *metrics.Set, store objstore.Account, bus *events.Bus, log zerolog.Logger) (end func()) {
	n := notify.New(notify.Config{
		Heartbeat: o.Heartbeat, Webhook: o.Common.WebhookURL, Format: o.Common.WebhookFormat, Told: set.Notified, Log: log,
	})
	bus.OnEnding(func(e events.Ending) {
		set.Ended(e)
		for _, msg := range e.Published {
			people(n, o.Name, msg, time.Now())
		}
	})
	recalling, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { set.Recall(recalling, store, log) })
	return func() {
		cancel()
		wg.Wait()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		n.Close(ctx)
	}
}

// people are told of a good night and of each failure.
func people(n *notify.Notifier, name string, msg proto.Message, now time.Time) {
	switch m := msg.(type) {
	case *pb.RestoreCompleted:
		// The restore of an old day is no good night, and one that compared
		// nothing proves none.
		if m.GetVerdict().GetNote() != night.NoFingerprint && night.Recent(m.GetCutoff().AsTime(), now) {
			n.Beat()
		}
	case failure:
		subject, _ := events.SubjectOf(msg)
		f := notify.Failure{
			Event: subject, Service: name, Database: m.GetDatabase(), Day: m.GetDay(), Step: m.GetStep(),
			Attempts: m.GetAttempts(), Error: m.GetError(), Time: now.UTC(),
		}
		if of, ok := msg.(interface{ GetMeasurement() string }); ok {
			f.Measurement = of.GetMeasurement()
		}
		n.Fail(f)
	}
}

// failure is what the three failed events have in common.
type failure interface {
	GetDatabase() string
	GetDay() string
	GetStep() string
	GetAttempts() int32
	GetError() string
}
