package events

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// UsersOptions say how the users of nats-server are written down.
type UsersOptions struct {
	AccessOptions
	// Users names the NATS user of a program where it is not the program's own
	// name.
	Users map[string]string
	// Passwords is the file, beside the users' one, that holds the passwords.
	// Empty: they are in nats-server's environment.
	Passwords string
}

// UsersFile writes the users for nats-server's configuration, to be included in
// an authorization or account block. It holds no password, but the names of the
// variables that [PasswordVariable] gives.
func UsersFile(o UsersOptions) (string, error) {
	list, err := Accesses(o.AccessOptions)
	if err != nil {
		return "", err
	}
	names, err := userNames(list, o.Users)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# The NATS users of Nightshard, each with what it needs and nothing else. Made by\n" +
		"# `go run ./deploy/nats`, so do not change it by hand: docs/security.md.\n")
	if o.Passwords != "" {
		fmt.Fprintf(&b, "include %q\n", o.Passwords)
	}
	b.WriteString("users: [\n")
	for i, a := range list {
		writeUser(&b, names[i], a)
	}
	b.WriteString("]\n")
	return b.String(), nil
}

// UserNames lists the names of the users in the order of [Accesses].
func UserNames(o UsersOptions) ([]string, error) {
	list, err := Accesses(o.AccessOptions)
	if err != nil {
		return nil, err
	}
	return userNames(list, o.Users)
}

// userNames gives the name of each program's user. Two with one name would have
// the rights of one of them.
func userNames(list []Access, chosen map[string]string) ([]string, error) {
	left := maps.Clone(chosen)
	var names []string
	for _, a := range list {
		name := a.Program
		if other, ok := left[a.Program]; ok {
			name = other
			delete(left, a.Program)
		}
		if !isSlug(name) {
			return nil, fmt.Errorf("name user of %s: %q: use A-Z a-z 0-9 _ -", a.Program, name)
		}
		if slices.Contains(names, name) {
			return nil, fmt.Errorf("name user of %s: %q is named twice", a.Program, name)
		}
		names = append(names, name)
	}
	for program := range left {
		return nil, fmt.Errorf("name user of %q: no such program: use %s, %s, %s or %s", program, Backup, Restore, Dumper, Operators)
	}
	return names, nil
}

func writeUser(b *strings.Builder, name string, a Access) {
	fmt.Fprintf(b, "  {\n    # %s: %s\n    user: %q\n    password: $%s\n    permissions: {\n      publish: {\n",
		a.Program, a.Purpose, name, PasswordVariable(name))
	writeSubjects(b, "        allow", a.Publish)
	if len(a.DenyPublish) > 0 {
		writeSubjects(b, "        deny", a.DenyPublish)
	}
	b.WriteString("      }\n")
	writeSubjects(b, "      subscribe", a.Subscribe)
	if a.Responses {
		b.WriteString("      allow_responses: true\n")
	}
	b.WriteString("    }\n  }\n")
}

func writeSubjects(b *strings.Builder, key string, subjects []string) {
	indent := key[:len(key)-len(strings.TrimLeft(key, " "))]
	fmt.Fprintf(b, "%s: [\n", key)
	for _, subject := range subjects {
		fmt.Fprintf(b, "%s  %q\n", indent, subject)
	}
	fmt.Fprintf(b, "%s]\n", indent)
}

// PasswordVariable is the name of the variable of nats-server's configuration
// that holds a user's password, such as NATS_BACKUP_PASSWORD.
func PasswordVariable(user string) string {
	return "NATS_" + strings.ToUpper(strings.ReplaceAll(user, "-", "_")) + "_PASSWORD"
}
