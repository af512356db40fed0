package events_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	nightshardv1 "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
)

func TestEveryEventIsPublishedWithItsSchema(t *testing.T) {
	t.Parallel()
	want := fmt.Sprintf(`"schema":%d`, events.Schema)
	for _, msg := range append(messages(), &nightshardv1.Progress{}) {
		body, err := events.Encode(msg)
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%T: %s, %v; want %s", msg, body, err, want)
		}
	}
}

func messages() []proto.Message {
	var all []proto.Message
	for _, subject := range events.Subjects() {
		all = append(all, events.NewMessage(subject))
	}
	return all
}

func TestNoSchemaMeansTheFirst(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}`, `{"schema":0}`, `{"schema":null}`, `{"schema":1}`, `{"schema":"1"}`} {
		msg, err := events.Decode(events.BackupRequested, []byte(body))
		if in, ok := msg.(*nightshardv1.BackupRequested); err != nil || !ok || in.GetSchema() != 1 {
			t.Errorf("%s: %v, %v", body, msg, err)
		}
	}
}

// An event of a later version may have fields of other types: the schema is the
// reason that is told all the same.
func TestNewerSchemaIsRefusedAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for _, subject := range events.Subjects() {
		for _, body := range []string{
			`{"schema":2}`, `{"schema":"2"}`, `{"schema":2,"day":{"year":2031},"measurement":[1]}`,
		} {
			_, err := events.Decode(subject, []byte(body))
			if !errors.Is(err, events.ErrNewer) || !strings.Contains(err.Error(), "schema is 2") ||
				!strings.Contains(err.Error(), "up to 1") || !strings.Contains(err.Error(), "upgrade") {
				t.Errorf("%s %s: %v", subject, body, err)
			}
		}
	}
	for _, body := range []string{`{"schema":-1}`, `{"schema":1.5}`, `{"schema":"new"}`, `{"schema":[2]}`} {
		if msg, err := events.Decode(events.BackupRequested, []byte(body)); err == nil || errors.Is(err, events.ErrNewer) {
			t.Errorf("%s was read as %v, %v", body, msg, err)
		}
	}
}

// Whoever only looks at events sees as much of a newer one as there is to see.
func TestNewerEventCanBeLookedAt(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus := connect(t, srv.URL)
	if _, err := plain(t, srv.URL).Request("backup.completed", []byte(`{"day":"2026-11-22","schema":2,"colour":"red"}`), patience); err != nil {
		t.Fatal(err)
	}
	seen, ok := history(t, bus, events.BackupCompleted)[0].Message.(*nightshardv1.BackupCompleted)
	if !ok || seen.GetDay() != "2026-11-22" || seen.GetSchema() != 2 {
		t.Errorf("event %v", seen)
	}
}

func TestRequestOfANewerVersionFailsAtOnceAndTheNextIsServed(t *testing.T) {
	t.Parallel()
	srv := startNATS(t)
	bus := connect(t, srv.URL)
	consume(t, bus, backups(func(_ context.Context, d *events.Delivery) ([]proto.Message, error) {
		if in, ok := d.Message.(*nightshardv1.BackupRequested); !ok || in.GetDay() != "" {
			t.Errorf("handler called with %v", d.Message)
		}
		return completed("2026-11-23"), nil
	}))
	by := plain(t, srv.URL)
	for _, body := range []string{`{"day":"2026-11-22","schema":2}`, `{}`} {
		if _, err := by.Request("backup.requested", []byte(body), patience); err != nil {
			t.Fatal(err)
		}
	}
	awaitEvents(t, bus, events.BackupCompleted, 1)
	failed, _ := awaitEvents(t, bus, events.BackupFailed, 1)[0].Message.(*nightshardv1.BackupFailed)
	if failed.GetDay() != "2026-11-22" || failed.GetStep() != events.StepRead || failed.GetAttempts() != 1 || !failed.GetFinal() ||
		!strings.Contains(failed.GetError(), "schema is 2") || !strings.Contains(failed.GetError(), "upgrade this service") {
		t.Errorf("failed event %v", failed)
	}
}
