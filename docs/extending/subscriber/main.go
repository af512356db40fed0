// Command subscriber is an example of an extension: it keeps a catalogue of
// Nightshard's dumps, one line of tab-separated text for each.
//
//	go run ./docs/extending/subscriber catalogue.tsv
//
// It needs nothing of Nightshard but the events, so it can be copied into any
// module that has github.com/nats-io/nats.go. NATS_URL says where NATS is.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	stream  = "NIGHTSHARD"     // NIGHTSHARD_SITE1 with NIGHTSHARD_SUBJECT_PREFIX=site1
	subject = "dump.completed" // site1.dump.completed
	durable = "catalogue"      // the place in the stream, which outlives the process
)

func main() {
	if err := run(os.Args[1:], os.Getenv("NATS_URL")); err != nil {
		fmt.Fprintln(os.Stderr, "subscriber:", err)
		os.Exit(1)
	}
}

// run writes to the file that args names until it is told to stop.
func run(args []string, url string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) != 1 {
		return errors.New("usage: subscriber FILE")
	}
	file, err := os.OpenFile(args[0], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // whoever starts it names the file
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	defer func() { _ = file.Close() }()
	if url == "" {
		url = nats.DefaultURL
	}
	conn, err := nats.Connect(url, nats.Name(durable), nats.MaxReconnects(-1))
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	defer conn.Close()
	return subscribe(ctx, conn, file)
}

// subscribe takes one event after the other. The durable consumer is made once;
// a later start goes on where this one stops.
func subscribe(ctx context.Context, conn *nats.Conn, catalogue io.Writer) error {
	js, err := jetstream.New(conn)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable: durable, FilterSubject: subject, AckPolicy: jetstream.AckExplicitPolicy,
		DeliverPolicy: jetstream.DeliverAllPolicy, // the history as well
		MaxDeliver:    5, AckWait: time.Minute,
	})
	if err != nil {
		return fmt.Errorf("make consumer %s: %w", durable, err)
	}
	for {
		message, err := consumer.Next(jetstream.FetchContext(ctx))
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to stop; an event in hand comes again
		}
		if errors.Is(err, nats.ErrTimeout) {
			continue // nothing has happened
		}
		if err != nil {
			return fmt.Errorf("take event: %w", err)
		}
		if err := enter(catalogue, message); err != nil {
			return err
		}
	}
}

// dump are the fields of dump.completed that the catalogue needs. Integers of 64
// bits are strings in these bodies.
type dump struct {
	Day         string `json:"day"`
	Measurement string `json:"measurement"`
	Object      string `json:"object"` // empty: no record that day
	Records     int64  `json:"records,string"`
	Complete    bool   `json:"complete"`
}

// enter writes a line, and only then acknowledges: after a crash in between the
// event comes again. Field EVENT, the message's number in the stream, tells such
// a second line.
func enter(catalogue io.Writer, message jetstream.Msg) error {
	var d dump
	if err := json.Unmarshal(message.Data(), &d); err != nil {
		return message.TermWithReason("it is no dump.completed") //nolint:wrapcheck // nothing to add
	}
	meta, err := message.Metadata()
	if err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	if _, err := fmt.Fprintf(catalogue, "%d\t%s\t%q\t%d\t%t\t%s\n",
		meta.Sequence.Stream, d.Day, d.Measurement, d.Records, d.Complete, d.Object); err != nil {
		return fmt.Errorf("write catalogue: %w", err)
	}
	return message.DoubleAck(context.Background()) //nolint:wrapcheck // nothing to add
}
