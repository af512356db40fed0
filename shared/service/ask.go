package service

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"time"
)

// askTimeout bounds the question to the own health page.
const askTimeout = 5 * time.Second

// health asks the health page of the service that runs beside this process with
// the same settings. An image without a shell and without curl has no other way
// to check itself.
func (p Program) health(ctx context.Context, stderr io.Writer) int {
	if err := p.ask(ctx); err != nil {
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
		return ExitFailed
	}
	return ExitDone
}

func (p Program) ask(ctx context.Context) error {
	listen, err := p.listen()
	if err != nil {
		return err
	}
	url, err := healthURL(listen)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask health page: %w", err)
	}
	// The page is on this machine: a proxy of the environment is not asked.
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask health page: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask health page %s: answered %s", url, resp.Status)
	}
	return nil
}

// listen reads NIGHTSHARD_LISTEN alone: the other settings are judged by the
// service when it starts, not at each check.
func (p Program) listen() (string, error) {
	for _, field := range fields(reflect.ValueOf(p.Config).Elem()) {
		if field.name() == "NIGHTSHARD_LISTEN" {
			err := field.read()
			return field.value.String(), err
		}
	}
	return "", fmt.Errorf("%s has no health page", p.Name)
}

// healthURL is the page of a service that listens on addr. A service that
// listens on every address is asked on loopback.
func healthURL(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("read NIGHTSHARD_LISTEN: %w; want host:port", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return "http://" + net.JoinHostPort(host, port) + "/healthz", nil
}
