package service_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"nightshard/shared/service"
)

// page are the settings of a service with a health page. The required setting
// is not set: a check does not need it.
type page struct {
	service.Common
	Listen string `envconfig:"NIGHTSHARD_LISTEN" default:"127.0.0.1:9421" desc:"address"`
}

func TestHealthIsThatOfTheRunningService(t *testing.T) {
	clean(t)
	addr, err := service.Serve(t.Context(), "0.0.0.0:0", service.NewRegistry(), func() error { return nil }, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addr)
	for _, listen := range []string{":" + port, "0.0.0.0:" + port, "127.0.0.1:" + port} {
		t.Setenv("NIGHTSHARD_LISTEN", listen)
		var stderr bytes.Buffer
		if code := health(t, &stderr); code != service.ExitDone {
			t.Errorf("%s: exit code %d: %s", listen, code, stderr.String())
		}
	}
}

func TestHealthSaysWhatIsWrong(t *testing.T) {
	clean(t)
	sick := httptest.NewServer(http.NotFoundHandler())
	defer sick.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for listen, want := range map[string]string{
		strings.TrimPrefix(sick.URL, "http://"): "404",
		strings.TrimPrefix(gone.URL, "http://"): "refused",
		"9421":                                  "NIGHTSHARD_LISTEN",
	} {
		t.Setenv("NIGHTSHARD_LISTEN", listen)
		var stderr bytes.Buffer
		if code := health(t, &stderr); code != service.ExitFailed || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit code %d: %s; want %s", listen, code, stderr.String(), want)
		}
	}
}

func health(t *testing.T, stderr io.Writer) int {
	t.Helper()
	p := service.Program{Name: "test", Config: &page{}}
	return p.MainWith(t.Context(), []string{"--health"}, io.Discard, stderr)
}
