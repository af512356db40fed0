package main

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"nightshard/shared/objstore"
	"nightshard/shared/testbed"
)

// On a terminal each verb shows that it is at work while a server lets it wait.
func TestNoVerbIsSilentWhileSwiftIsSlow(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{
		"list", "show 2016-06-01", "verify all", "restore-files 2016-06-01 x", "dumps 2016-06 x", "request restore newest", "status", "doctor",
	} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			var out, errs buffer
			c := cli{store: house(t), change: func(a *app) {
				a.patience = time.Second
				a.errs = &screen{Writer: &errs, terminal: true, width: 80}
				a.store = func(context.Context) (objstore.Account, string, error) {
					testbed.Eventually(t, patience, "a sign of life", func() bool { return strings.Contains(errs.String(), "\r\x1b[K|") })
					return nil, "", errors.New("Swift is away")
				}
			}}
			c.start(t.Context(), &out, &errs, strings.Fields(verb))
			if text := errs.String(); !strings.Contains(text, "\r\x1b[K|") {
				t.Errorf("no sign of life: %q", text)
			}
		})
	}
}

func TestNoVerbIsSilentWhileNATSIsSlow(t *testing.T) {
	t.Parallel()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mute.Close() })
	for _, verb := range []string{"request backup", "watch", "prune --keep 14d --dry-run", "status", "doctor"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			var out, errs buffer
			c := cli{store: house(t), env: map[string]string{"NATS_URL": "nats://" + mute.Addr().String()}, change: func(a *app) {
				a.patience = 3 * time.Second
				a.errs = &screen{Writer: &errs, terminal: true, width: 80}
			}}
			c.start(t.Context(), &out, &errs, strings.Fields(verb))
			if text := errs.String(); !strings.Contains(text, "\r\x1b[K|") {
				t.Errorf("no sign of life: %q", text)
			}
		})
	}
}
