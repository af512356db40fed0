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
func NewLogger(w io.Writer, name, level, format string) (zerolog.Logger, error) {
	lvl, err := zerolog.ParseLevel(level)
	if err != nil || level == "" {
		return zerolog.Nop(), fmt.Errorf("NIGHTSHARD_LOG_LEVEL is %q, want debug, info, warn or error", level)
	}
	switch format {
	case "":
		if terminal(w) {
			w = console(w)
		}
	case "console":
		w = console(w)
	case "json":
	default:
		return zerolog.Nop(), fmt.Errorf("NIGHTSHARD_LOG_FORMAT is %q, want json or console", format)
	}
	return zerolog.New(w).Level(lvl).Hook(stamp{}).With().Str("service", name).Logger(), nil
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

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
