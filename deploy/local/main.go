// Command local runs a whole night on this machine: it starts two InfluxDBs, a
// NATS server, a small Swift and the three services, writes sample data, asks
// for one backup and shows what happens. It leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"nightshard/shared/service"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], service.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

const usage = `go run ./deploy/local [--once]

Starts everything that a night needs on this machine, writes a week of sample
data, runs one night and shows it. Then it stays up and prints what to try;
Ctrl-C ends all of it.

  --once   end after the night: exit code 0 if all of it succeeded, else 1
  --help   this text

From the environment, all optional:
  NIGHTSHARD_PRODUCTION_URL       back up this InfluxDB instead of sample data; it is only read
  NIGHTSHARD_PRODUCTION_SNAPSHOT  its snapshot address (default: the same host, port 8088)
  NIGHTSHARD_DATABASE             its database (required with it)
  NIGHTSHARD_MEASUREMENTS         what to dump (default: the first three)
  ST_AUTH, ST_USER, ST_KEY        a Swift of your own, or OS_*, instead of one in memory
`

// run is the whole command; it returns the exit code.
func run(ctx context.Context, args []string, env map[string]string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	once := flags.Bool("once", false, "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = fmt.Fprint(stdout, usage)
		return service.ExitDone
	case err != nil || flags.NArg() > 0:
		_, _ = fmt.Fprintf(stderr, "local: unexpected arguments %q\n\n%s", args, usage)
		return service.ExitMisuse
	}
	show := newScreen(stdout)
	h := &house{env: env, show: show}
	failed, err := h.live(ctx, *once)
	if err = errors.Join(err, h.tearDown()); err != nil && ctx.Err() == nil {
		_, _ = fmt.Fprintf(stderr, "local: %v\n", err)
		return service.ExitFailed
	}
	if failed {
		return service.ExitFailed
	}
	if ctx.Err() != nil && *once {
		_, _ = fmt.Fprintln(stderr, "local: interrupted; everything that was started has ended")
		return service.ExitFailed
	}
	return service.ExitDone
}
