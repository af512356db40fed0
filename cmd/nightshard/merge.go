package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/cenkalti/backoff/v5"

	"nightshard/shared/download"
	"nightshard/shared/meter"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// mergeable refuses what is no JSON document: nobody reads half of a folder.
func mergeable(stock []storedDump) error {
	for _, d := range stock {
		if d.format != night.JSON {
			return misuse("--merge is for dumps as JSON, and %s of %s is there as %s: add --format json, or leave out --merge", d.measurement, d.day, d.format)
		}
	}
	return nil
}

// mergeDumps gives each measurement one file with the records of all its days.
func (a *app) mergeDumps(ctx context.Context, store objstore.Account, stock []storedDump, dir string, _ dumpsOptions) ([]dumpFile, error) {
	var total int64
	for _, d := range stock {
		total += d.object.Size
	}
	passed, end := a.transferBar(total)
	defer end()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err //nolint:wrapcheck // it names the folder
	}
	var out []dumpFile
	for begin := 0; begin < len(stock); {
		next := begin + 1
		for next < len(stock) && stock[next].measurement == stock[begin].measurement {
			next++
		}
		f, err := mergeFile(ctx, store, stock[begin:next], dir, passed)
		if err != nil {
			return nil, fmt.Errorf("merge dumps of %s: %w", stock[begin].measurement, err)
		}
		out = append(out, f)
		begin = next
	}
	return out, nil
}

// mergeFile merges the dumps of one measurement, in the order of their days. The
// file has the name that a dump of the whole time would have.
func mergeFile(ctx context.Context, store objstore.Account, dumps []storedDump, dir string, passed func(int64)) (dumpFile, error) {
	first, last := dumps[0], dumps[len(dumps)-1]
	name := filepath.Base(dumpPath(dir, first.day, first.object.Name))
	name = strings.TrimSuffix(name, endOf(first.day)) + endOf(last.day)
	f := dumpFile{Measurement: first.measurement, Format: string(first.format), File: filepath.Join(dir, name), Days: len(dumps)}
	err := download.Whole(f.File, dumpMode, func(file *os.File) error {
		m := &merger{file: file, passed: passed}
		err := m.all(ctx, store, dumps)
		f.Bytes, f.Records = m.size, m.records
		return err
	})
	return f, err //nolint:wrapcheck // it names the object or the file
}

// endOf is how the name of a day's dump ends.
func endOf(day night.Day) string { return "_" + day.Add(1).String() + "-00:00:00.json" }

// merger writes the records of one document after the other into one.
type merger struct {
	file    *os.File
	passed  func(int64)
	size    int64 // bytes that are sure
	records int64
}

// mergeTries is how often a dump is read that does not come whole.
const mergeTries = 5

func (m *merger) all(ctx context.Context, store objstore.Account, dumps []storedDump) error {
	if err := m.write("["); err != nil {
		return err
	}
	for _, d := range dumps {
		_, err := backoff.Retry(ctx, func() (struct{}, error) {
			return struct{}{}, m.add(ctx, store, d)
		}, backoff.WithMaxTries(mergeTries), backoff.WithMaxElapsedTime(0))
		if err != nil {
			return fmt.Errorf("read %s of %s: %w", d.object.Name, d.day, err)
		}
	}
	return m.write("\n]\n")
}

// write adds text that is sure.
func (m *merger) write(text string) error {
	n, err := m.file.WriteString(text)
	m.size += int64(n)
	return err //nolint:wrapcheck // it names the file
}

// add adds the records of one dump. What an earlier try wrote of it is written
// over: a dump is known to be right only when all of it was read.
func (m *merger) add(ctx context.Context, store objstore.Account, d storedDump) error {
	var told int64
	var t tail
	err := store.Get(ctx, d.day.String(), d.object.Name, func(o objstore.Object, body io.Reader) error {
		if o.Size != d.object.Size || o.Listed != d.object.Listed {
			return backoff.Permanent(errors.New("it was replaced since it was listed: ask again"))
		}
		if err := errors.Join(m.file.Truncate(m.size), seek(m.file, m.size)); err != nil {
			return backoff.Permanent(err)
		}
		t = tail{out: bufio.NewWriterSize(m.file, 128<<10), first: m.records == 0}
		return t.read(&meter.Reader{Reader: body, Passed: func(n int64) {
			told += n
			m.passed(n)
		}})
	})
	if err != nil {
		m.passed(-told)
		return err //nolint:wrapcheck // the caller names the object
	}
	m.size += t.bytes
	m.records += t.records
	return nil
}

func seek(f *os.File, at int64) error {
	_, err := f.Seek(at, io.SeekStart)
	return err //nolint:wrapcheck // it names the file
}

// tail is what one dump adds to the document.
type tail struct {
	out     *bufio.Writer
	first   bool // no record is before it
	bytes   int64
	records int64
}

// read writes the records of a document. What is no document, and came as Swift
// has it, does not become one by another try.
func (t *tail) read(r io.Reader) error {
	err := t.copy(r)
	if err == nil {
		if err = t.out.Flush(); err != nil {
			return backoff.Permanent(err) //nolint:wrapcheck // it names the file
		}
		return nil
	}
	if _, broken := io.Copy(io.Discard, r); broken != nil {
		return broken //nolint:wrapcheck // the store's own
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it is cut off")
	}
	return backoff.Permanent(fmt.Errorf("merge records: it is no JSON array of them: %w", err)) //nolint:wrapcheck // a mark
}

// copy writes the records, one a line, each as it came.
func (t *tail) copy(r io.Reader) error {
	dec := json.NewDecoder(bufio.NewReaderSize(r, 128<<10))
	start, err := dec.Token()
	if err != nil {
		return err //nolint:wrapcheck // read says of what
	}
	if start != json.Delim('[') {
		return fmt.Errorf("it begins with %v", start)
	}
	for dec.More() {
		var record json.RawMessage
		if err := dec.Decode(&record); err != nil {
			return err //nolint:wrapcheck // read says of what
		}
		separator := ",\n"
		if t.first {
			t.first, separator = false, "\n"
		}
		_, _ = t.out.WriteString(separator) // a bufio.Writer keeps its error until Flush
		_, _ = t.out.Write(record)
		t.bytes += int64(len(separator) + len(record))
		t.records++
	}
	_, err = dec.Token()
	return err //nolint:wrapcheck // read says of what
}
