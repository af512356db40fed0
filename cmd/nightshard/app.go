package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"nightshard/shared/objstore"
	"nightshard/shared/service"
)

// app is what the commands share.
type app struct {
	env    map[string]string
	out    *screen // results
	errs   *screen // notes and errors
	asJSON bool
	now    func() time.Time
	// store opens Swift; the second result is its address without secrets.
	store func(context.Context) (objstore.Account, string, error)
	// grace is how long nobody may be seen at a durable before it counts as
	// not running: between two requests for an event nobody is seen either.
	grace time.Duration
	// patience bounds the first answer of a server: a person waits for it.
	patience time.Duration
	// ask puts a question to a person, nil when there is none at a terminal.
	ask func(question string) bool
	// started says that a command has begun: an error before that is misuse.
	started bool
}

// run is the whole command: it returns the exit code.
func run(ctx context.Context, args []string, env map[string]string, stdout, stderr io.Writer) int {
	return newApp(env, stdout, stderr).run(ctx, args)
}

func newApp(env map[string]string, stdout, stderr io.Writer) *app {
	a := &app{
		env: env, out: newScreen(stdout, env), errs: newScreen(stderr, env),
		now: time.Now, grace: 5 * time.Second, patience: 5 * time.Second,
	}
	a.store, a.ask = a.openSwift, askTerminal(a.errs)
	return a
}

func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(a.errs)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return service.ExitDone
	}
	if _, silent := errors.AsType[*silentError](err); !silent {
		a.errs.printf("nightshard: %v\n", err)
	}
	if a.misused(err) {
		a.errs.printf("See: %s --help\n", cmd.CommandPath())
		return service.ExitMisuse
	}
	return service.ExitFailed
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "nightshard",
		Short: "Nightly backups of InfluxDB: ask for them, follow them, look at them",
		Long: `Nightly backups of InfluxDB: ask for them, follow them, look at them.

The settings are those of the services, from the environment: NATS_URL and the
other NATS_* names, ST_AUTH, ST_USER and ST_KEY or OS_* for Swift, and
NIGHTSHARD_SUBJECT_PREFIX, NIGHTSHARD_TIMEZONE and NIGHTSHARD_DATABASE.

Exit codes: 0 done, 1 failed, 2 misused.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().BoolVar(&a.asJSON, "json", false, "print JSON")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(a.requestCommand(), a.listCommand(), a.showCommand(), a.verifyCommand(), a.restoreFilesCommand(), a.dumpsCommand(), a.statusCommand(), a.watchCommand(), a.doctorCommand(), a.pruneCommand(), a.versionCommand())
	return root
}

// does makes a command's work of fn and marks where misuse ends.
func (a *app) does(fn func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.started = true
		return fn(cmd.Context(), args)
	}
}

func (a *app) misused(err error) bool {
	_, misuse := errors.AsType[*misuseError](err)
	_, config := errors.AsType[*service.ConfigError](err)
	return !a.started || misuse || config
}

// misuseError is a mistake of whoever called the command.
type misuseError struct{ err error }

func (e *misuseError) Error() string { return e.err.Error() }
func (e *misuseError) Unwrap() error { return e.err }

func misuse(format string, args ...any) error {
	return &misuseError{err: fmt.Errorf(format, args...)}
}

// silentError fails a command that has already said why.
type silentError struct{ why string }

func (e *silentError) Error() string { return e.why }
