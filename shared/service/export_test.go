package service

import (
	"context"
	"io"
)

// MainWith runs the program as Main does, with the test's arguments and
// outputs.
func (p Program) MainWith(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return p.main(ctx, args, stdout, stderr)
}

// KnownNames is the list that unknown settings are held against.
func KnownNames() []string { return known() }
