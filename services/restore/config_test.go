package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/service"
	"nightshard/shared/tsm"
)

func TestEverySettingIsKnownToAllServices(t *testing.T) {
	t.Parallel()
	for _, name := range service.Names(&config{}) {
		if strings.HasPrefix(name, "NIGHTSHARD_") && !service.Known(name) {
			t.Errorf("%s is not in the list of known settings: every other service refuses it", name)
		}
	}
}

func TestOfflineSettingsAreChecked(t *testing.T) {
	t.Parallel()
	good := config{
		Common: service.Common{TimeZone: "UTC", Replicas: 1, IdleTimeout: time.Second, WorkTimeout: time.Second, AckWait: time.Second, RetryWait: time.Second, LogLevel: "info"}, Mode: modeOffline,
		MetaDir: t.TempDir(), DataDir: t.TempDir(), Stop: "systemctl stop influxdb", Start: `["systemctl","start","influxdb"]`,
		Parallel: 1, Counters: 1, FullEvery: 1,
	}
	if problems := good.Problems(); len(problems) > 0 {
		t.Fatalf("good settings: %v", problems)
	}
	for name, spoil := range map[string]func(*config){
		"NIGHTSHARD_HEARTBEAT_URL":   func(c *config) { c.HeartbeatURL = "example.com/hush" },
		"NIGHTSHARD_RESTORE_MODE":    func(c *config) { c.Mode = "fast" },
		"NIGHTSHARD_RESTORE_METADIR": func(c *config) { c.MetaDir = "/nowhere" },
		"NIGHTSHARD_RESTORE_DATADIR": func(c *config) { c.DataDir = "" },
		"NIGHTSHARD_RESTORE_STOP":    func(c *config) { c.Stop = " " },
		"NIGHTSHARD_RESTORE_START":   func(c *config) { c.Start = `["start"` },
		"NIGHTSHARD_INTERMEDIARY_CA": func(c *config) { c.CA = "/no/where" },
	} {
		bad := good
		spoil(&bad)
		if problems := bad.Problems(); len(problems) != 1 || !strings.Contains(problems[0], name) {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

func TestCommandsAreArgumentListsAndNeverAShell(t *testing.T) {
	t.Parallel()
	args, err := parseCommand("stop influxdb; rm -rf $HOME")
	if err != nil || !slices.Equal(args, []string{"stop", "influxdb;", "rm", "-rf", "$HOME"}) {
		t.Errorf("%q, %v", args, err)
	}
	args, err = parseCommand(`["a b", "c"]`)
	if err != nil || !slices.Equal(args, []string{"a b", "c"}) {
		t.Errorf("%q, %v", args, err)
	}
}

func TestOnlyWorkingDumpersHoldARestoreForEver(t *testing.T) {
	t.Parallel()
	states := []events.ConsumerState{
		{Name: "backup", AckPending: 1},
		{Name: "restore", AckPending: 1},
		{Name: "dumper"},
		{Name: "dumper-cpu", AckPending: 1, Pending: 2},
		{Name: "dumper-mem", Pending: 1},
		{Name: "dumpers", AckPending: 1},
	}
	working, waiting := busy(states)
	if !slices.Equal(working, []string{"dumper-cpu"}) || !slices.Equal(waiting, []string{"dumper-mem"}) {
		t.Errorf("working %v, waiting %v", working, waiting)
	}
}

func TestARetiredDumperHoldsARestoreForASetTimeOnly(t *testing.T) {
	t.Parallel()
	asked := 0
	r := &restore{cfg: &config{DumperWait: 400 * time.Millisecond}, now: time.Now, dumpers: func(context.Context) ([]events.ConsumerState, error) {
		asked++
		if asked == 2 { // a server of the cluster was lost: nobody knows
			return nil, fmt.Errorf("list: %w", events.ErrUnanswered)
		}
		states := []events.ConsumerState{{Name: "dumper-old", Pending: 7}}
		if asked < 4 {
			states = append(states, events.ConsumerState{Name: "dumper-cpu", AckPending: 1})
		}
		return states, nil
	}}
	if err := r.awaitDumpers(t.Context(), &job{}); err != nil || asked < 4 {
		t.Errorf("asked %d times, %v", asked, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	asked = 0
	if err := r.awaitDumpers(ctx, &job{}); err == nil {
		t.Error("a stopped service waited on")
	}
}

func TestFilesThatCameBackAreHeldAgainstTheManifest(t *testing.T) {
	t.Parallel()
	s := night.Shard{ID: 7, Files: []night.File{{Name: "a.tsm", Bytes: 3, SHA256: "x"}}}
	if err := sameFiles(s, &tsm.Archive{Files: []tsm.File{{Name: "a.tsm", Size: 3, SHA256: "x"}}}); err != nil {
		t.Errorf("equal files: %v", err)
	}
	for what, files := range map[string][]tsm.File{
		"missing":          nil,
		"it has SHA-256":   {{Name: "a.tsm", Size: 3, SHA256: "y"}},
		"does not name it": {{Name: "a.tsm", Size: 3, SHA256: "x"}, {Name: "b.tsm"}},
	} {
		if err := sameFiles(s, &tsm.Archive{Files: files}); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := sameFiles(night.Shard{}, &tsm.Archive{Files: []tsm.File{{Name: "a.tsm"}}}); err != nil {
		t.Errorf("an old script's shard says nothing of its files: %v", err)
	}
}
