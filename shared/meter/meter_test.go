package meter_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"nightshard/shared/meter"
)

func TestEveryByteIsToldOf(t *testing.T) {
	t.Parallel()
	errBroken := errors.New("broken")
	for _, c := range []struct {
		name string
		src  io.Reader
		err  error
	}{
		{"whole", strings.NewReader("four"), nil},
		{"byte by byte", iotest.OneByteReader(strings.NewReader("four")), nil},
		{"the last with io.EOF", iotest.DataErrReader(strings.NewReader("four")), nil},
		{"broken off", io.MultiReader(strings.NewReader("four"), iotest.ErrReader(errBroken)), errBroken},
	} {
		var passed int64
		data, err := io.ReadAll(&meter.Reader{Reader: c.src, Passed: func(n int64) { passed += n }})
		if string(data) != "four" || passed != 4 || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %d bytes, %v", c.name, data, passed, err)
		}
	}
}
