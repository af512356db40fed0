package connect_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/connect"
	"nightshard/shared/night"
	"nightshard/shared/notify"
)

// told gives what people hear of an event.
func told(t *testing.T, service string, msg proto.Message, now time.Time) string {
	t.Helper()
	var mu sync.Mutex
	var heard []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+string(body)))
	}))
	defer server.Close()
	n := notify.New(notify.Config{Heartbeat: server.URL + "/beat", Webhook: server.URL + "/hook", Format: notify.JSON})
	connect.People(n, service, msg, now)
	n.Close(t.Context())
	return strings.Join(heard, "\n")
}

func TestOnlyAProvedBackupOfLastNightIsAGoodNight(t *testing.T) {
	t.Parallel()
	now := time.Date(2016, 6, 2, 0, 1, 2, 0, time.UTC)
	restored := func(age time.Duration, note string) proto.Message {
		return &pb.RestoreCompleted{Day: "2016-06-01", Cutoff: timestamppb.New(now.Add(-age)), Verdict: &pb.Verdict{Compared: 3, Note: note}}
	}
	for what, c := range map[string]struct {
		msg  proto.Message
		want string
	}{
		"last night":           {restored(time.Hour, ""), "GET /beat"},
		"an old day":           {restored(25*time.Hour, ""), ""},
		"an old script's":      {restored(time.Hour, night.NoFingerprint), ""},
		"a backup, not proved": {&pb.BackupCompleted{Day: "2016-06-01"}, ""},
		"a dump":               {&pb.DumpCompleted{Day: "2016-06-01"}, ""},
	} {
		if got := told(t, "restore", c.msg, now); got != c.want {
			t.Errorf("%s: people hear %q, want %q", what, got, c.want)
		}
	}
}

func TestEachFailureIsTold(t *testing.T) {
	t.Parallel()
	now := time.Date(2016, 6, 2, 0, 1, 2, 0, time.UTC)
	for want, msg := range map[string]proto.Message{
		`"event":"backup.failed","service":"x","database":"db","day":"2016-06-01","step":"shards","attempts":5,"error":"e","time":"2016-06-02T00:01:02Z"}`: &pb.BackupFailed{Day: "2016-06-01", Database: "db", Step: "shards", Attempts: 5, Error: "e"},
		`"event":"restore.failed","service":"x","database":"db","day":"","step":"guard"`:                                                                   &pb.RestoreFailed{Database: "db", Step: "guard"},
		`"event":"dump.failed","service":"x","database":"","day":"2016-06-01","measurement":"cpu","step"`:                                                  &pb.DumpFailed{Day: "2016-06-01", Measurement: "cpu"},
	} {
		if got := told(t, "x", msg, now); !strings.HasPrefix(got, "POST /hook {"+want) {
			t.Errorf("people hear %q, want %q", got, want)
		}
	}
}
