package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Exit codes of every program of the project.
const (
	ExitDone   = 0
	ExitFailed = 1
	ExitMisuse = 2
)

// Program is one service as its main function describes it.
type Program struct {
	// Name is the service's short name, such as "backup".
	Name string
	// About is one line on what it does.
	About string
	// Config points to the settings struct; Main fills it.
	Config any
	// Run does the work until ctx ends, which is no error.
	Run func(ctx context.Context) error
}

// Main runs the program with the process's arguments and environment and
// returns its exit code. SIGINT and SIGTERM end the context.
func Main(p Program) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return p.main(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

func (p Program) main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	switch {
	case slices.Contains(args, "--help") || slices.Contains(args, "-h"):
		return p.help(stdout)
	case slices.Equal(args, []string{"--version"}):
		_, _ = fmt.Fprintln(stdout, p.Name, Version())
		return ExitDone
	case slices.Equal(args, []string{"--health"}):
		return p.health(ctx, stderr)
	case len(args) > 0:
		_, _ = fmt.Fprintf(stderr, "%s: unexpected argument %q: it takes its settings from the environment, see --help\n", p.Name, args[0])
		return ExitMisuse
	}
	if err := Load(p.Config); err != nil {
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
		return ExitMisuse
	}
	err := p.Run(ctx)
	var config *ConfigError
	switch {
	case errors.As(err, &config):
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
		return ExitMisuse
	case err != nil && ctx.Err() == nil:
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
		return ExitFailed
	}
	return ExitDone
}

func (p Program) help(w io.Writer) int {
	_, _ = fmt.Fprintf(w, "%s: %s\n\nSettings, from the environment:\n", p.Name, p.About)
	if err := Usage(w, p.Config); err != nil {
		return ExitFailed
	}
	_, _ = fmt.Fprint(w, "\nSwift: ST_AUTH, ST_USER and ST_KEY, or OS_AUTH_URL and the other OS_* names of the swift client;\n"+
		"ST_KEY_FILE, OS_PASSWORD_FILE, OS_APPLICATION_CREDENTIAL_SECRET_FILE: files that hold them;\n"+
		"OS_CACERT, OS_CERT, OS_KEY: PEM files of the authorities to trust, and of a client certificate and its key.\n\n"+
		"--health asks the service that runs here for its health: exit code 0 when it answers, 1 when not.\n")
	return ExitDone
}

// Pause waits for d or for the end of ctx, whose error it returns.
func Pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Environ is the process environment as a map.
func Environ() map[string]string {
	env := map[string]string{}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}
