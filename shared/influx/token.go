package influx

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// raw reads one value and returns its bytes, valid until the next read.
func (s *scanner) raw() ([]byte, error) {
	if _, err := s.next(); err != nil {
		return nil, noEOF(err)
	}
	s.pos--
	s.mark = s.pos
	err := s.pass()
	out := s.buf[s.mark:s.pos]
	s.mark = -1
	return out, err
}

// skip reads one value that nobody wants.
func (s *scanner) skip() error {
	_, err := s.raw()
	return err
}

// pass goes over one value whose first byte is next. The mark must be set. It
// takes exactly what encoding/json takes: what passes through untouched must be
// JSON.
func (s *scanner) pass() error {
	c, err := s.byte()
	if err != nil {
		return noEOF(err)
	}
	return s.passFrom(c)
}

// passFrom goes over one value whose first byte is c and behind.
func (s *scanner) passFrom(c byte) error {
	switch c {
	case '"':
		return s.passString()
	case '{', '[':
		return s.passNested()
	case 't':
		return s.passLiteral("rue")
	case 'f':
		return s.passLiteral("alse")
	case 'n':
		return s.passLiteral("ull")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return s.passNumber()
	}
	return s.bad("a value", c)
}

// passString goes to the closing quote.
func (s *scanner) passString() error {
	for {
		// Most bytes are plain: a tight loop over what is in the buffer.
		rest := s.buf[s.pos:]
		i := 0
		for i < len(rest) && rest[i] >= ' ' && rest[i] != '"' && rest[i] != '\\' {
			i++
		}
		s.pos += i
		c, err := s.byte()
		switch {
		case err != nil:
			return noEOF(err)
		case c == '"':
			return nil
		case c == '\\':
			err = s.passEscape()
		case c < ' ':
			err = s.bad("text", c)
		}
		if err != nil {
			return err
		}
	}
}

// passEscape goes over what follows a backslash.
func (s *scanner) passEscape() error {
	c, err := s.byte()
	if err != nil {
		return noEOF(err)
	}
	if strings.IndexByte(`"\/bfnrt`, c) >= 0 {
		return nil
	}
	if c != 'u' {
		return s.bad("an escape", c)
	}
	for range 4 {
		if c, err = s.byte(); err != nil {
			return noEOF(err)
		}
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return s.bad("a hexadecimal digit", c)
		}
	}
	return nil
}

// passNested goes to the bracket that closes the one behind. Only what is
// skipped is nested, and small: it is looked at afterwards.
func (s *scanner) passNested() error {
	from := s.pos - 1 - s.mark
	for depth := 1; depth > 0; {
		c, err := s.byte()
		if err != nil {
			return noEOF(err)
		}
		switch c {
		case '"':
			if err := s.passString(); err != nil {
				return err
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
	}
	if !json.Valid(s.buf[s.mark+from : s.pos]) {
		return fmt.Errorf("read a nested value: %w", errSyntax)
	}
	return nil
}

// passLiteral goes over the rest of true, false or null.
func (s *scanner) passLiteral(rest string) error {
	for i := range len(rest) {
		c, err := s.byte()
		if err != nil {
			return noEOF(err)
		}
		if c != rest[i] {
			return s.bad("the rest of a word", c)
		}
	}
	return nil
}

// passNumber goes over a number whose first byte is behind.
func (s *scanner) passNumber() error {
	from := s.pos - 1 - s.mark
	for {
		i := s.pos
		for i < len(s.buf) && (s.buf[i] >= '0' && s.buf[i] <= '9' || s.buf[i] == '.' || s.buf[i]|0x20 == 'e' || s.buf[i] == '+' || s.buf[i] == '-') {
			i++
		}
		s.pos = i
		if i < len(s.buf) {
			break
		}
		if err := s.fill(); err != nil {
			return noEOF(err) // no document ends with a number
		}
	}
	if b := s.buf[s.mark+from : s.pos]; !isNumber(b) {
		return fmt.Errorf("read number %.40q: %w", b, errSyntax)
	}
	return nil
}

// isNumber says whether b is a number of JSON: -, digits without a leading
// zero, a fraction, an exponent.
func isNumber(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	whole := digits(b)
	if whole == 0 || (b[0] == '0' && whole > 1) {
		return false
	}
	b = b[whole:]
	if len(b) > 0 && b[0] == '.' {
		n := digits(b[1:])
		if n == 0 {
			return false
		}
		b = b[1+n:]
	}
	if len(b) > 0 && b[0]|0x20 == 'e' {
		b = b[1:]
		if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		n := digits(b)
		return n > 0 && n == len(b)
	}
	return len(b) == 0
}

// digits gives how many digits b begins with.
func digits(b []byte) int {
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	return n
}

// next gives the next byte that is not white space. It and byte are called for
// each value and each comma: what the buffer holds is given at once.
func (s *scanner) next() (byte, error) {
	if s.pos < len(s.buf) && s.buf[s.pos] > ' ' {
		s.pos++
		return s.buf[s.pos-1], nil
	}
	return s.nextAfterSpace()
}

func (s *scanner) nextAfterSpace() (byte, error) {
	for {
		c, err := s.byte()
		if err != nil || (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
			return c, err
		}
	}
}

func (s *scanner) byte() (byte, error) {
	if s.pos < len(s.buf) {
		s.pos++
		return s.buf[s.pos-1], nil
	}
	return s.byteAfterFill()
}

func (s *scanner) byteAfterFill() (byte, error) {
	if err := s.fill(); err != nil {
		return 0, err
	}
	s.pos++
	return s.buf[s.pos-1], nil
}

// fill reads more. What lies before the mark, or before pos without one, is
// dropped; the buffer grows only to hold what lies after it.
func (s *scanner) fill() error {
	if s.end != nil {
		return s.end
	}
	keep := s.pos
	if s.mark >= 0 {
		keep = s.mark
	}
	n := copy(s.buf, s.buf[keep:])
	s.buf, s.pos = s.buf[:n], s.pos-keep
	if s.mark >= 0 {
		s.mark = 0
	}
	if n == cap(s.buf) {
		if n >= maxRow {
			return fmt.Errorf("read row: it is longer than %d bytes", maxRow)
		}
		s.buf = append(make([]byte, 0, 2*n), s.buf...)
	}
	for range 100 {
		m, err := s.src.Read(s.buf[n:cap(s.buf)])
		s.buf, s.end = s.buf[:n+m], err
		if m > 0 {
			return nil
		}
		if err != nil {
			return err //nolint:wrapcheck // io.EOF must pass as it is
		}
	}
	return io.ErrNoProgress
}
