package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"nightshard/shared/service"
)

// settings are those of a service of the test.
type settings struct {
	service.Common
	Parallel int `envconfig:"NIGHTSHARD_PARALLEL" default:"4" desc:"how many"`
}

func (s *settings) Problems() []string {
	return append(s.Common.Problems(), service.Positive(map[string]int64{"NIGHTSHARD_PARALLEL": int64(s.Parallel)})...)
}

// clean unsets every setting of the machine that the test runs on.
func clean(t *testing.T) {
	t.Helper()
	for name := range service.Environ() {
		if strings.HasPrefix(name, "NIGHTSHARD_") || strings.HasPrefix(name, "NATS_") {
			value := os.Getenv(name)
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Setenv(name, value) }) //nolint:usetesting // t.Setenv cannot unset
		}
	}
}

func TestSettingsAreReadWithTheirDefaults(t *testing.T) {
	clean(t)
	t.Setenv("NIGHTSHARD_DATABASE", "sensu_db")
	t.Setenv("NIGHTSHARD_TIMEZONE", "Europe/Berlin")
	var s settings
	if err := service.Load(&s); err != nil {
		t.Fatal(err)
	}
	if s.Database != "sensu_db" || s.URL != "nats://127.0.0.1:4222" || s.AckWait != time.Minute || s.Parallel != 4 || s.Location().String() != "Europe/Berlin" {
		t.Errorf("settings %+v", s)
	}
}

