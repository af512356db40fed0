// Command natsd is a nats-server with JetStream as a process of its own, which
// a test can kill. SIGTERM stops it in good order.
//
//	natsd PORT STOREDIR LOGFILE SYNCALWAYS [NAME CLUSTERPORT ROUTES]
//
// With the last three it is one server of a cluster; ROUTES are the URLs of all
// of them, with commas between.
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
	opts, err := options(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	srv, err := server.NewServer(opts)
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

func options(args []string) (*server.Options, error) {
	if len(args) != 4 && len(args) != 7 {
		return nil, errors.New("want PORT STOREDIR LOGFILE SYNCALWAYS [NAME CLUSTERPORT ROUTES]")
	}
	port, err := strconv.Atoi(args[0])
	if err != nil {
		return nil, fmt.Errorf("read port: %w", err)
	}
	opts := &server.Options{
		Host: "127.0.0.1", Port: port, NoSigs: true, JetStream: true,
		StoreDir: args[1], LogFile: args[2], Logtime: true, SyncAlways: args[3] == "true",
	}
	if len(args) == 4 {
		return opts, nil
	}
	if port, err = strconv.Atoi(args[5]); err != nil {
		return nil, fmt.Errorf("read cluster's port: %w", err)
	}
	opts.ServerName = args[4]
	opts.Cluster = server.ClusterOpts{Name: "testbed", Host: "127.0.0.1", Port: port}
	opts.Routes = server.RoutesFromStr(args[6])
	return opts, nil
}
