package testbed

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// The admin of a server with login. The password holds characters that a
// careless client would damage in a URL or in a statement.
const (
	adminName     = "admin"
	adminPassword = "s3cret&pass word'%"
)

// Write stores points in line protocol (times in nanoseconds) and fails the
// test when the server refuses any. An empty rp is the default policy.
func (s *InfluxServer) Write(t testing.TB, db, rp, lines string) {
	t.Helper()
	values := url.Values{"db": {db}}
	if rp != "" {
		values.Set("rp", rp)
	}
	if _, err := s.call("POST", "/write", values, lines); err != nil {
		t.Fatalf("write to %s: %v", db, err)
	}
}

// Query runs one or more statements and returns the server's JSON answer as
// it came. A statement that the server refuses fails the test. db may be empty.
func (s *InfluxServer) Query(t testing.TB, db, statement string) []byte {
	t.Helper()
	out, err := s.query(db, statement)
	if err != nil {
		t.Fatalf("query %q: %v", statement, err)
	}
	return out
}

// CreateDatabase creates a database with the server's default policy.
func (s *InfluxServer) CreateDatabase(t testing.TB, name string) {
	t.Helper()
	s.Query(t, "", `CREATE DATABASE "`+strings.ReplaceAll(name, `"`, `\"`)+`"`)
}

// createAdmin makes the first user; a server with login allows this one
// statement to anybody as long as it has no admin.
func (s *InfluxServer) createAdmin() {
	s.t.Helper()
	quoted := strings.ReplaceAll(adminPassword, "'", `\'`)
	s.Query(s.t, "", "CREATE USER "+adminName+" WITH PASSWORD '"+quoted+"' WITH ALL PRIVILEGES")
	s.User, s.Password = adminName, adminPassword
	if err := poll(10*time.Second, s.ready); err != nil {
		s.t.Fatalf("log in as admin: %v", err)
	}
}

// authOn reads back whether this server asks for a login.
func (s *InfluxServer) authOn() bool {
	conf, err := os.ReadFile(s.ConfigFile)
	return err == nil && strings.Contains(string(conf), "auth-enabled = true")
}

// query runs statements by POST; errors of the server inside a good HTTP
// answer are errors too.
func (s *InfluxServer) query(db, statement string) ([]byte, error) {
	values := url.Values{"q": {statement}}
	if db != "" {
		values.Set("db", db)
	}
	body, err := s.call("POST", "/query", values, "")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error   string
		Results []struct{ Error string }
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	for _, r := range answer.Results {
		answer.Error += r.Error
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("influxd says: %s", answer.Error)
	}
	return body, nil
}

// call makes one HTTP request; any status but 2xx is an error.
func (s *InfluxServer) call(method, path string, values url.Values, body string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path+"?"+values.Encode(), strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if s.User != "" {
		req.SetBasicAuth(s.User, s.Password)
	}
	req.Close = true // a kept connection would not survive a restart of the server
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("call influxd: %w", err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: status %s: %s", method, path, resp.Status, out)
	}
	return out, nil
}