func TestEveryProblemIsListedAtOnce(t *testing.T) {
	clean(t)
	t.Setenv("NIGHTSHARD_ACK_WAIT", "soon")
	t.Setenv("NIGHTSHARD_PARALLEL", "many")
	t.Setenv("NIGHTSHARD_TIMEZONE", "Mars/Olympus")
	t.Setenv("NIGHTSHARD_MESUREMENTS", "cpu")
	var s settings
	err := service.Load(&s)
	var config *service.ConfigError
	if !errors.As(err, &config) || len(config.Problems) != 5 {
		t.Fatalf("problems: %v", err)
	}
	for _, want := range []string{
		"NIGHTSHARD_MESUREMENTS is set, but no service knows it", "NIGHTSHARD_DATABASE is missing",
		`NIGHTSHARD_ACK_WAIT is "soon"`, `NIGHTSHARD_PARALLEL is "many"`,
		`NIGHTSHARD_TIMEZONE is "Mars/Olympus"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no line says %s:\n%v", want, err)
		}
	}
}

func TestValuesAreJudgedTogether(t *testing.T) {
	clean(t)
	for name, value := range map[string]string{
		"NIGHTSHARD_DATABASE": "db", "NIGHTSHARD_TIMEZONE": "Mars/Olympus", "NIGHTSHARD_STREAM_REPLICAS": "2",
		"NIGHTSHARD_LOG_LEVEL": "loud", "NIGHTSHARD_LOG_FORMAT": "xml", "NIGHTSHARD_PARALLEL": "0",
		"NIGHTSHARD_WEBHOOK_FORMAT": "mail", "NIGHTSHARD_WEBHOOK_URL": "hooks.example.com/hush",
	} {
		t.Setenv(name, value)
	}
	var config *service.ConfigError
	err := service.Load(&settings{})
	if !errors.As(err, &config) || len(config.Problems) != 7 || strings.Contains(err.Error(), "hush") {
		t.Errorf("problems: %v", err)
	}
}

func TestHelpListsEverySetting(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	code := service.Program{Name: "test", About: "does nothing", Config: &settings{}}.MainWith(t.Context(), []string{"--help"}, &out, io.Discard)
	if code != service.ExitDone {
		t.Errorf("exit code %d", code)
	}
	for _, name := range service.Names(&settings{}) {
		if !strings.Contains(out.String(), name) {
			t.Errorf("%s is not in the help:\n%s", name, out.String())
		}
	}
}

func TestKnownNamesAreSorted(t *testing.T) {
	t.Parallel()
	if !slices.IsSorted(service.KnownNames()) {
		t.Error("keep the list sorted, so that it can be read")
	}
}

func TestExitCodesTellMisuseFromFailure(t *testing.T) {
	clean(t)
	t.Setenv("NIGHTSHARD_DATABASE", "db")
	run := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for what, c := range map[string]struct {
		ctx  context.Context
		args []string
		run  func(context.Context) error
		want int
	}{
		"done":     {t.Context(), nil, run(nil), service.ExitDone},
		"failed":   {t.Context(), nil, run(errors.New("no")), service.ExitFailed},
		"settings": {t.Context(), nil, run(&service.ConfigError{Problems: []string{"x"}}), service.ExitMisuse},
		"argument": {t.Context(), []string{"--fast"}, run(nil), service.ExitMisuse},
		"stopped":  {ended, nil, run(context.Canceled), service.ExitDone},
		"version":  {t.Context(), []string{"--version"}, nil, service.ExitDone},
	} {
		p := service.Program{Name: "test", Config: &settings{}, Run: c.run}
		if got := p.MainWith(c.ctx, c.args, io.Discard, io.Discard); got != c.want {
			t.Errorf("%s: exit code %d, want %d", what, got, c.want)
		}
	}
}

func TestLogLinesAreJSONWithMilliseconds(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := service.NewLogger(&out, "backup", "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Debug().Msg("not this")
	log.Info().Int("shards", 3).Msg("shards stored")
	var line struct {
		Service, Message, Time string
		Shards                 int
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%s: %v", out.String(), err)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000Z", line.Time); err != nil || line.Service != "backup" || line.Shards != 3 {
		t.Errorf("line %s, %v", out.String(), err)
	}
}

func TestWrongLogSettingsAreNamed(t *testing.T) {
	t.Parallel()
	if _, err := service.NewLogger(io.Discard, "x", "loud", ""); err == nil || !strings.Contains(err.Error(), "NIGHTSHARD_LOG_LEVEL") {
		t.Errorf("level: %v", err)
	}
	if _, err := service.NewLogger(io.Discard, "x", "info", "xml"); err == nil || !strings.Contains(err.Error(), "NIGHTSHARD_LOG_FORMAT") {
		t.Errorf("format: %v", err)
	}
	var out bytes.Buffer
	log, err := service.NewLogger(&out, "x", "info", "console")
	if err != nil {
		t.Fatal(err)
	}
	log.Info().Msg("hello")
	if !strings.Contains(out.String(), "hello") || strings.HasPrefix(out.String(), "{") {
		t.Errorf("console line %q", out.String())
	}
}

// systemd's journal has the time, and takes the level from the number.
func TestLinesForTheJournalBeginWithTheirPriority(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := service.NewLogger(&out, "backup", "debug", "journal")
	if err != nil {
		t.Fatal(err)
	}
	log.Debug().Msg("d")
	log.Info().Msg("i")
	log.Warn().Msg("w")
	log.Error().Msg("e")
	want := `<7>{"level":"debug","service":"backup","message":"d"}
<6>{"level":"info","service":"backup","message":"i"}
<4>{"level":"warn","service":"backup","message":"w"}
<3>{"level":"error","service":"backup","message":"e"}
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestHealthPageTellsReadiness(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	notReady := errors.New("not connected to NATS")
	addr, err := service.Serve(ctx, "127.0.0.1:0", service.NewRegistry(), func() error { return notReady }, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if code, _ := get("/healthz"); code != http.StatusOK {
		t.Errorf("healthz %d", code)
	}
	if code, body := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "NATS") {
		t.Errorf("readyz %d %s", code, body)
	}
	notReady = nil
	if code, _ := get("/readyz"); code != http.StatusOK {
		t.Errorf("readyz %d", code)
	}
	if code, body := get("/metrics"); code != http.StatusOK || !strings.Contains(body, "process_resident_memory_bytes") ||
		!strings.Contains(body, `nightshard_build_info{goversion="go`) {
		t.Errorf("metrics %d", code)
	}
	if _, err := service.Serve(t.Context(), addr, service.NewRegistry(), func() error { return nil }, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "NIGHTSHARD_LISTEN") {
		t.Errorf("a taken address: %v", err)
	}
	cancel()
}
