package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrUnanswered says that a list is not whole: a server of the cluster was lost
// just now, and the others have not elected a leader of what it led.
var ErrUnanswered = errors.New("no server of the cluster leads them just now, ask again")

// consumerPage is one answer of the server. Missing are consumers of whose state
// nothing is known; the client's own list leaves them out without a word.
type consumerPage struct {
	Error     *jetstream.APIError       `json:"error"`
	Total     int                       `json:"total"`
	Limit     int                       `json:"limit"`
	Consumers []*jetstream.ConsumerInfo `json:"consumers"`
	Missing   []string                  `json:"missing"`
}

// durables gives the state of each durable consumer of the stream. That one of
// the services' own is missing is [ErrUnanswered]: a restore must not take a
// dumper at work for none.
func (b *Bus) durables(ctx context.Context) ([]*jetstream.ConsumerInfo, error) {
	var found []*jetstream.ConsumerInfo
	for offset := 0; ; {
		page, err := b.consumerPage(ctx, offset)
		if err != nil {
			return nil, err
		}
		if away := slices.DeleteFunc(page.Missing, foreign); len(away) > 0 {
			return nil, fmt.Errorf("%s: %w", strings.Join(away, ", "), ErrUnanswered)
		}
		for _, info := range page.Consumers {
			// Of one that is away the server gives the settings, without a name.
			if info.Config.Durable != "" && info.Name != "" {
				found = append(found, info)
			}
		}
		if offset += page.Limit; page.Limit == 0 || offset >= page.Total {
			return found, nil
		}
	}
}

// foreign says that a consumer is none of the services' durables: a watcher's,
// or a subscriber's, which may be gone for good with its only server.
func foreign(name string) bool {
	return !slices.Contains([]string{"backup", "restore", "dumper"}, name) && !strings.HasPrefix(name, "dumper-")
}

func (b *Bus) consumerPage(ctx context.Context, offset int) (*consumerPage, error) {
	ctx, cancel := b.call(ctx, b.api("CONSUMER.LIST"))
	defer cancel()
	msg, err := b.conn.RequestWithContext(ctx, b.api("CONSUMER.LIST"), fmt.Appendf(nil, `{"offset":%d}`, offset))
	if err != nil {
		return nil, explainCall(ctx, err) // Consumers names the stream
	}
	page := &consumerPage{}
	if err := json.Unmarshal(msg.Data, page); err != nil {
		return nil, fmt.Errorf("read list: %w", err)
	}
	if page.Error != nil {
		return nil, explainCall(ctx, page.Error)
	}
	return page, nil
}
