package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// The forms of a webhook's body.
const (
	// JSON is the failure as an object, see Failure.
	JSON = "json"
	// Slack is what Slack's incoming webhooks take, and those of Mattermost and
	// Rocket.Chat.
	Slack = "slack"
)

// What is sent.
const (
	heartbeat = "heartbeat"
	webhook   = "webhook"
)

// waiting is how many of a kind may wait to be sent.
const waiting = 64

// Failure is a step that was given up.
type Failure struct {
	// Event is the subject of the event that says so, such as backup.failed.
	Event    string `json:"event"`
	Service  string `json:"service"`
	Database string `json:"database"`
	// Day is empty where the request could not be read.
	Day         string `json:"day"`
	Measurement string `json:"measurement,omitempty"`
	Step        string `json:"step"`
	Attempts    int32  `json:"attempts"`
	Error       string `json:"error"`
	// Time is when it was given up, in UTC.
	Time time.Time `json:"time"`
}

// Config says where to send, and how patiently. Durations that are zero get their
// defaults.
type Config struct {
	// Heartbeat is asked with GET, Webhook with POST; empty: nothing is sent.
	Heartbeat, Webhook string
	// Format is JSON or Slack.
	Format string
	// Try bounds one try (10 s), GiveUp all of one message (5 min), Wait is about
	// the first wait between two (1 s).
	Try, GiveUp, Wait time.Duration
	// Told, if not nil, hears what became of each message: sent, failed or
	// dropped.
	Told func(kind, outcome string)
	Log  zerolog.Logger
}

func (c Config) withDefaults() Config {
	if c.Try <= 0 {
		c.Try = 10 * time.Second
	}
	if c.GiveUp <= 0 {
		c.GiveUp = 5 * time.Minute
	}
	if c.Wait <= 0 {
		c.Wait = time.Second
	}
	if c.Told == nil {
		c.Told = func(string, string) {}
	}
	return c
}

// Notifier sends. It is safe for concurrent use until it is closed.
type Notifier struct {
	cfg                Config
	heartbeat, webhook *sender // nil for none
}

// New starts what sends. Close must be called.
func New(cfg Config) *Notifier {
	cfg = cfg.withDefaults()
	// One kind does not wait for the other.
	return &Notifier{cfg: cfg, heartbeat: newSender(cfg, heartbeat, http.MethodGet, cfg.Heartbeat), webhook: newSender(cfg, webhook, http.MethodPost, cfg.Webhook)}
}

// Beat says that a night was good. It does not wait.
func (n *Notifier) Beat() { n.heartbeat.offer(nil) }

// Fail says that a step was given up. It does not wait.
func (n *Notifier) Fail(f Failure) {
	body, err := n.body(f)
	if err != nil {
		n.cfg.Log.Error().Err(err).Msg("webhook not sent")
		return
	}
	n.webhook.offer(body)
}

// Close sends what waits, until ctx ends; the rest is dropped.
func (n *Notifier) Close(ctx context.Context) {
	var wg sync.WaitGroup
	for _, s := range []*sender{n.heartbeat, n.webhook} {
		wg.Go(func() { s.close(ctx) })
	}
	wg.Wait()
}

// body is what the webhook is sent.
func (n *Notifier) body(f Failure) ([]byte, error) {
	var message any = f
	if n.cfg.Format == Slack {
		message = map[string]string{"text": f.text()}
	}
	data, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("write webhook of %s: %w", f.Event, err)
	}
	return data, nil
}
