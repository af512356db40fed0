package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"nightshard/shared/events"
	"nightshard/shared/service"
)

// awaitDumpers waits until no dumper is at work: what it reads is about to be
// dropped. Those with an event still to take are waited for at most DumperWait:
// the durable of a process that was retired must not hold the night.
func (r *restore) awaitDumpers(ctx context.Context, j *job) error {
	begin := r.now()
	told := false
	for {
		states, err := r.dumpers(ctx)
		unknown := errors.Is(err, events.ErrUnanswered)
		if err != nil && !unknown {
			return fmt.Errorf("ask for the dumpers' work: %w", err)
		}
		working, waiting := busy(states)
		if unknown {
			working = []string{err.Error()} // one of them may be at work
		}
		if len(working) == 0 && (len(waiting) == 0 || r.now().Sub(begin) >= r.cfg.DumperWait) {
			if len(waiting) > 0 {
				j.log.Warn().Strs("dumpers", waiting).Msg("dumpers have not taken the event of the restore before; not waiting any longer")
			}
			return nil
		}
		if !told {
			j.log.Info().Strs("working", working).Strs("waiting", waiting).Msg("waiting for dumpers")
			told = true
		}
		if err := service.Pause(ctx, 250*time.Millisecond); err != nil {
			return err
		}
	}
}

// busy names the dumpers' durables with work in hand, and those with an event
// still to take.
func busy(states []events.ConsumerState) (working, waiting []string) {
	for _, s := range states {
		switch {
		case s.Name != "dumper" && !strings.HasPrefix(s.Name, "dumper-"):
		case s.AckPending > 0:
			working = append(working, s.Name)
		case s.Pending > 0:
			waiting = append(waiting, s.Name)
		}
	}
	return working, waiting
}
