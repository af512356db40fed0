package connect_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"nightshard/shared/connect"
	"nightshard/shared/service"
)

// A wrong file is the operator's to mend: it must not wait until Swift answers,
// and every one is named.
func TestWrongNATSFilesAreToldBeforeAnyServerIsAsked(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, _, err := connect.Open(ctx, connect.Options{
		Name: "backup", Logs: io.Discard, Listen: "127.0.0.1:0",
		Common: service.Common{NATS: service.NATS{CA: "/nowhere/ca.pem", NKey: "/nowhere/seed"}, LogLevel: "info", LogFormat: "json"},
		Vars:   map[string]string{"ST_AUTH": "http://127.0.0.1:1/auth/v1.0", "ST_USER": "u", "ST_KEY": "k"},
	})
	config, ok := errors.AsType[*service.ConfigError](err)
	if !ok || len(config.Problems) != 2 {
		t.Fatalf("%v", err)
	}
	for i, want := range []string{`NATS_CA is "/nowhere/ca.pem"`, `NATS_NKEY is "/nowhere/seed"`} {
		if !strings.Contains(config.Problems[i], want) {
			t.Errorf("problem %d: %s", i, config.Problems[i])
		}
	}
	if ctx.Err() != nil {
		t.Error("it took all the time that it had")
	}
}
