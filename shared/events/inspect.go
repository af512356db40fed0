package events

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Inspection is what NATS shows to a client that changes nothing.
type Inspection struct {
	// URL is the server's address without secrets, Version its version.
	URL, Version string
	// Stream is the name that the stream has or should have.
	Stream string
	// Missing says that there is no such stream. The services make it.
	Missing bool
	// Wrong says how the stream is not as the services need it.
	Wrong []string
	// Replicas is how many copies it has, and Lost how many of them are away.
	Replicas, Lost int
	// Consumers are the durables, sorted by name, each with what is wrong with
	// its settings.
	Consumers []InspectedConsumer
	// Denied are the subjects, without the prefix, that the user may not
	// publish to, and those of the server's API. Of a user that is named as in
	// [Accesses] they are those that its program needs.
	Denied []string
}

// InspectedConsumer is a durable as it stands.
type InspectedConsumer struct {
	ConsumerState
	// Wrong says how its settings differ from what a service sets.
	Wrong []string
}

// nowhere is a stream that does not exist. An event that expects it is refused
// by the stream that gets it, and nothing is stored.
const nowhere = "NIGHTSHARD-DOCTOR-EXPECTS-NO-STREAM"

// Inspect connects and looks. It makes no stream and stores no event. Refused
// credentials and a server without JetStream are errors. pauseFor is the time
// between two looks at the durables: between two requests for an event a process
// is not seen. ctx bounds all of it.
func Inspect(ctx context.Context, cfg Config, pauseFor time.Duration) (*Inspection, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("check NATS settings: %w", err)
	}
	b := newBus(cfg)
	refused := &refusals{news: make(chan struct{}, 1)}
	if err := b.dial(); err != nil {
		return nil, err
	}
	defer b.conn.Close()
	if err := b.awaitConnection(ctx); err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", b.url, err)
	}
	js, err := jetstream.New(b.conn, jetstream.WithDefaultTimeout(callTimeout))
	if err != nil {
		return nil, fmt.Errorf("use JetStream at %s: %w", b.url, err)
	}
	b.js = js
	b.conn.SetErrorHandler(refused.add)
	out := &Inspection{URL: b.url, Version: b.conn.ConnectedServerVersion(), Stream: b.stream}
	if err := b.inspectStream(ctx, out); err != nil {
		return out, err
	}
	if !out.Missing {
		if err := b.inspectConsumers(ctx, out, pauseFor); err != nil {
			return out, err
		}
	}
	out.Denied, err = b.denied(ctx, refused)
	return out, err
}

func (b *Bus) inspectStream(ctx context.Context, out *Inspection) error {
	stream, err := b.loadStream(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		out.Missing = true
		return nil
	}
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	out.Replicas = max(info.Config.Replicas, 1)
	if info.Cluster != nil {
		for _, r := range info.Cluster.Replicas {
			if r.Offline || !r.Current {
				out.Lost++
			}
		}
	}
	out.Wrong = b.wrongStream(info.Config, info.State)
	return nil
}

