package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nightshard/shared/influx"
)

// startInflux starts an influxd on free loopback ports with empty folders. A
// port that another program takes first is replaced.
func (h *house) startInflux(ctx context.Context, binary, name string, port int) (server, error) {
	dir, err := h.dir.sub(name)
	if err != nil {
		return server{}, err
	}
	var at server
	err = withPorts(name, func(free func(int) (int, error)) error {
		httpPort, err := free(port)
		if err != nil {
			return err
		}
		snapshotPort, err := free(port + 2)
		if err != nil {
			return err
		}
		at = server{URL: "http://" + loopback(httpPort), Snapshot: loopback(snapshotPort)}
		p, err := tryInflux(ctx, binary, name, dir, at)
		if err == nil {
			h.watchOver(p)
		}
		return err
	})
	if err != nil {
		return server{}, fmt.Errorf("start %s: %w", name, err)
	}
	h.show.line("%s InfluxDB at %s, snapshot port %s", name, at.URL, at.Snapshot)
	return at, nil
}

func tryInflux(ctx context.Context, binary, name, dir string, at server) (*process, error) {
	config := filepath.Join(dir, "influxdb.conf")
	if err := os.WriteFile(config, []byte(influxConfig(dir, at)), 0o600); err != nil {
		return nil, fmt.Errorf("write settings: %w", err)
	}
	logFile := filepath.Join(dir, "influxd.log")
	_ = os.Remove(logFile) // of a try before this one
	p, err := start(spec{name: name, path: binary, args: []string{"run", "-config", config}, env: map[string]string{"HOME": dir}, log: logFile})
	if err != nil {
		return nil, err
	}
	if err := awaitInflux(ctx, p, at); err != nil {
		return nil, errors.Join(err, p.stop(5*time.Second))
	}
	return p, nil
}

// influxConfig differs from the server's defaults in what keeps it on this
// machine and quiet.
func influxConfig(dir string, at server) string {
	return fmt.Sprintf(`reporting-disabled = true
bind-address = %q
[meta]
  dir = %q
[data]
  dir = %q
  wal-dir = %q
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = %q
  log-enabled = false
`, at.Snapshot, filepath.Join(dir, "meta"), filepath.Join(dir, "data"), filepath.Join(dir, "wal"), strings.TrimPrefix(at.URL, "http://"))
}

// awaitInflux waits until the process answers. Another InfluxDB may have taken
// the port a moment before ours: the answer has to be our child's.
func awaitInflux(ctx context.Context, proc *process, at server) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client, err := at.client()
	if err != nil {
		return err
	}
	return poll(ctx, 20*time.Millisecond, func() (bool, error) {
		if proc.portTaken() {
			return false, errPortTaken
		}
		if !proc.alive() {
			return false, proc.lastWords()
		}
		pid, err := serverPID(ctx, client)
		if err != nil {
			return false, nil //nolint:nilerr // it does not answer yet
		}
		if pid != fmt.Sprint(proc.cmd.Process.Pid) {
			return false, errPortTaken
		}
		return true, nil
	})
}

// serverPID asks a server for the id of its process.
func serverPID(ctx context.Context, client *influx.Client) (string, error) {
	series, err := client.Query(ctx, "", "SHOW DIAGNOSTICS FOR 'system'")
	if err != nil {
		return "", err //nolint:wrapcheck // only its being an error counts
	}
	for _, s := range series {
		i := slices.Index(s.Columns, "PID")
		if i < 0 || len(s.Values) == 0 {
			continue
		}
		if pid, ok := s.Values[0][i].(json.Number); ok {
			return pid.String(), nil
		}
	}
	return "", fmt.Errorf("find PID in diagnostics: it is not there")
}

// client talks HTTP to the server.
func (s server) client() (*influx.Client, error) {
	c, err := influx.NewClient(influx.ClientConfig{URL: s.URL, User: s.User, Password: s.Password, TLS: s.TLS})
	if err != nil {
		return nil, fmt.Errorf("use %s: %w", s.URL, err)
	}
	return c, nil
}

// checkOwn makes sure, before anything is started, that the reader's InfluxDB
// answers on both ports and has the database.
func (s server) checkOwn(ctx context.Context, database string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client, err := s.client()
	if err != nil {
		return err
	}
	names, err := client.Databases(ctx)
	if err != nil {
		return fmt.Errorf("look at NIGHTSHARD_PRODUCTION_URL %s: %w", s.URL, err)
	}
	if !slices.Contains(names, database) {
		return fmt.Errorf("look at NIGHTSHARD_PRODUCTION_URL %s: it has no database %q, but %s; set NIGHTSHARD_DATABASE to one of them",
			s.URL, database, strings.Join(names, ", "))
	}
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", s.Snapshot)
	if err != nil {
		return fmt.Errorf("look at NIGHTSHARD_PRODUCTION_SNAPSHOT %s: %w; InfluxDB answers there on loopback only, until bind-address in its configuration names another address", s.Snapshot, err)
	}
	return conn.Close() //nolint:wrapcheck // it never fails here
}
