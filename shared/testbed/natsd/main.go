// Command natsd is a nats-server with JetStream as a process of its own, which
// a test can kill. SIGTERM stops it in good order.
//
//	natsd PORT STOREDIR LOGFILE SYNCALWAYS
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "natsd:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return errors.New("want PORT STOREDIR LOGFILE SYNCALWAYS")
	}
	port, err := strconv.Atoi(args[0])
	if err != nil {
		return fmt.Errorf("read port: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, NoSigs: true, JetStream: true,
		StoreDir: args[1], LogFile: args[2], Logtime: true, SyncAlways: args[3] == "true",
	})
	if err != nil {
		return fmt.Errorf("make server: %w", err)
	}
	srv.ConfigureLogger()
	srv.Start()
	if !srv.ReadyForConnections(20 * time.Second) {
		return errors.New("not ready after 20s")
	}
	<-ctx.Done()
	srv.Shutdown()
	srv.WaitForShutdown()
	return nil
}
