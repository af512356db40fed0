// Package meter tells how many bytes pass through a reader. It knows nothing of
// what they are.
package meter

import "io"

// Reader passes on what it reads.
type Reader struct {
	io.Reader
	// Passed is told of the number of bytes of each Read.
	Passed func(n int64)
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.Passed(int64(n))
	return n, err //nolint:wrapcheck // io.EOF must pass as it is
}
