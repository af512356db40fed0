// Command nightshard is what operators work with: it asks for backups,
// restores and dumps, follows them, and shows what is stored and who is at
// work. It changes nothing by itself: the services do.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"nightshard/shared/service"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], service.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
