// Package objstore stores objects by container and name, as OpenStack Swift
// does. It owns the vocabulary that its adapters share: what an object is,
// what a store can do, and how a failure is told apart. It knows nothing of
// days, shards or dumps.
//
// The adapters swift and memory hold no policy; the package retry holds all of
// it, as a decorator.
package objstore

import (
	"context"
	"errors"
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
	// MD5 is the lower-case hexadecimal MD5 of its content, as the server
	// lists it. For a static large object it is not the MD5 of the content.
	MD5 string
	// Modified is when the server last stored it.
	Modified time.Time
	// Meta is the object's own metadata, keys in lower case without the
	// server's prefix. List leaves it nil; Get fills it.
	Meta map[string]string
}

// Source opens an object's content from its first byte. A store may call it
// again to retry, and closes every reader that it got. An error of the reader
// ends the upload: nothing is stored.
type Source func(ctx context.Context) (io.ReadCloser, error)

// PutOptions are the optional properties of a new object.
type PutOptions struct {
	// ContentType is the object's media type, application/octet-stream when
	// empty.
	ContentType string
	// Meta is stored with the object: keys in lower case, ASCII values.
	Meta map[string]string
}

// Store keeps objects in containers. Implementations are safe for concurrent
// use. Names are taken literally, any UTF-8.
type Store interface {
	// Put stores what src yields under name, replacing what was there, and
	// returns the size and MD5 of the bytes that it sent. The container is
	// made when it is missing. The object appears whole or not at all.
	Put(ctx context.Context, container, name string, src Source, opts PutOptions) (Object, error)
	// Get calls read once with the object and its content. It returns
	// ErrCorrupt when the bytes do not match what the server said of them,
	// which is known only after the last byte. A read function that needs
	// only the Object returns ErrSkipBody; Get then returns nil.
	Get(ctx context.Context, container, name string, read func(Object, io.Reader) error) error
	// List yields every object whose name begins with prefix, in the order
	// of their names' bytes, by pages. A missing container is ErrNotFound.
	// The listing is of the whole container when prefix is empty.
	List(ctx context.Context, container, prefix string, each func(Object) error) error
	// Copy copies an object inside the server, metadata included; no byte
	// passes through the client. The target container is made when missing.
	Copy(ctx context.Context, srcContainer, srcName, dstContainer, dstName string) error
	// Delete removes an object. One that is already gone is not an error.
	Delete(ctx context.Context, container, name string) error
}

// Containers lists containers by name; the account has no other structure.
type Containers interface {
	// Containers yields every container whose name begins with prefix, in
	// the order of their names.
	Containers(ctx context.Context, prefix string, each func(Container) error) error
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

// ErrNotFound says that the container or object does not exist.
var ErrNotFound = errors.New("not found")

// ErrCorrupt says that stored or received bytes are not those that were sent.
var ErrCorrupt = errors.New("content does not match its checksum")

// ErrSkipBody is returned by a read function of Get that wants no content.
var ErrSkipBody = errors.New("skip the content")

// StatusError is an answer of the server that is not success.
type StatusError struct {
	// Code is the HTTP status.
	Code int
	// RetryAfter is how long the server asked to wait, 0 if it did not.
	RetryAfter time.Duration
	// Text is the server's reason.
	Text string
}

// Error gives the status and the server's reason.
func (e *StatusError) Error() string {
	return fmt.Sprintf("HTTP status %d: %s", e.Code, e.Text)
}
