package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/rs/zerolog"

	"nightshard/shared/connect"
	"nightshard/shared/events"
	"nightshard/shared/influx"
	"nightshard/shared/service"
)

// needed is the room that the demonstration takes on disk, in bytes.
const needed = 1 << 30

// house is everything that runs. Parts are added in the order of their start
// and end in the reverse order.
type house struct {
	env   map[string]string
	show  *screen
	dir   string // everything that is written is below it
	bins  map[string]string
	parts []part
	bus   *events.Bus

	production, intermediary *influxServer
	settings                 map[string]string // of the services
	swift                    map[string]string // how to reach the Swift
	natsURL                  string
	measurements             []string
}

// part is something that runs and can be ended.
type part struct {
	name string
	end  func() error
}

// live starts everything, runs the night, and stays until ctx ends unless once
// is set. failed says that the night did not end well.
func (h *house) live(ctx context.Context, once bool) (failed bool, err error) {
	if err := h.prepare(ctx); err != nil {
		return false, err
	}
	if err := h.startServers(ctx); err != nil {
		return false, err
	}
	if err := h.fill(ctx); err != nil {
		return false, err
	}
	if err := h.startServices(ctx); err != nil {
		return false, err
	}
	n, err := h.night(ctx)
	if err != nil {
		return false, err
	}
	h.show.table(n)
	if once {
		return n.failed(), nil
	}
	h.hints(n)
	<-ctx.Done()
	h.show.line("ending what was started")
	return false, nil
}

// prepare makes the folder and gets the programs.
func (h *house) prepare(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "nightshard-local-")
	if err != nil {
		return fmt.Errorf("make a folder for the demonstration: %w", err)
	}
	h.dir = dir
	if err := enough(dir); err != nil {
		return err
	}
	h.bins, err = h.programs(ctx)
	return err
}

// enough says whether the disk has room.
func enough(dir string) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("look at the disk under %s: %w", dir, err)
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < needed { //nolint:gosec // a block size is positive
		return fmt.Errorf("write to %s: %d MiB are free and %d MiB are needed; free some, or set TMPDIR to a folder with more", dir, free>>20, needed>>20)
	}
	return nil
}

// startServers starts the servers that stand in for those of a real
// installation.
func (h *house) startServers(ctx context.Context) error {
	var err error
	if h.natsURL, err = h.startNATS(); err != nil {
		return err
	}
	if h.swift, err = h.startSwift(); err != nil {
		return err
	}
	if h.intermediary, err = h.startInflux(ctx, "intermediary", 8186, 8188); err != nil {
		return err
	}
	if own := h.env["NIGHTSHARD_PRODUCTION_URL"]; own != "" {
		return h.ownProduction(ctx, own)
	}
	h.production, err = h.startInflux(ctx, "production", 8086, 8088)
	return err
}

// ownProduction takes the reader's InfluxDB, which is only read.
func (h *house) ownProduction(ctx context.Context, own string) error {
	if h.env["NIGHTSHARD_DATABASE"] == "" {
		return errors.New("NIGHTSHARD_DATABASE is missing: set it to the database of your InfluxDB at NIGHTSHARD_PRODUCTION_URL")
	}
	snapshot := h.env["NIGHTSHARD_PRODUCTION_SNAPSHOT"]
	if u, err := url.Parse(own); err == nil && snapshot == "" {
		snapshot = u.Hostname() + ":8088"
	}
	client, err := influx.NewClient(influx.ClientConfig{
		URL: own, User: h.env["NIGHTSHARD_PRODUCTION_USER"], Password: h.env["NIGHTSHARD_PRODUCTION_PASSWORD"],
	})
	if err != nil {
		return fmt.Errorf("NIGHTSHARD_PRODUCTION_URL: %w", err)
	}
	h.production = &influxServer{url: own, snapshot: snapshot, client: client}
	h.measurements, err = client.Measurements(ctx, h.database())
	if err != nil {
		return fmt.Errorf("look at your InfluxDB: %w", err)
	}
	h.measurements = h.measurements[:min(3, len(h.measurements))]
	return nil
}

func (h *house) database() string {
	if h.env["NIGHTSHARD_PRODUCTION_URL"] != "" {
		return h.env["NIGHTSHARD_DATABASE"]
	}
	return sampleDatabase
}

// startServices starts the three services as a supervisor would, and waits
// until they wait for events.
func (h *house) startServices(ctx context.Context) error {
	h.settings = map[string]string{
		"PATH": h.env["PATH"], "HOME": h.env["HOME"], "TZ": "UTC",
		"NATS_URL": h.natsURL, "NIGHTSHARD_SCHEDULE": "off", "NIGHTSHARD_LOG_FORMAT": "json",
		// A whole day, whatever the time is now: the first dump is complete.
		"NIGHTSHARD_DAY": "yesterday",
	}
	for name, value := range h.env {
		if strings.HasPrefix(name, "NIGHTSHARD_") {
			h.settings[name] = value
		}
	}
	maps.Copy(h.settings, h.swift)
	maps.Copy(h.settings, map[string]string{
		"NIGHTSHARD_DATABASE":            h.database(),
		"NIGHTSHARD_PRODUCTION_URL":      h.production.url,
		"NIGHTSHARD_PRODUCTION_SNAPSHOT": h.production.snapshot, "NIGHTSHARD_INTERMEDIARY_URL": h.intermediary.url,
		"NIGHTSHARD_INTERMEDIARY_SNAPSHOT": h.intermediary.snapshot, "NIGHTSHARD_LISTEN": "127.0.0.1:0",
	})
	if err := h.dumped(); err != nil {
		return err
	}
	var err error
	common := service.Common{NATS: service.NATS{URL: h.natsURL}, SubjectPrefix: h.env["NIGHTSHARD_SUBJECT_PREFIX"]}
	if h.bus, err = connect.Bus(ctx, common, "local", 0, zerolog.Nop()); err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	h.parts = append(h.parts, part{"bus", func() error {
		connect.Close(context.WithoutCancel(ctx), h.bus, zerolog.Nop())
		return nil
	}})
	for _, name := range []string{"backup", "restore", "dumper"} {
		if err := h.startService(ctx, name); err != nil {
			return err
		}
	}
	h.show.line("the three services wait for events")
	return nil
}

// dumped settles which measurements are dumped.
func (h *house) dumped() error {
	if h.settings["NIGHTSHARD_MEASUREMENTS"] == "" {
		names, err := jsonList(h.measurements)
		if err != nil {
			return err
		}
		h.settings["NIGHTSHARD_MEASUREMENTS"] = names
	}
	return nil
}

// tearDown ends every part, the last one first, and removes what was written.
func (h *house) tearDown() error {
	h.show.finish()
	var err error
	for _, p := range slices.Backward(h.parts) {
		if endErr := p.end(); endErr != nil {
			err = errors.Join(err, fmt.Errorf("end %s: %w", p.name, endErr))
		}
	}
	h.parts = nil
	if h.dir == "" {
		return err
	}
	if removeErr := os.RemoveAll(h.dir); removeErr != nil {
		err = errors.Join(err, fmt.Errorf("remove %s: %w", h.dir, removeErr))
	}
	return err
}

// path is a place below the demonstration's folder.
func (h *house) path(parts ...string) string {
	return filepath.Join(append([]string{h.dir}, parts...)...)
}
