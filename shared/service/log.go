package service

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
)

// NewLogger writes to w, one JSON object a line, or lines for people when format
// is "console", or when it is empty and w is a terminal. Times have
// milliseconds: the gap between two steps of a night is shorter than a second.
// With "journal" the lines are for systemd's: it has the time already, and takes
// the level from the number before each.
func NewLogger(w io.Writer, name, level, format string) (zerolog.Logger, error) {
	lvl, err := zerolog.ParseLevel(level)
	if err != nil || level == "" {
		return zerolog.Nop(), fmt.Errorf("NIGHTSHARD_LOG_LEVEL is %q, want debug, info, warn or error", level)
	}
	log := func(w io.Writer) zerolog.Logger { return zerolog.New(w).Level(lvl) }
	switch format {
	case "journal":
		return log(journal{w}).With().Str("service", name).Logger(), nil
	case "":
		if terminal(w) {
			w = console(w)
		}
	case "console":
		w = console(w)
	case "json":
	default:
		return zerolog.Nop(), fmt.Errorf("NIGHTSHARD_LOG_FORMAT is %q, want json, console or journal", format)
	}
	return log(w).Hook(stamp{}).With().Str("service", name).Logger(), nil
}

// stamp adds the time in UTC with milliseconds, whatever zerolog's global
// format is.
type stamp struct{}

// Run implements zerolog.Hook.
func (stamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}

func console(w io.Writer) io.Writer {
	return zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000"}
}

// journal begins each line with the priority of its level, as sd-daemon(3) has
// it.
type journal struct{ io.Writer }

// WriteLevel implements zerolog.LevelWriter.
func (j journal) WriteLevel(level zerolog.Level, line []byte) (int, error) {
	priority := "<6>"
	switch {
	case level >= zerolog.ErrorLevel && level != zerolog.NoLevel:
		priority = "<3>"
	case level == zerolog.WarnLevel:
		priority = "<4>"
	case level <= zerolog.DebugLevel:
		priority = "<7>"
	}
	// In one write: other lines may go to the same place.
	if _, err := j.Write(append([]byte(priority), line...)); err != nil {
		return 0, err //nolint:wrapcheck // zerolog reports it
	}
	return len(line), nil
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
