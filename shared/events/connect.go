package events

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

func (b *Bus) dial() error {
	opts, err := b.options()
	if err != nil {
		return err
	}
	conn, err := nats.Connect(b.cfg.URL, opts...)
	if err != nil {
		return fmt.Errorf("set up NATS connection to %s: %w", b.url, err)
	}
	b.conn = conn
	go b.hearRefusals(conn.StatusChanged(nats.RECONNECTING))
	return nil
}

// hearRefusals takes the attempts that failed after the server had answered: the
// client has no handler for those.
func (b *Bus) hearRefusals(failed chan nats.Status) {
	defer b.conn.RemoveStatusListener(failed)
	for {
		select {
		case <-b.closed:
			return
		case <-failed:
			if err := b.conn.LastError(); err != nil && !b.conn.IsClosed() {
				b.refused(err)
			}
		}
	}
}

func (b *Bus) options() ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name(b.cfg.Name),
		nats.CustomInboxPrefix(b.prefix + b.cfg.InboxPrefix),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		// A service must outlive a server that refuses it for a while, and one
		// that was refused twice would otherwise stay cut off for ever.
		nats.IgnoreAuthErrorAbort(),
		// What cannot be sent now is an error now. The default keeps it and
		// sends it later, although the caller was told that it failed.
		nats.ReconnectBufSize(-1),
	}
	opts = append(opts, b.handlers()...)
	opts = append(opts, b.tlsOptions()...)
	return b.withCredentials(opts)
}

func (b *Bus) withCredentials(opts []nats.Option) ([]nats.Option, error) {
	if b.cfg.User != "" {
		opts = append(opts, nats.UserInfo(b.cfg.User, b.cfg.Password))
	}
	if b.cfg.Token != "" {
		opts = append(opts, nats.Token(b.cfg.Token))
	}
	if b.cfg.Creds != "" {
		opts = append(opts, nats.UserCredentials(b.cfg.Creds))
	}
	if b.cfg.NKey == "" {
		return opts, nil
	}
	nkey, err := nats.NkeyOptionFromSeed(b.cfg.NKey)
	if err != nil {
		return nil, fmt.Errorf("read nkey seed %s: %w", b.cfg.NKey, err)
	}
	return append(opts, nkey), nil
}

// handlers log what happens to the connection. A refused publish or subscribe
// reaches the caller as a time-out only; its reason comes to the ErrorHandler.
func (b *Bus) handlers() []nats.Option {
	return []nats.Option{
		nats.ConnectHandler(b.connected),
		nats.ReconnectHandler(b.connected),
		nats.DisconnectErrHandler(func(conn *nats.Conn, err error) {
			if conn.IsClosed() || conn.IsDraining() {
				return // this side ended it
			}
			b.away.Store(true)
			b.log.Warn().Err(err).Str("nats", b.url).Msg("NATS connection lost, trying again until it is back")
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { b.refused(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) { b.reported(sub, err) }),
		nats.ClosedHandler(func(*nats.Conn) { close(b.closed) }),
	}
}

// reported takes an error that belongs to no call. Whoever waits for the answer
// that a refusal stands for tells it; the others are logged.
func (b *Bus) reported(sub *nats.Subscription, err error) {
	if refusal, ok := b.violation(err); ok {
		if b.handOut(refusal) {
			b.log.Error().Err(refusal).Msg("NATS denied something")
		}
		return
	}
	event := b.log.Error().Err(err)
	if sub != nil {
		event = event.Str("subject", sub.Subject)
	}
	event.Msg("NATS reported an error")
}

func (b *Bus) connected(conn *nats.Conn) {
	b.away.Store(false)
	b.untrusted.Store(false)
	b.allowedAgain()
	b.log.Info().Str("nats", conn.ConnectedAddr()).Str("server", conn.ConnectedServerName()).Msg("connected to NATS")
}

// refused keeps the reason for whoever waits, and logs the first of a row.
func (b *Bus) refused(err error) {
	err = b.cfg.explainTLS(err, b.certAsked.Swap(false))
	select {
	case <-b.failures: //nolint:errcheck // an older reason, replaced below
	default:
	}
	select {
	case b.failures <- err:
	default:
	}
	first := !b.away.Swap(true)
	// Of a connection that was lost only the loss is logged, unless waiting does
	// not mend it.
	if first || (errors.Is(err, errTLS) && !b.untrusted.Swap(true)) {
		b.log.Warn().Err(err).Str("nats", b.url).Msg("NATS does not answer, trying again until it does")
	}
}

// awaitConnection waits for the first connection.
func (b *Bus) awaitConnection(ctx context.Context) error {
	changed := b.conn.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer b.conn.RemoveStatusListener(changed)
	reason := errors.New("no answer")
	untrusted := 0 // in a row: of several servers another one may be trusted
	for !b.conn.IsConnected() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%w): check that it runs and that NATS_URL names it", reason, ctx.Err())
		case reason = <-b.failures:
			if credentialsRefused(reason) {
				return fmt.Errorf("%w: check NATS_CREDS, NATS_NKEY, NATS_TOKEN or NATS_USER and NATS_PASSWORD", reason)
			}
			if untrusted++; !errors.Is(reason, errTLS) {
				untrusted = 0
			}
			// Once more than there are servers: one that stops just then hangs up as
			// one does that refuses a certificate.
			if untrusted > len(b.conn.Servers()) {
				return reason
			}
		case <-changed:
			if b.conn.IsClosed() {
				return fmt.Errorf("%w: %w", ErrClosed, b.conn.LastError())
			}
		}
	}
	return nil
}

func credentialsRefused(err error) bool {
	for _, refusal := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
		nats.ErrNkeysNotSupported, nats.ErrNoUserCB,
	} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}
