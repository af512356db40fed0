package tsm

import "hash"

// checker is a writer that verifies a TSM file. Its Write never fails; what
// it finds stands in bad.
type checker struct {
	tsm  tsmFile
	sum  hash.Hash
	tail []byte // not yet verified
	bad  *fault
}

// Write implements io.Writer.
func (c *checker) Write(p []byte) (int, error) {
	c.sum.Write(p)
	if c.bad != nil {
		return len(p), nil
	}
	c.tail = append(c.tail, p...)
	n, bad := c.tsm.feed(c.tail)
	c.bad = bad
	c.tail = append(c.tail[:0], c.tail[n:]...)
	return len(p), nil
}
