package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"nightshard/shared/service"
)

func TestExitCodesTellMisuseFromFailure(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]int{
		"":                               service.ExitDone,
		"--help":                         service.ExitDone,
		"version":                        service.ExitDone,
		"request restore --help":         service.ExitDone,
		"completion bash":                service.ExitDone,
		"bogus":                          service.ExitMisuse,
		"--bogus":                        service.ExitMisuse,
		"list extra":                     service.ExitMisuse,
		"list --last -1":                 service.ExitMisuse,
		"show":                           service.ExitMisuse,
		"show 2016-06-31":                service.ExitMisuse,
		"request":                        service.ExitMisuse,
		"request bogus":                  service.ExitMisuse,
		"request restore":                service.ExitMisuse,
		"request restore 1 2":            service.ExitMisuse,
		"request backup --timeout 1h":    service.ExitMisuse,
		"show 2016-01-01":                service.ExitFailed,
		"status":                         service.ExitFailed,
		"request backup":                 service.ExitFailed,
		"request restore 2016-06-01":     service.ExitFailed,
		"request dump --measurement cpu": service.ExitMisuse,
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			r := cli{store: house(t), change: hasty}.run(t, strings.Fields(args)...)
			if r.code != want {
				t.Errorf("exit code %d, want %d\n%s%s", r.code, want, r.out, r.err)
			}
			if want == service.ExitMisuse && !strings.Contains(r.err, "--help") {
				t.Errorf("no word on where to look: %s", r.err)
			}
			if want != service.ExitDone && strings.TrimSpace(r.out+r.err) == "" {
				t.Error("it does not say why")
			}
		})
	}
}

// hasty waits for no server.
func hasty(a *app) { a.patience = 300 * time.Millisecond }

func TestWrongSettingsAreMisuseAndAllListed(t *testing.T) {
	t.Parallel()
	env := map[string]string{"NIGHTSHARD_TIMEZONE": "Mars/Olympus", "NIGHTSHARD_SUBJECT_PREFX": "x"}
	for _, verb := range []string{"list", "status", "request backup", "show 2016-06-01"} {
		r := cli{env: env, store: house(t)}.run(t, strings.Fields(verb)...)
		if r.code != service.ExitMisuse || !strings.Contains(r.err, "Mars/Olympus") || !strings.Contains(r.err, "NIGHTSHARD_SUBJECT_PREFX") {
			t.Errorf("%s: exit code %d\n%s", verb, r.code, r.err)
		}
	}
}

func TestMissingSwiftSettingsAreMisuseAndNamed(t *testing.T) {
	t.Parallel()
	r := cli{}.run(t, "list")
	if r.code != service.ExitMisuse || !strings.Contains(r.err, "ST_AUTH") {
		t.Errorf("exit code %d\n%s", r.code, r.err)
	}
}

func TestUnreachableServersAreNamedWithWhatToDo(t *testing.T) {
	t.Parallel()
	env := map[string]string{"ST_AUTH": "http://127.0.0.1:1/auth/v1.0", "ST_USER": "u:v", "ST_KEY": "sesame"}
	r := cli{env: env}.run(t, "list")
	if r.code != service.ExitFailed || !strings.Contains(r.err, "127.0.0.1:1") || !strings.Contains(r.err, "ST_*") {
		t.Errorf("Swift: exit code %d\n%s", r.code, r.err)
	}
	if strings.Contains(r.err, "sesame") {
		t.Errorf("a secret in %s", r.err)
	}
	r = cli{env: map[string]string{"NATS_URL": "nats://u:sesame@127.0.0.1:1"}, change: hasty}.run(t, "request", "backup")
	if r.code != service.ExitFailed || !strings.Contains(r.err, "NATS_URL") || strings.Contains(r.err, "sesame") {
		t.Errorf("NATS: exit code %d\n%s", r.code, r.err)
	}
}

func TestVersionIsFromTheBuild(t *testing.T) {
	t.Parallel()
	cli{}.run(t, "version").done(t).shows(t, "nightshard ", "go1.")
	v := decode[versionReport](t, cli{}.run(t, "version", "--json").done(t))
	if v.Version == "" || v.Go == "" || v.OS == "" {
		t.Errorf("version %+v", v)
	}
}

func TestEveryCommandHasWordsAndThoseWithArgumentsExamples(t *testing.T) {
	t.Parallel()
	root := newApp(nil, &buffer{}, &buffer{}).root()
	for _, cmd := range append(root.Commands(), root.Commands()[1].Commands()...) {
		if cmd.Short == "" || (cmd.Example == "" && cmd.Name() != "version") {
			t.Errorf("%s: short %q, example %q", cmd.CommandPath(), cmd.Short, cmd.Example)
		}
	}
}

func TestRunTakesItsWorldAsArguments(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"version"}, map[string]string{}, &out, &errs); code != service.ExitDone || out.Len() == 0 || errs.Len() > 0 {
		t.Errorf("exit code %d, %q, %q", code, out.String(), errs.String())
	}
}
