package service

import (
	"context"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
)

// Supervised is a service in the eyes of the service manager that started it:
// systemd, with Type=notify. Without a manager that wants to know, nothing is
// sent.
type Supervised struct{ log zerolog.Logger }

// Supervise tells the service manager that the service is alive, twice in each
// interval of its watchdog, for as long as alive returns nil, and that it stops
// when ctx ends. A manager with a watchdog ends and restarts a service that it
// does not hear of.
func Supervise(ctx context.Context, alive func() error, log zerolog.Logger) *Supervised {
	s := &Supervised{log: log}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn().Err(err).Msg("the service manager's watchdog is not served: WATCHDOG_USEC cannot be read")
	}
	if every > 0 {
		go s.watchdog(ctx, every/2, alive)
	}
	context.AfterFunc(ctx, func() { s.send(daemon.SdNotifyStopping, "STATUS=stopping") })
	return s
}

// Ready says that the service works: what is started after it may begin.
func (s *Supervised) Ready() { s.send(daemon.SdNotifyReady, statusWorks) }

// statusWorks is what systemctl status shows.
const statusWorks = "STATUS=takes events"

func (s *Supervised) watchdog(ctx context.Context, every time.Duration, alive func() error) {
	hangs := false
	for {
		err := alive()
		switch {
		case err == nil && hangs:
			s.send(daemon.SdNotifyWatchdog, statusWorks)
		case err == nil:
			s.send(daemon.SdNotifyWatchdog)
		case !hangs:
			s.log.Error().Err(err).Msg("the service hangs: the service manager's watchdog is left to end it")
			s.send("STATUS=hangs: " + err.Error())
		}
		hangs = err != nil
		if Pause(ctx, every) != nil {
			return
		}
	}
}

func (s *Supervised) send(lines ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		s.log.Warn().Err(err).Strs("lines", lines).Msg("the service manager was not told")
	}
}
