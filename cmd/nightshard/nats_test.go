package main

import (
	"strings"
	"testing"

	"nightshard/shared/service"
)

func TestWrongNATSFileIsMisuseThatNamesIt(t *testing.T) {
	t.Parallel()
	c := cli{env: map[string]string{"NATS_CERT": "/nowhere/c.pem", "NATS_KEY": "/nowhere/k.pem"}}
	r := c.run(t, "request", "backup")
	if r.code != service.ExitMisuse || !strings.Contains(r.err, `NATS_CERT is "/nowhere/c.pem": no such file`) {
		t.Errorf("exit code %d: %s%s", r.code, r.out, r.err)
	}
}
