package events

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

const (
	slugMax  = 60
	slugHash = 10
)

// Slug turns a measurement's name into 1 to 60 characters of [A-Za-z0-9_-], fit
// for the name of a durable consumer. A name that already is one stays as it
// is; any other is shortened to what is readable and followed by a hash, so
// that two names do not meet.
func Slug(name string) string {
	readable := strings.Map(slugRune, name)
	if readable == name && name != "" && len(name) <= slugMax {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	readable = strings.Trim(readable, "_")
	readable = readable[:min(len(readable), slugMax-slugHash-1)]
	return readable + "-" + hex.EncodeToString(sum[:])[:slugHash]
}

func slugRune(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
		return r
	}
	return '_'
}

// isSlug reports whether NATS takes a name as it is for a durable consumer or
// for a token of a subject.
func isSlug(name string) bool {
	return name != "" && strings.Map(slugRune, name) == name
}
