// Command local shows Nightshard on one machine: it starts two InfluxDB
// servers, NATS, a small Swift and the three services, runs one night and stays
// up for a look around. It needs Go and a checkout of the repository, nothing
// else, and leaves nothing behind.
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

const help = `Usage: go run ./deploy/local [--once]

Starts two InfluxDB 1.8 servers, NATS, a small Swift and the three services on
this machine, writes a week of sample data, runs one night, shows it, and stays
up until Ctrl-C. It leaves nothing behind but a cached influxd.

  --once   end after the night; exit code 0 if it was done, 1 if it failed
  --help   this text

Settings, from the environment:

  NIGHTSHARD_PRODUCTION_URL        back up this InfluxDB in place of sample data; it is only read.
                                   NIGHTSHARD_DATABASE is then required
  NIGHTSHARD_PRODUCTION_SNAPSHOT   its snapshot address; the URL's host and port 8088 when unset
  NIGHTSHARD_PRODUCTION_USER, NIGHTSHARD_PRODUCTION_PASSWORD
  NIGHTSHARD_PRODUCTION_CA, NIGHTSHARD_PRODUCTION_CERT, NIGHTSHARD_PRODUCTION_KEY
  NIGHTSHARD_DATABASE              sensu_db, the database of the sample data
  NIGHTSHARD_MEASUREMENTS          cpu,memory,disk of the sample data; the first three of another InfluxDB
  ST_AUTH, ST_USER, ST_KEY         store in this Swift, also OS_AUTH_URL and the other OS_* names;
                                   it keeps what the night stores
  NIGHTSHARD_DAY                   yesterday, whose dumps are complete; or today

  Passed on to the services as they are: NIGHTSHARD_TIMEZONE, NIGHTSHARD_SUBJECT_PREFIX,
  NIGHTSHARD_RETENTION_POLICY, NIGHTSHARD_LOG_LEVEL, NIGHTSHARD_PARALLEL, NIGHTSHARD_FULL_EVERY, NIGHTSHARD_COUNT_PARALLEL, NIGHTSHARD_COUNT_PAUSE,
  NIGHTSHARD_DUMP_PARALLEL, NIGHTSHARD_DUMP_RECORDS, NIGHTSHARD_IDLE_TIMEOUT, NIGHTSHARD_WORK_TIMEOUT,
  NIGHTSHARD_SPOOL_DIR
`

func main() {
	// A pipe whose reader is gone must not kill us before we have cleaned up.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(ctx)
	watchGoRun(cancel)
	code := run(ctx, os.Args[1:], service.Environ(), os.Stdout, os.Stderr)
	cancel()
	stop()
	os.Exit(code)
}

// errMisuse says that the reader has to change how the command is called.
var errMisuse = errors.New("see go run ./deploy/local --help")

// run is the whole demonstration: it returns the exit code once everything that
// it started is gone. env is the process environment.
func run(ctx context.Context, args []string, env map[string]string, stdout, stderr io.Writer) int {
	once, err := parseArgs(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(stdout, help)
		return service.ExitDone
	case err != nil:
		return report(stderr, err)
	}
	set, err := readSettings(env)
	if err != nil {
		return report(stderr, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h := &house{set: set, show: newScreen(stdout, env["TERM"], cancel), died: make(chan error, 1)}
	err = h.live(ctx, once)
	if err != nil && ctx.Err() != nil && !errors.Is(err, errNight) {
		err = nil // somebody has ended it, which is no failure, unless the night was to be judged
		if once {
			err = errors.New("interrupted before the night was over; everything that was started has ended")
		}
	}
	return report(stderr, errors.Join(err, h.tearDown()))
}

func parseArgs(args []string) (once bool, err error) {
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&once, "once", false, "")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return false, flag.ErrHelp
		}
		return false, fmt.Errorf("read arguments: %w: %w", err, errMisuse)
	}
	if flags.NArg() > 0 {
		return false, fmt.Errorf("read arguments: unexpected %q: %w", flags.Arg(0), errMisuse)
	}
	return once, nil
}

// report says what went wrong, if anything did, and gives the exit code.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return service.ExitDone
	}
	_, _ = fmt.Fprintf(stderr, "local: %v\n", err)
	if errors.Is(err, errMisuse) {
		return service.ExitMisuse
	}
	return service.ExitFailed
}