// wrongStream names what of a stream is not as the services need it.
func (b *Bus) wrongStream(have jetstream.StreamConfig, state jetstream.StreamState) []string {
	var wrong []string
	say := func(is bool, format string, args ...any) {
		if is {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	say(have.Retention != jetstream.LimitsPolicy, "its retention is %s, not Limits: every subscriber needs its own copy of the events", have.Retention)
	say(have.Storage != jetstream.FileStorage, "its storage is %s, not files: a restart of NATS loses the events", have.Storage)
	want, _ := b.merge(have)
	for _, subject := range want.Subjects {
		say(!slices.Contains(have.Subjects, subject), "it does not take %s", subject)
	}
	say(want.Duplicates != have.Duplicates, "its duplicate window is %s, not %s: a result may be stored twice", have.Duplicates, want.Duplicates)
	say(want.Replicas != have.Replicas, "it has %d copies, NIGHTSHARD_STREAM_REPLICAS is %d", have.Replicas, want.Replicas)
	say(have.Sealed, "it is sealed: it takes no event")
	full := have.MaxMsgs > 0 && state.Msgs >= uint64(have.MaxMsgs) || have.MaxBytes > 0 && state.Bytes >= uint64(have.MaxBytes)
	say(have.Discard == jetstream.DiscardNew && full, "it is full and refuses new events: raise its limits, or have it discard the old ones")
	say(have.MaxAge > 0 && have.MaxAge < 2*24*time.Hour, "it drops events after %s: a service that is away for longer misses a night", have.MaxAge)
	return wrong
}

// inspectConsumers looks twice at the durables.
func (b *Bus) inspectConsumers(ctx context.Context, out *Inspection, pauseFor time.Duration) error {
	before, err := b.Consumers(ctx)
	if err != nil {
		return err
	}
	if err := pause(ctx, pauseFor); err != nil {
		return fmt.Errorf("look at the consumers twice: %w", err)
	}
	stream, err := b.loadStream(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := call(ctx)
	defer cancel()
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		if info.Config.Durable == "" {
			continue
		}
		c := InspectedConsumer{ConsumerState: b.consumerState(info), Wrong: b.wrongConsumer(info)}
		for _, earlier := range before {
			if earlier.Name == c.Name {
				c.Waiting = max(c.Waiting, earlier.Waiting)
				c.AckPending = max(c.AckPending, earlier.AckPending)
			}
		}
		out.Consumers = append(out.Consumers, c)
	}
	slices.SortFunc(out.Consumers, func(x, y InspectedConsumer) int { return strings.Compare(x.Name, y.Name) })
	if err := list.Err(); err != nil {
		return fmt.Errorf("list consumers of %s: %w", b.stream, explain(err))
	}
	return nil
}

// takes are the subjects of a service's durable, nil for a durable of somebody
// else.
func takes(durable string) []string {
	switch {
	case durable == "backup":
		return []string{BackupRequested}
	case durable == "restore":
		return []string{BackupCompleted, RestoreRequested}
	case durable == "dumper":
		return []string{DumpRequested}
	case strings.HasPrefix(durable, "dumper-"):
		return []string{RestoreCompleted}
	}
	return nil
}

func (b *Bus) wrongConsumer(info *jetstream.ConsumerInfo) []string {
	subjects := takes(info.Name)
	if subjects == nil {
		return nil
	}
	var wrong []string
	say := func(is bool, format string, args ...any) {
		if is {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	full := slices.Sorted(slices.Values(b.fullSubjects(subjects)))
	say(!slices.Equal(filters(info.Config), full), "it takes %s, not %s", strings.Join(filters(info.Config), ", "), strings.Join(full, ", "))
	say(info.Config.AckPolicy != jetstream.AckExplicitPolicy, "it is without explicit acknowledgement: remove it")
	say(info.Config.MaxAckPending != 1, "it hands out %d events at a time: two replicas would do one night's work", info.Config.MaxAckPending)
	say(info.Config.MaxDeliver > 0, "it gives up after %d deliveries, without a word to anybody", info.Config.MaxDeliver)
	say(info.Paused, "it is paused")
	return wrong
}

// denied tries out what the services publish, so that nothing comes of it: an
// event that expects another stream is refused, and a request for an event that
// cannot be read is answered with an error. What the server forbids it says to
// the error handler only.
func (b *Bus) denied(ctx context.Context, refused *refusals) ([]string, error) {
	probes := b.probes()
	answered, err := b.probe(ctx, probes, refused)
	if err != nil {
		return nil, fmt.Errorf("try out the user's rights: %w", err)
	}
	var out []string
	for subject, name := range probes {
		if !answered[subject] && refused.has(subject) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// probes are the subjects to try out, each with its name.
func (b *Bus) probes() map[string]string {
	probes := map[string]string{}
	for _, subject := range Subjects() {
		probes[b.prefix+subject] = subject
	}
	probes[b.prefix+progressSubject+"doctor"] = progressSubject + "*"
	for _, durable := range []string{BackupDurable, RestoreDurable, DumperDurable} {
		api := b.api("CONSUMER.MSG.NEXT", durable)
		probes[api] = api
	}
	list, err := Accesses(AccessOptions{Prefix: b.cfg.Prefix})
	if err != nil {
		return probes // check has refused such a prefix
	}
	for _, a := range list {
		if a.Program != b.cfg.User {
			continue
		}
		maps.DeleteFunc(probes, func(subject, _ string) bool {
			has := func(patterns []string) bool {
				return slices.ContainsFunc(patterns, func(p string) bool { return covers(p, subject) })
			}
			return !has(a.Publish) || has(a.DenyPublish)
		})
	}
	return probes
}

// probe publishes on each subject and waits until each was answered or refused.
func (b *Bus) probe(ctx context.Context, probes map[string]string, refused *refusals) (map[string]bool, error) {
	inbox := b.conn.NewInbox()
	replies := make(chan *nats.Msg, 2*len(probes))
	sub, err := b.conn.ChanSubscribe(inbox+".*", replies)
	if err != nil {
		return nil, fmt.Errorf("subscribe to answers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	subjects := slices.Sorted(maps.Keys(probes))
	for i, subject := range subjects {
		msg := nats.NewMsg(subject)
		msg.Reply, msg.Data = fmt.Sprintf("%s.%d", inbox, i), []byte("{") // no event, and no request of the API
		if !strings.HasPrefix(subject, "$") {
			msg.Header.Set(jetstream.ExpectedStreamHeader, nowhere)
		}
		if err := b.conn.PublishMsg(msg); err != nil {
			return nil, fmt.Errorf("publish on %s: %w", subject, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answered := map[string]bool{}
	for {
		open := slices.ContainsFunc(subjects, func(s string) bool { return !answered[s] && !refused.has(s) })
		if !open {
			return answered, nil
		}
		select {
		case msg := <-replies:
			if i, err := strconv.Atoi(msg.Subject[len(inbox)+1:]); err == nil && i < len(subjects) {
				answered[subjects[i]] = true
			}
		case <-refused.news:
		case <-ctx.Done():
			return answered, nil // who neither answers nor refuses has not refused
		}
	}
}

// refusals collects what the server forbids.
type refusals struct {
	mu   sync.Mutex
	all  []string
	news chan struct{}
}

func (r *refusals) add(_ *nats.Conn, _ *nats.Subscription, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, err.Error())
	select {
	case r.news <- struct{}{}:
	default:
	}
}

func (r *refusals) has(subject string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.all, func(text string) bool { return strings.Contains(text, `"`+subject+`"`) })
}
