package tsm_test

import (
	"archive/tar"
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"testing"

	"nightshard/shared/tsm"
)

// BenchmarkVerify compares the Reader with what an upload costs anyway: the
// tar read and the MD5 that Swift is asked to check.
func BenchmarkVerify(b *testing.B) {
	r := rand.New(rand.NewPCG(50, 50))
	f := files{}
	for _, name := range []string{"1.tsm", "2.tsm", "3.tsm"} {
		f[name] = mixedTSM(r, start, 150, 1000)
	}
	archive := f.pack(b, "db/rp/1")
	run := func(name string, pass func(io.Reader) error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(archive)))
			for b.Loop() {
				if err := pass(bytes.NewReader(archive)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	verify := func(o tsm.Options) func(io.Reader) error {
		return func(r io.Reader) error {
			_, err := tsm.Verify(r, o)
			return err
		}
	}
	run("copy", copyTo(io.Discard))
	run("tar+md5", func(r io.Reader) error { return readTar(io.TeeReader(r, md5.New())) })
	run("tar+md5+sha256", func(r io.Reader) error {
		return readTar(io.TeeReader(r, io.MultiWriter(md5.New(), sha256.New())))
	})
	run("verify", verify(tsm.Options{}))
	run("verify+md5", func(r io.Reader) error {
		return copyTo(md5.New())(tsm.NewReader(r, tsm.Options{}))
	})
	run("verify+rename", verify(tsm.Options{Rename: keep}))
	run("verify+count", verify(tsm.Options{Count: true}))
}

func copyTo(w io.Writer) func(io.Reader) error {
	return func(r io.Reader) error {
		_, err := io.Copy(struct{ io.Writer }{w}, struct{ io.Reader }{r})
		return err
	}
}

func readTar(r io.Reader) error {
	for t := tar.NewReader(r); ; {
		if _, err := t.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, t); err != nil {
			return err
		}
	}
}
