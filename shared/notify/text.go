package notify

import (
	"fmt"
	"strings"
)

// text is the failure for people, in Slack's markup.
func (f Failure) text() string {
	what := "*" + f.Event + "*"
	if f.Day != "" {
		what += " of " + f.Day
	}
	if f.Measurement != "" {
		what += fmt.Sprintf(", %q", f.Measurement)
	}
	if f.Database != "" {
		what += fmt.Sprintf(", database %q", f.Database)
	}
	if f.Step != "" {
		what += ", in step " + f.Step
	}
	if f.Attempts == 1 {
		what += ", after 1 attempt"
	} else {
		what += fmt.Sprintf(", after %d attempts", f.Attempts)
	}
	// Slack's three control characters.
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(what + ": " + f.Error)
}
