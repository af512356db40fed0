// Command swiftd keeps the testbed's Swift running until it is interrupted,
// and prints the settings of one account for a shell:
//
//	go run ./shared/testbed/swiftd
//
// Tests that run meanwhile use the same instance and start at once.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"nightshard/shared/testbed"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "swiftd:", err)
		os.Exit(1)
	}
}

func run() error {
	account, err := testbed.OpenSwift()
	if err != nil {
		return fmt.Errorf("open Swift: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for _, name := range []string{"ST_AUTH", "ST_USER", "ST_KEY"} {
		fmt.Printf("export %s=%s\n", name, account.Env[name])
	}
	<-ctx.Done()
	return nil
}
