package influx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxRow bounds one row of an answer, and any other part that is held whole, in
// bytes.
const maxRow = 64 << 20

// errSyntax says that an answer is not what a server of this kind sends.
var errSyntax = errors.New("the answer is not a query's JSON")

// scanner reads chunked answers: JSON documents one after the other, each with
// results, each with series, each with rows. It holds one row at a time and
// decodes nothing of it. A decoder for any JSON would spend most of the dump's
// time making values that are only written out again.
type scanner struct {
	src  io.Reader
	buf  []byte
	pos  int // next byte to look at
	mark int // first byte that is still needed, -1 for none
	end  error

	row     func([]string, [][]byte) error
	rowErr  error // what row returned
	columns []string
	spans   []span
	values  [][]byte

	partial bool // the last result, or its last series, said that more follows
	final   bool // a result said nothing of the kind
}

// span is where a value lies, from the mark on.
type span struct{ from, to int }

func newScanner(src io.Reader, row func([]string, [][]byte) error) *scanner {
	return &scanner{src: src, buf: make([]byte, 0, 64<<10), mark: -1, row: row}
}

// answer reads all documents. The last result must not be partial.
func (s *scanner) answer() error {
	documents := 0
	for {
		c, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if c != '{' {
			return s.bad("a document", c)
		}
		if err := s.object(s.documentField); err != nil {
			return noEOF(err)
		}
		documents++
	}
	switch {
	case documents == 0:
		return fmt.Errorf("read answer: it is empty: %w", io.ErrUnexpectedEOF)
	case s.partial || !s.final:
		return fmt.Errorf("read answer: it ends before its last chunk: %w", io.ErrUnexpectedEOF)
	}
	return nil
}

func (s *scanner) documentField(key string) error {
	switch key {
	case "results":
		return s.array(func(c byte) error {
			if c != '{' {
				return s.bad("a result", c)
			}
			return s.result()
		})
	case "error":
		return s.said()
	default:
		return s.skip()
	}
}

// result reads one result. The server marks one that goes on in the next
// document, and likewise each series; a row limit marks only the series.
func (s *scanner) result() error {
	partial := false
	s.partial = false
	err := s.object(func(key string) error {
		switch key {
		case "series":
			return s.array(func(c byte) error {
				if c != '{' {
					return s.bad("a series", c)
				}
				return s.series()
			})
		case "partial":
			var err error
			partial, err = s.boolean()
			return err
		case "error":
			return s.said()
		default:
			return s.skip()
		}
	})
	s.partial = s.partial || partial
	s.final = s.final || !s.partial
	return err
}

// series reads one series. The server sends its columns before its values.
func (s *scanner) series() error {
	s.columns, s.partial = nil, false
	return s.object(func(key string) error {
		switch key {
		case "columns":
			raw, err := s.raw()
			if err != nil {
				return err
			}
			if err := json.Unmarshal(raw, &s.columns); err != nil {
				return fmt.Errorf("read columns: %w", err)
			}
			return nil
		case "values":
			return s.array(func(c byte) error {
				if c != '[' {
					return s.bad("a row", c)
				}
				return s.oneRow()
			})
		case "partial":
			var err error
			s.partial, err = s.boolean()
			return err
		default:
			return s.skip()
		}
	})
}

// oneRow reads one row and hands it on.
func (s *scanner) oneRow() error {
	s.mark, s.spans = s.pos, s.spans[:0]
	err := s.elements(func(c byte) error {
		from := s.pos - 1 - s.mark
		if err := s.passFrom(c); err != nil {
			return err
		}
		s.spans = append(s.spans, span{from, s.pos - s.mark})
		return nil
	})
	if err != nil {
		return err
	}
	if len(s.spans) != len(s.columns) {
		return fmt.Errorf("read row: %d values for %d columns: %w", len(s.spans), len(s.columns), errSyntax)
	}
	s.values = s.values[:0]
	for _, sp := range s.spans {
		v := s.buf[s.mark+sp.from : s.mark+sp.to]
		if v[0] == 'n' {
			v = nil
		}
		s.values = append(s.values, v)
	}
	s.mark = -1
	s.rowErr = s.row(s.columns, s.values)
	return s.rowErr
}

// said reads the server's error.
func (s *scanner) said() error {
	raw, err := s.raw()
	if err != nil {
		return err
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return fmt.Errorf("read error: %w", err)
	}
	return &Error{Message: text}
}

func (s *scanner) boolean() (bool, error) {
	raw, err := s.raw()
	if err != nil {
		return false, err
	}
	switch string(raw) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("read flag %.20q: %w", raw, errSyntax)
}

// object reads the fields of an object whose brace is behind; field reads each
// value.
func (s *scanner) object(field func(key string) error) error {
	return s.list('}', func(c byte) error {
		if c != '"' {
			return s.bad("a field", c)
		}
		s.pos--
		raw, err := s.raw()
		if err != nil {
			return err
		}
		var key string
		if err := json.Unmarshal(raw, &key); err != nil {
			return fmt.Errorf("read field: %w", err)
		}
		if c, err = s.next(); err != nil || c != ':' {
			return s.badOr(err, "a colon", c)
		}
		return field(key)
	})
}

// array reads an array that is ahead, or null; element is called with the first
// byte of each element, which is behind.
func (s *scanner) array(element func(c byte) error) error {
	c, err := s.next()
	switch {
	case err != nil:
		return noEOF(err)
	case c == 'n':
		s.pos--
		return s.skip()
	case c != '[':
		return s.bad("an array", c)
	}
	return s.elements(element)
}

// elements reads an array whose bracket is behind.
func (s *scanner) elements(element func(c byte) error) error { return s.list(']', element) }

// list reads what commas separate, up to the closing bracket. item is called
// with the first byte of each item, which is behind.
func (s *scanner) list(closing byte, item func(c byte) error) error {
	for first := true; ; first = false {
		c, err := s.next()
		if err == nil && c == closing {
			return nil
		}
		if err == nil && !first {
			if c != ',' {
				return s.bad("a comma", c)
			}
			c, err = s.next()
		}
		if err != nil {
			return noEOF(err)
		}
		if err := item(c); err != nil {
			return err
		}
	}
}

// bad says what was found where something else belongs.
func (s *scanner) bad(want string, got byte) error {
	return fmt.Errorf("want %s, found %q: %w", want, got, errSyntax)
}

func (s *scanner) badOr(err error, want string, got byte) error {
	if err != nil {
		return noEOF(err)
	}
	return s.bad(want, got)
}

// noEOF turns an end inside of a document into an error of its own.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
