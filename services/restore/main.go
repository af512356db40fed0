// Command restore puts a day's backup into the intermediary InfluxDB, compares
// what came back with what production had, and publishes restore.completed when
// both agree.
package main

import (
	"context"
	"os"

	"nightshard/shared/service"
)

func main() {
	cfg := &config{}
	os.Exit(service.Main(service.Program{
		Name: "restore", About: "restores each backed up day to the intermediary InfluxDB and checks it, for each backup.completed and restore.requested",
		Config: cfg,
		Run: func(ctx context.Context) error {
			return run(ctx, env{cfg: cfg, vars: service.Environ(), logs: os.Stderr})
		},
	}))
}
