package service

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"
)

// Address is the problem of a setting that is no address of an HTTP server, if it
// is set. It tells no password.
func Address(name, value string) []string {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	switch {
	case err != nil:
		// What cannot be read may hold a password.
		return []string{name + " cannot be read as an address, want one such as http://influx-1:8086, without user and password"}
	case u.User != nil:
		return []string{fmt.Sprintf("%s is that of %s and holds a user: put user and password into their own settings, an address is printed in logs", name, u.Host)}
	case u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return []string{fmt.Sprintf("%s is %q: it does not begin with http:// or https:// and a host, want an address such as http://influx-1:8086", name, value)}
	}
	return nil
}

// HostPort is the problem of a setting that is not host:port, if it is set.
func HostPort(name, value, example string) []string {
	if value == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return []string{fmt.Sprintf("%s is %q, want host:port, such as %s", name, value, example)}
	}
	return nil
}

// NotNegative is the problem of a setting that is a time below zero.
func NotNegative(name string, d time.Duration) []string {
	if d < 0 {
		return []string{fmt.Sprintf("%s is %s, want 0s or a time above zero, such as 30s", name, d)}
	}
	return nil
}

// Folder is the problem of a setting that names no folder. want says what stands
// there.
func Folder(name, path, want string) []string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return []string{fmt.Sprintf("%s is %q: %v; want %s", name, path, reason(err), want)}
	case !info.IsDir():
		return []string{fmt.Sprintf("%s is %q: it is no folder; want %s", name, path, want)}
	}
	return nil
}

// reason leaves out the file, which the message names already.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
