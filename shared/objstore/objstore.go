// Package objstore stores objects by container and name, as OpenStack Swift
// does. It owns the vocabulary that its adapters share: what an object is,
// what a store can do, and how a failure is told apart. It knows nothing of
// days, shards or dumps.
//
// The adapters swift and memory hold no policy; the package retry holds all of
// it, as a decorator.
package objstore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"
)

// Object describes one stored object.
type Object struct {
	// Name is the object's full name inside its container.
	Name string
	// Size is the number of bytes of its content.
	Size int64
	// MD5 is the lower-case hexadecimal MD5 of its content. Put always fills
	// it. List and Get leave it empty for an object that the server keeps in
	// segments, since the server knows no MD5 of the whole.
	MD5 string
	// Listed is the hash that a listing shows for the object: the MD5 for an
	// ordinary one, a hash over the segments' MD5s for one in segments. It
	// stays the same when the object is copied. Put, Get and List fill it, so
	// that a listing proves an upload: same Name, Size and Listed.
	Listed string
	// Modified is when the server last stored it.
	Modified time.Time
	// Meta is the object's own metadata, keys in lower case without the
	// server's prefix. List leaves it nil; Get fills it.
	Meta map[string]string
}

// Source opens an object's content from its first byte. A store may call it
// again to retry, and closes every reader that it got: after its end, where an
// error of Close counts as an error of the content, or in the middle of a Read
// that does not heed ctx. An error of the reader ends the upload: nothing is
// stored.
type Source func(ctx context.Context) (io.ReadCloser, error)

// PutOptions are the optional properties of a new object.
type PutOptions struct {
	// ContentType is the object's media type, application/octet-stream when
	// empty.
	ContentType string
	// Meta is stored with the object: keys in lower case, ASCII values.
	Meta map[string]string
	// SizeHint is about how many bytes the content will have, 0 when unknown.
	// It decides nothing but speed: content above the server's limit for one
	// object is opened twice unless the hint says so ahead.
	SizeHint int64
}

// Store keeps objects in containers. Implementations are safe for concurrent
// use. Names are taken literally, any UTF-8.
type Store interface {
	// Put stores what src yields under name, replacing what was there, and
	// returns the size and MD5 of the bytes that it sent. The container is
	// made when it is missing. The object appears whole or not at all. An
	// error of src is a *SourceError, one of the transfer may be ErrCorrupt.
	Put(ctx context.Context, container, name string, src Source, opts PutOptions) (Object, error)
	// Get calls read once with the object and its content. It returns
	// ErrCorrupt when the bytes do not match what the server said of them,
	// which is known only after the last byte: the reader then gives
	// ErrCorrupt in place of io.EOF. What read leaves over is read and
	// checked too. A read function that needs only the Object, or no more of
	// the content, returns ErrSkipBody; Get then returns nil, unchecked. Any
	// other error of read is returned.
	Get(ctx context.Context, container, name string, read func(Object, io.Reader) error) error
	// List yields every object whose name begins with prefix, in the order
	// of their names' bytes, by pages. A missing container is ErrNotFound.
	// The listing is of the whole container when prefix is empty. An error of
	// each ends the listing and is returned.
	List(ctx context.Context, container, prefix string, each func(Object) error) error
	// Copy copies an object inside the server, metadata included; no byte
	// passes through the client. The target container is made when missing.
	// The copy shares nothing with its source. A missing source is
	// ErrNotFound.
	Copy(ctx context.Context, srcContainer, srcName, dstContainer, dstName string) error
	// Delete removes an object. One that is already gone is not an error.
	Delete(ctx context.Context, container, name string) error
}

// Containers sees to the containers of an account, which has no other
// structure.
type Containers interface {
	// Containers yields every container whose name begins with prefix, in
	// the order of their names.
	Containers(ctx context.Context, prefix string, each func(Container) error) error
	// DeleteContainer removes an empty container. One that is already gone is
	// not an error; one that holds objects is a *StatusError with code 409.
	DeleteContainer(ctx context.Context, container string) error
}

// Sweeper cleans up.
type Sweeper interface {
	// Sweep removes what broken-off calls have left behind of objects whose
	// names begin with prefix: parts that no object needs. No upload below
	// prefix may be under way meanwhile. A missing container is not an error.
	Sweep(ctx context.Context, container, prefix string) error
}

// Account is all that an adapter offers.
type Account interface {
	Store
	Containers
	Sweeper
}

// Reauthenticator is an account with a login that can be renewed, after an
// answer with status 401.
type Reauthenticator interface {
	// Reauthenticate logs in again. Refused credentials are ErrCredentials.
	Reauthenticate(ctx context.Context) error
}

// Container describes one container.
type Container struct {
	// Name is the container's name.
	Name string
	// Objects is how many objects it holds, by the server's count, which may
	// lag a few seconds.
	Objects int64
	// Bytes is the sum of their sizes, which may lag likewise.
	Bytes int64
}

// NewSource gives data again and again.
func NewSource(data []byte) Source {
	return func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
}

// Read gets an object whole. It is for small ones: one of more than most bytes
// is an error.
func Read(ctx context.Context, store Store, container, name string, most int64) ([]byte, error) {
	var data []byte
	err := store.Get(ctx, container, name, func(o Object, r io.Reader) error {
		if o.Size > most {
			return fmt.Errorf("hold %d bytes: at most %d are held", o.Size, most)
		}
		var err error
		data, err = io.ReadAll(r)
		return err //nolint:wrapcheck // Get names the object
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

// Confirm asks the server what it holds under the name of o, which Put or List
// described: a server may say that it stored what it did not. ErrCorrupt says
// that it holds something else.
func Confirm(ctx context.Context, store Store, container string, o Object) error {
	err := store.Get(ctx, container, o.Name, func(held Object, _ io.Reader) error {
		if held.Size != o.Size || held.Listed != o.Listed {
			return fmt.Errorf("%w: the server holds %d bytes with hash %s, sent were %d with %s", ErrCorrupt, held.Size, held.Listed, o.Size, o.Listed)
		}
		return ErrSkipBody
	})
	if err != nil {
		return fmt.Errorf("confirm %s: %w", o.Name, err)
	}
	return nil
}
