package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"nightshard/shared/events"
)

// passwordsFile is what nats-server includes.
const passwordsFile = "nats_passwords.conf"

// makePasswords writes a new password for each user: by itself for the program,
// and its hash for nats-server. Files that are there are not overwritten, since
// programs may be using them.
func makePasswords(dir string, o events.UsersOptions, stdout io.Writer) error {
	names, err := events.UserNames(o)
	if err != nil {
		return fmt.Errorf("make passwords: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make passwords: %w", err)
	}
	var hashes strings.Builder
	hashes.WriteString("# Hashes of the passwords of Nightshard's NATS users.\n")
	for _, name := range names {
		password := rand.Text()
		// Nobody guesses 130 random bits, however fast. A slow hash would only keep
		// a busy server from answering a login in time.
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			return fmt.Errorf("hash password: %w", err)
		}
		if err := writeNew(filepath.Join(dir, "nats_"+name), password+"\n"); err != nil {
			return err
		}
		fmt.Fprintf(&hashes, "%s: %q\n", events.PasswordVariable(name), hash)
	}
	if err := writeNew(filepath.Join(dir, passwordsFile), hashes.String()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s for nats-server; nats_%s for the programs (NATS_PASSWORD_FILE)\n",
		filepath.Join(dir, passwordsFile), strings.Join(names, ", nats_"))
	if err != nil {
		return fmt.Errorf("print names: %w", err)
	}
	return nil
}

// writeNew makes a file that only its owner may read.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o400) //nolint:gosec // the operator's own folder
	if err != nil {
		return fmt.Errorf("write password: %w: move it away to make a new one", err)
	}
	if _, err := f.WriteString(text); err != nil {
		_ = f.Close()
		return fmt.Errorf("write password: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write password: %w", err)
	}
	return nil
}
