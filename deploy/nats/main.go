// Command nats prints the NATS users of Nightshard for nats-server's
// configuration, each with the least permissions with which its program works.
// With -passwords it makes passwords for them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"nightshard/shared/events"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintf(os.Stderr, "nats: %v\n", err)
		os.Exit(2)
	}
}

// settings are what the flags say.
type settings struct {
	users   events.UsersOptions
	out     string
	secrets string
}

func run(args []string, stdout io.Writer) error {
	s, err := parse(args, stdout)
	if err != nil {
		return err
	}
	if s.secrets != "" {
		return makePasswords(s.secrets, s.users, stdout)
	}
	text, err := events.UsersFile(s.users)
	if err != nil {
		return fmt.Errorf("write users: %w", err)
	}
	if s.out == "" {
		_, err = io.WriteString(stdout, text)
	} else {
		err = os.WriteFile(s.out, []byte(text), 0o644) //nolint:gosec // it holds no secret, and nats-server is another user
	}
	if err != nil {
		return fmt.Errorf("write users: %w", err)
	}
	return nil
}

func parse(args []string, stdout io.Writer) (settings, error) {
	s := settings{users: events.UsersOptions{Users: map[string]string{}}}
	f := flag.NewFlagSet("nats", flag.ContinueOnError)
	f.SetOutput(stdout)
	f.StringVar(&s.out, "o", "", "file to write; standard output when empty")
	f.StringVar(&s.users.Prefix, "prefix", "", "NIGHTSHARD_SUBJECT_PREFIX of the services")
	f.Func("measurement", "measurement that is dumped, once for each; without it the dumper may use any consumer that is not another service's", func(m string) error {
		s.users.Measurements = append(s.users.Measurements, m)
		return nil
	})
	f.Func("user", "`PROGRAM=NAME` names the user of backup, restore, dumper or operators", func(pair string) error {
		program, name, ok := strings.Cut(pair, "=")
		if !ok {
			return errors.New("want PROGRAM=NAME")
		}
		s.users.Users[program] = name
		return nil
	})
	f.StringVar(&s.users.Passwords, "include", passwordsFile, "file of passwords that the users' file includes, by its place beside it; empty: they are in nats-server's environment")
	f.StringVar(&s.secrets, "passwords", "", "make new passwords in this `folder`, and print nothing else: nats_passwords.conf for nats-server, and a file for each program's NATS_PASSWORD_FILE")
	if err := f.Parse(args); err != nil {
		return s, err //nolint:wrapcheck // it names the flag
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("read arguments: unexpected %q, see -help", f.Arg(0))
	}
	return s, nil
}
