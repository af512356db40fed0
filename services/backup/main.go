// Command backup streams the shards of a production InfluxDB 1.x into OpenStack
// Swift, once for each backup.requested, and publishes backup.completed when
// the day is stored and verified. It only reads from production.
package main

import (
	"context"
	"os"

	"nightshard/shared/service"
)

func main() {
	cfg := &config{}
	os.Exit(service.Main(service.Program{
		Name: "backup", About: "stores an InfluxDB 1.x database in OpenStack Swift, verified, for each backup.requested",
		Config: cfg,
		Run: func(ctx context.Context) error {
			return run(ctx, env{cfg: cfg, vars: service.Environ(), logs: os.Stderr})
		},
	}))
}
