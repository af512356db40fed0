package events_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	nightshardv1 "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

func TestEachEndOfADeliveryIsTold(t *testing.T) {
	t.Parallel()
	bus := connect(t, startNATS(t).URL)
	endings := make(chan events.Ending, 20)
	bus.OnEnding(func(e events.Ending) { endings <- e })
	working := make(chan struct{}, 1)
	c := backups(func(ctx context.Context, d *events.Delivery) ([]proto.Message, error) {
		in, _ := d.Message.(*nightshardv1.BackupRequested)
		switch {
		case in.GetDay() == "good" && d.Attempt == 2:
			return completed("good"), nil
		case in.GetDay() == "stopped":
			working <- struct{}{}
			<-ctx.Done()
			return nil, events.Step("shards", ctx.Err())
		}
		return nil, events.Step("check", errors.New("size differs"))
	})
	c.Attempts = 2
	stop := consume(t, bus, c)
	for _, day := range []string{"good", "bad", "stopped"} {
		publish(t, bus, &nightshardv1.BackupRequested{Day: day}, "")
	}
	receive(t, "start of the last", working)
	stop()
	var got []string
	for range 5 {
		e := receive(t, "ending", endings)
		in, _ := e.Delivery.Message.(*nightshardv1.BackupRequested)
		line := fmt.Sprintf("%s %d %s %q", in.GetDay(), e.Delivery.Attempt, e.Outcome, e.Step)
		for _, msg := range e.Published {
			subject, _ := events.SubjectOf(msg)
			line += " " + subject
		}
		got = append(got, line)
	}
	// A delivery that waits for its next attempt lets others pass.
	slices.Sort(got)
	want := []string{
		`bad 1 retry "check"`, `bad 2 failed "check" backup.failed`, `good 1 retry "check"`, `good 2 done "" backup.completed`,
		`stopped 1 handed_back "shards"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("endings:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(endings) > 0 {
		t.Errorf("%d endings more", len(endings))
	}
}
