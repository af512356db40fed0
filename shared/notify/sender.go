package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// longestWait is about the longest wait between two tries.
const longestWait = 30 * time.Second

// sender sends the messages of one kind, one after the other.
type sender struct {
	cfg               Config
	kind, method, url string
	client            *http.Client
	queue             chan []byte
	quit, done        chan struct{}
	stop              context.CancelFunc
}

// newSender starts a sender; without a URL there is none.
func newSender(cfg Config, kind, method, to string) *sender {
	if to == "" {
		return nil
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	ctx, stop := context.WithCancel(context.Background())
	s := &sender{
		cfg: cfg, kind: kind, method: method, url: to, queue: make(chan []byte, waiting),
		quit: make(chan struct{}), done: make(chan struct{}), stop: stop,
		// Where a redirect leads, the secret in the URL must not follow by itself.
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	go s.run(ctx)
	return s
}

// offer takes a message if there is room.
func (s *sender) offer(body []byte) {
	if s == nil {
		return
	}
	select {
	case s.queue <- body:
	default:
		s.tell("dropped", errors.New("too many wait to be sent"))
	}
}

// close lets the sender end by itself until ctx ends.
func (s *sender) close(ctx context.Context) {
	if s == nil {
		return
	}
	close(s.quit)
	select {
	case <-s.done:
	case <-ctx.Done():
		s.stop()
		<-s.done
	}
	s.stop()
}

func (s *sender) run(ctx context.Context) {
	defer close(s.done)
	for {
		select {
		case body := <-s.queue:
			s.send(ctx, body)
			continue
		case <-s.quit:
		}
		select {
		case body := <-s.queue:
			s.send(ctx, body)
		default:
			return
		}
	}
}

// send tries until the message is taken, or patience is at its end.
func (s *sender) send(ctx context.Context, body []byte) {
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = s.cfg.Wait, longestWait
	bounded, cancel := context.WithTimeout(ctx, s.cfg.GiveUp)
	defer cancel()
	_, err := backoff.Retry(bounded, func() (struct{}, error) { return struct{}{}, s.try(bounded, body) },
		backoff.WithBackOff(waits), backoff.WithMaxElapsedTime(s.cfg.GiveUp), backoff.WithNotify(func(err error, wait time.Duration) {
			s.cfg.Log.Debug().Err(err).Dur("wait", wait).Msg(s.kind + " is sent again")
		}))
	if err != nil {
		s.tell("failed", err)
		return
	}
	s.cfg.Told(s.kind, "sent")
}

// tell says that a message is lost. The night is none the worse for it.
func (s *sender) tell(outcome string, err error) {
	s.cfg.Told(s.kind, outcome)
	s.cfg.Log.Warn().Err(err).Str("outcome", outcome).Msg(s.kind + " not sent")
}

// try sends once. Its errors do not name the URL.
func (s *sender) try(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Try)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, s.method, s.url, bytes.NewReader(body))
	if err != nil {
		return backoff.Permanent(errors.New("make request: the URL cannot be used")) //nolint:wrapcheck // it only marks the error
	}
	req.Header.Set("User-Agent", "nightshard")
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.client.Do(req)
	if refused, ok := errors.AsType[*url.Error](err); ok {
		err = refused.Err // the outer one has the URL in its text
	}
	if err != nil {
		return fmt.Errorf("send %s: %w", s.kind, err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return s.judge(resp)
}

// judge says what an answer means.
func (s *sender) judge(resp *http.Response) error {
	code := resp.StatusCode
	err := fmt.Errorf("send %s: answered with status %d", s.kind, code)
	switch {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return backoff.Permanent(fmt.Errorf("%w: set the URL that it leads to", err)) //nolint:wrapcheck // it only marks the error
	case code == http.StatusTooManyRequests:
		if seconds, parseErr := strconv.Atoi(resp.Header.Get("Retry-After")); parseErr == nil && seconds > 0 {
			return fmt.Errorf("%w: %w", err, backoff.RetryAfter(min(seconds, int(s.cfg.GiveUp.Seconds()))))
		}
	case code >= 400 && code < 500 && code != http.StatusRequestTimeout:
		return backoff.Permanent(err) //nolint:wrapcheck // it only marks the error
	}
	return err
}
