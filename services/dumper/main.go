// Command dumper writes the records of each configured measurement as one
// document a day into OpenStack Swift, as JSON unless it is told otherwise, for
// each restore.completed, and on dump.requested for any past days.
package main

import (
	"context"
	"os"

	"nightshard/shared/service"
)

func main() {
	cfg := &config{}
	os.Exit(service.Main(service.Program{
		Name: "dumper", About: "dumps measurements of the intermediary InfluxDB as JSON, CSV or Parquet, for each restore.completed and dump.requested",
		Config: cfg,
		Run: func(ctx context.Context) error {
			return run(ctx, env{cfg: cfg, vars: service.Environ(), logs: os.Stderr})
		},
	}))
}
