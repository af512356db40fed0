package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"nightshard/shared/connect"
	"nightshard/shared/events"
	"nightshard/shared/service"
)

// house is everything that runs. Parts are added in the order of their start
// and end in the reverse order.
type house struct {
	set   settings
	show  *screen
	dir   *folder // data and logs
	bins  *folder // programs
	parts []part
	died  chan error // a child that ended by itself
	bus   *events.Bus

	production, intermediary server
	swift                    map[string]string // how to reach the Swift
	natsURL                  string
	services                 []*process
	pages                    []string // health pages of the services
}

// part is something that runs and can be ended.
type part struct {
	name string
	end  func() error
}

// errNight says that everything ran, but the night did not succeed.
var errNight = errors.New("the night failed")

// live starts everything, runs the night, and stays until ctx ends unless once
// is set. Its error is errNight when a step of the night failed.
func (h *house) live(ctx context.Context, once bool) error {
	influxd, err := h.prepare(ctx)
	if err != nil {
		return h.explain(err)
	}
	if err := h.startServers(ctx, influxd); err != nil {
		return h.explain(err)
	}
	if err := h.fill(ctx); err != nil {
		return h.explain(err)
	}
	if err := h.startServices(ctx); err != nil {
		return h.explain(err)
	}
	n, err := h.night(ctx)
	if err != nil {
		return h.explain(err)
	}
	h.show.table(n)
	if n.failed() {
		err = fmt.Errorf("%w: %s", errNight, n.failures[0])
	}
	if once {
		return err
	}
	h.hints(n)
	return errors.Join(err, h.stay(ctx, n.last))
}

// explain adds what to do about a full disk.
func (h *house) explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || (h.dir != nil && noRoom(h.dir.path)) {
		return fmt.Errorf("%w\nthe disk is full: free some room, or set TMPDIR to a folder on a larger disk", err)
	}
	return err
}

// prepare makes the folder of the run and gets the programs.
func (h *house) prepare(ctx context.Context) (influxd string, err error) {
	g, err := findGo(ctx, h.set.env)
	if err != nil {
		return "", err
	}
	if h.set.production != nil {
		if err := h.set.production.checkOwn(ctx, h.set.database); err != nil {
			return "", err
		}
	}
	if err := h.makeFolders(); err != nil {
		return "", err
	}
	if influxd, err = h.findInfluxd(ctx, g, filepath.Dir(h.bins.path)); err != nil {
		return "", err
	}
	return influxd, h.show.while("building the services", func() error { return g.buildAll(ctx, h.bins.path) })
}

// makeFolders makes the folders of the run, one for data and one for programs.
func (h *house) makeFolders() error {
	var err error
	if h.dir, err = newFolder(""); err != nil {
		return err
	}
	if err := needRoom(h.dir.path, roomForData, "the demonstration", "TMPDIR"); err != nil {
		return err
	}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	if h.bins, err = newFolder(cache); err != nil {
		return err
	}
	h.show.line("all files of this run are in %s and %s", h.dir.path, h.bins.path)
	return needRoom(cache, roomForPrograms, "the programs of the demonstration", "XDG_CACHE_HOME")
}

// startServers starts the servers that stand in for those of a real
// installation.
func (h *house) startServers(ctx context.Context, influxd string) error {
	if err := h.startNATS(ctx); err != nil {
		return err
	}
	if err := h.startSwift(); err != nil {
		return err
	}
	var err error
	if h.intermediary, err = h.startInflux(ctx, influxd, "intermediary", 19086); err != nil {
		return err
	}
	if h.set.production != nil {
		h.production = *h.set.production
		h.show.line("production InfluxDB: your own at %s, snapshot port %s, only read", h.production.URL, h.production.Snapshot)
		return h.chooseMeasurements(ctx)
	}
	h.production, err = h.startInflux(ctx, influxd, "production", 18086)
	return err
}

// chooseMeasurements takes the first three of the reader's own database, unless
// the reader has named some.
func (h *house) chooseMeasurements(ctx context.Context) error {
	if len(h.set.measurements) > 0 {
		return nil
	}
	client, err := h.production.client()
	if err != nil {
		return err
	}
	names, err := client.Measurements(ctx, h.set.database)
	if err != nil {
		return fmt.Errorf("choose measurements of %s: %w", h.production.URL, err)
	}
	if len(names) == 0 {
		return fmt.Errorf("choose measurements of %s: database %q has none", h.production.URL, h.set.database)
	}
	h.set.measurements = names[:min(3, len(names))]
	h.show.line("dumping %q; NIGHTSHARD_MEASUREMENTS chooses others", h.set.measurements)
	return nil
}

// openBus connects to NATS, whose address is that of our own server.
func (h *house) openBus(ctx context.Context) error {
	var err error
	common := service.Common{NATS: service.NATS{URL: h.natsURL}, SubjectPrefix: h.set.prefix(), Replicas: 1}
	if h.bus, err = connect.Bus(ctx, common, "local", zerolog.Nop()); err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	h.add("bus", func() error {
		connect.Close(context.WithoutCancel(ctx), h.bus, zerolog.Nop())
		return nil
	})
	return nil
}

func (h *house) add(name string, end func() error) {
	h.parts = append(h.parts, part{name: name, end: end})
}

// watchOver reports a child that ends before we end it.
func (h *house) watchOver(p *process) {
	h.add(p.name, func() error { return p.stop(10 * time.Second) })
	go func() {
		<-p.done
		if p.stopping.Load() {
			return
		}
		select {
		case h.died <- p.lastWords():
		default: // one is enough
		}
	}()
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
	for _, f := range []*folder{h.dir, h.bins} {
		if f != nil {
			err = errors.Join(err, f.remove())
		}
	}
	return err
}

// logs is the folder of the services' logs.
func (h *house) logs() string { return filepath.Join(h.dir.path, "logs") }

// bin is the path of a program that was built.
func (h *house) bin(name string) string { return filepath.Join(h.bins.path, name) }

// noRoom says that a folder's disk takes no more.
func noRoom(dir string) bool {
	probe := filepath.Join(dir, "probe")
	err := os.WriteFile(probe, make([]byte, 1<<16), 0o600)
	if rmErr := os.Remove(probe); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
		return false
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
